"""Videos as a writer from outside knows them."""

from playloop.demos.video.encoder import PartWriter, encode_video

__all__ = ["PartWriter", "encode_video"]
