"""A trained model as a policy: observations in, chunks of raw actions out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.contract import Contract
from playloop.core.images import shrink
from playloop.policies.diffusion import Decoded, DecoderConfig, decode, draw_noise
from playloop.policies.vla import VLA, Prompt
from playloop.tokenizers.instructions import InstructionEncoder

Inputs = tuple[dict[str, Tensor], Tensor, Tensor]
"""Images by camera, states and embedded instructions of a batch of observations."""


class VLAPolicy:
    """`(carry, observations, generators) → (carry, chunks, info)`, see `policies.base.Policy`.

    Every network call has exactly `batch` rows, missing ones are copies of the first: kernels differ with the
    number of rows, and a row's bits must not.

    Args:
        model: the network; put into evaluation mode.
        contract: of the environment that it was trained for.
        encoder: of the instructions.
        decoder: how chunks are decoded.
        batch: rows of a network call.
        dtype: to compute in.
    """

    def __init__(
        self,
        model: VLA,
        contract: Contract,
        encoder: InstructionEncoder,
        decoder: DecoderConfig,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
    ):
        if batch < 1:
            raise ValueError(f"batch={batch}: a call needs at least one row")
        self.model, self.contract, self.encoder = model.eval(), contract, encoder
        self.decoder, self.batch, self.dtype = decoder, batch, dtype
        self.chunk = model.config.chunk
        self.execute = model.config.execute or self.chunk

    def initial(self, batch: int) -> list[None]:
        """Nothing is remembered from one decision to the next."""
        return [None] * batch

    @torch.inference_mode()
    def __call__(
        self, carry: Any, observations: list[dict[str, Any]], generators: list[torch.Generator]
    ) -> tuple[Any, np.ndarray, dict[str, Any]]:
        start = time.perf_counter()
        parts = [
            self._decide(observations[first : first + self.batch], generators[first : first + self.batch])
            for first in range(0, len(observations), self.batch)
        ]
        tokens = torch.cat([part.tokens for part in parts])
        chunks = self.model.tokenizer.decode(tokens).float().cpu().numpy()
        info = {
            "rounds": self.decoder.rounds,
            "evaluations": parts[0].evaluations,
            "remasked": torch.cat([part.remasked for part in parts]).cpu().numpy(),
            "tokens": tokens.cpu().numpy(),
            "ms": 1000 * (time.perf_counter() - start),
        }
        return carry, chunks, info

    def _decide(
        self, observations: Sequence[dict[str, Any]], generators: Sequence[torch.Generator]
    ) -> Decoded:
        count = len(observations)
        missing = self.batch - count
        noise = draw_noise(
            [*generators, *(torch.Generator().manual_seed(0) for _ in range(missing))],
            self.decoder,
            self.model.length,
        )
        prompt = self.prompt([*observations, *[observations[0]] * missing])
        cached = Prompt(prompt.embeddings, prompt.condition, prompt.target, prompt.cache)
        if cached.cache is not None:
            cached.cache = cached.cache.reserve(self.model.length)
        found = decode(
            lambda tokens: self.model.logits(cached, tokens),
            self.model.length,
            self.decoder,
            type(noise)(noise.order.to(self.device), noise.token.to(self.device)),
            mask_id=self.model.mask_id,
            legal=self.model.legal,
        )
        return Decoded(
            found.tokens[:count], found.confidence[:count], found.remasked[:count], found.evaluations
        )

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.model.legal.device

    def prompt(self, observations: Sequence[dict[str, Any]]) -> Prompt:
        """The prefix of these observations, computed."""
        return self.model.prompt(*self.inputs(observations), self.dtype)

    def inputs(self, observations: Sequence[dict[str, Any]]) -> Inputs:
        """Images uint8 [B, H, W, 3] by camera, raw state [B, S], instruction [B, E], on its device."""
        size = self.model.config.image_sides
        for camera in self.model.cameras:
            if camera not in observations[0]["images"]:
                have = sorted(observations[0]["images"])
                raise ValueError(f"the policy reads camera {camera!r}, the observation has {have}")
        images = {
            camera: torch.from_numpy(np.stack([shrink(o["images"][camera], size) for o in observations]))
            for camera in self.model.cameras
        }
        state = torch.from_numpy(np.stack([np.asarray(o["state"], np.float32) for o in observations]))
        words = torch.from_numpy(self.encoder.encode([o["instruction"] for o in observations]))
        return {n: x.to(self.device) for n, x in images.items()}, state.to(self.device), words.to(self.device)
