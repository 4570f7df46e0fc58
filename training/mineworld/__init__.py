"""Training of MineWorlds, published ones and new ones."""
