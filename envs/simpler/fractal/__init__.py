"""Fractal: the Google robot and its kitchen, rebuilt on SAPIEN 3 from the published parameters."""
