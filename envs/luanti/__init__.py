"""Luanti (Minetest), the real program, driven through a virtual display."""
