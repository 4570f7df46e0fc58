"""MineWorld: the published Minecraft world model, its files and its decoding."""
