"""The small vision-language-action model as a policy: observations in, chunks of raw actions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.core.images import shrink
from playloop.nn.transformer import PrefixCache
from playloop.policies.diffusion import Decoded, DecoderConfig, Noise, decode
from playloop.policies.network import NetworkPolicy
from playloop.policies.vla import VLA
from playloop.tokenizers.instructions import InstructionEncoder

Inputs = tuple[dict[str, Tensor], Tensor, Tensor]
"""Images by camera, states and embedded instructions of a batch of observations."""


class VLAPolicy(NetworkPolicy):
    """See `policies.network.NetworkPolicy`; `encoder` is of the instructions."""

    def __init__(
        self,
        model: VLA,
        contract: Contract,
        encoder: InstructionEncoder,
        decoder: DecoderConfig,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(
            model, contract, list(model.cameras), model.tokenizer, model.state, decoder, batch, dtype
        )
        self.model, self.encoder = model, encoder
        self.execute = model.config.execute or self.chunk

    def decide(  # type: ignore[override]
        self, inputs: Inputs, noise: Noise, cached: bool = True
    ) -> Decoded:
        """One decision for every row; without a cache the prefix takes part in every round."""
        model = self.model
        prompt = model.prompt(*inputs, self.dtype)
        if cached and isinstance(prompt.cache, PrefixCache):
            prompt.cache = prompt.cache.reserve(model.length)
        logits = partial(model.logits if cached else model.logits_uncached, prompt)
        return decode(logits, model.length, self.decoder, noise, mask_id=model.mask_id, legal=model.legal)

    def first_scores(self, observation: dict[str, Any]) -> Tensor:
        blank = torch.full((1, self.model.length), self.model.mask_id, device=self.device)
        return self.model.logits(self.model.prompt(*self.inputs([observation]), self.dtype), blank)[0]

    def facts(self, tokens: np.ndarray | None) -> dict[str, Any]:
        return {"rounds": self.decoder.rounds}

    def judge(self) -> VLAPolicy:
        """The same in the deterministic mode, a row at a time, for its golden decision."""
        decoder = replace(self.decoder, sample="argmax", temperature=0.0, order="max")
        return VLAPolicy(self.model, self.contract, self.encoder, decoder)

    def inputs(self, observations: Sequence[dict[str, Any]]) -> Inputs:
        """Images uint8 [B, H, W, 3] by camera, raw state [B, S], instruction [B, E], on its device."""
        size = self.model.config.image_sides
        for camera in self.cameras:
            if camera not in observations[0]["images"]:
                have = sorted(observations[0]["images"])
                raise ValueError(f"the policy reads camera {camera!r}, the observation has {have}")
        images = {
            camera: torch.from_numpy(np.stack([shrink(o["images"][camera], size) for o in observations]))
            for camera in self.cameras
        }
        state = torch.from_numpy(np.stack([np.asarray(o["state"], np.float32) for o in observations]))
        words = torch.from_numpy(self.encoder.encode([o["instruction"] for o in observations]))
        return {n: x.to(self.device) for n, x in images.items()}, state.to(self.device), words.to(self.device)
