"""What a MineWorld and its frame tokenizer make of a stored input; see `worlds.golden`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.core.minecraft import action_vector
from playloop.tokenizers.minecraft import MineWorldActions
from playloop.tokenizers.vq import VQTokenizer
from playloop.worlds.golden import ACTION, Arrays, pictures
from playloop.worlds.mineworld.clip import ClipSchedule
from playloop.worlds.mineworld.model import MineWorld
from playloop.worlds.schedule import Schedule


@torch.inference_mode()
def of_vq(tokenizer: VQTokenizer, given: Mapping[str, np.ndarray] | None = None) -> Arrays:
    """Latents of a picture of two by two tokens, and the picture of stored ids: a whole one takes seconds."""
    side, device = tokenizer.config.side, tokenizer.quant_conv.weight.device
    images = pictures(1, 2 * side, 2 * side) if given is None else given["images"]
    latents = tokenizer.latents(torch.from_numpy(images).to(device))
    ids = tokenizer.quantize.nearest(latents).cpu().numpy() if given is None else given["ids"]
    codes = F.embedding(torch.from_numpy(ids).to(device), tokenizer.quantize.embedding.weight)
    grid = codes.transpose(1, 2).unflatten(2, (2, 2))
    pixels = tokenizer.decoder(tokenizer.post_quant_conv(grid))
    return {"images": images, "ids": ids, "latents": _host(latents), "pixels": _host(pixels)}


@torch.inference_mode()
def of_mineworld(
    model: MineWorld, form: MineWorldActions, given: Mapping[str, np.ndarray] | None = None
) -> Arrays:
    """Logits behind a row of tokens and an action; a whole frame takes seconds on a processor."""
    config, device = model.config, model.head.weight.device
    vector = action_vector(ACTION) if given is None else given["vector"]
    row = np.random.default_rng(0).integers(0, config.codes, config.columns)
    ids = row if given is None else given["ids"]
    unit = Schedule(1, len(ids), len(ids), form.length, own_starts=False)
    # The first frame of a clip that goes on: the row, the action, and one more row, of which nothing is read.
    both, actions = np.stack([ids, ids])[None], form.encode(vector)[None, None]
    sequence = model.sequence(torch.from_numpy(both), torch.from_numpy(actions)).to(device)
    clip = ClipSchedule(unit, 2)
    hidden = model.encode(model.token(sequence).to(model.dtype), clip)
    return {
        "ids": ids,
        "vector": vector,
        "logits": _host(model.head(hidden[:, len(ids) : len(ids) + form.length])),
    }


def _host(x: Tensor) -> np.ndarray:
    return x.float().cpu().numpy()
