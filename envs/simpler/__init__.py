"""SimplerEnv: tasks of real robots, rebuilt in SAPIEN."""
