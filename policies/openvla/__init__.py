"""OpenVLA, OpenVLA-OFT and Discrete Diffusion VLA: published checkpoints, loaded exactly."""
