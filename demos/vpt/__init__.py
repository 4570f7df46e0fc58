"""Recordings of people at work in Minecraft, as OpenAI published them for VPT, read as a data set."""

from playloop.demos.vpt.dataset import CAMERA, vpt_contract

__all__ = ["CAMERA", "vpt_contract"]
