"""How near generated frames and videos come to true ones."""

from playloop.worlds.metrics.frames import psnr, ssim

__all__ = ["psnr", "ssim"]
