"""A Minecraft-like voxel world, deterministic from its seed."""
