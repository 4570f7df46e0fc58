"""World models: a frame and an action give the next frame."""
