"""What is left of frames behind a tokenizer, and how it bears a generator's mistakes."""

from __future__ import annotations

import numpy as np
import torch

from playloop.tokenizers.frames import FrameTokenizer
from playloop.worlds.metrics.frames import psnr, ssim

BATCH = 64


@torch.inference_mode()
def reconstruction(
    tokenizer: FrameTokenizer, frames: np.ndarray, disturbance: float = 0.1, seed: int = 0
) -> dict[str, float]:
    """How well a tokenizer keeps frames.

    Args:
        tokenizer: of their size.
        frames: uint8 [N, H, W, 3].
        disturbance: share of the codes of which a neighbour in the codebook takes the place for the
            perturbed score (arXiv 2503.08354).
        seed: of the choice.

    Returns:
        "psnr" in dB and "ssim", means over the frames; "psnr_perturbed" and "ssim_perturbed", with disturbed
        codes; "codes_used", the share of all codes that occur in these frames; "perplexity", of how many
        equally frequent codes they would have the entropy.
    """
    generator, fsq = torch.Generator().manual_seed(seed), tokenizer.fsq
    found: dict[str, list[np.ndarray]] = {}
    counts = torch.zeros(tokenizer.codes, dtype=torch.int64)
    for start in range(0, len(frames), BATCH):
        true = torch.from_numpy(np.ascontiguousarray(frames[start : start + BATCH]))
        ids = tokenizer.encode(true)
        counts += ids.flatten().bincount(minlength=tokenizer.codes)
        moved = fsq.ids(fsq.neighbours(fsq.digits(ids), generator))
        replaced = torch.rand(ids.shape, generator=generator) < disturbance
        for name, seen in (("", ids), ("_perturbed", torch.where(replaced, moved, ids))):
            shown = tokenizer.decode(seen)
            found.setdefault(f"psnr{name}", []).append(psnr(shown, true))
            found.setdefault(f"ssim{name}", []).append(ssim(shown, true))
    share = counts[counts > 0].double() / counts.sum()
    use = {
        "codes_used": len(share) / tokenizer.codes,
        "perplexity": float((-share * share.log()).sum().exp()),
    }
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()} | use
