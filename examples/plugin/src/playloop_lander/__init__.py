"""A landing craft over a moon, for Playloop."""
