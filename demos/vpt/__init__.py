"""Recordings of people at work in Minecraft, as OpenAI published them for VPT, read as a data set."""
