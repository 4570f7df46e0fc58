"""How well a world model imagines, how long it holds out, and whether it follows its actions."""
