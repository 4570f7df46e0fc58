"""An agent's successful episodes become a data set."""
