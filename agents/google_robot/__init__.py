"""The scripted expert for SimplerEnv's Google robot: picking, drawers, motions."""
