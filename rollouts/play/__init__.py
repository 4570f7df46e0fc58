"""Real-time play: a session a browser, each in a process of its own."""
