"""LeRobot data sets v3.0: reading, writing and checking them."""
