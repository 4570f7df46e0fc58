"""How well a world model imagines, how long it holds out, and whether it does what it is told."""
