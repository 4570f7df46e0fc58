"""The scripted player of the voxel world: paths, walking, chopping, building."""
