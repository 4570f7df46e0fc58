"""A decision as one function of tensors: on a GPU one CUDA graph, from pictures to tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from playloop.nn.graphs import Captured
from playloop.policies.diffusion import Noise
from playloop.policies.network import Chosen
from playloop.policies.openvla.decoders import Decoding, decode_chunk
from playloop.policies.openvla.model import OpenVLA


class Engine:
    """Decides for batches of fixed shapes; every shape is captured once, at its first call.

    Args:
        model: the networks.
        decoding: from `DecodingConfig.of`.
        graphs: False launches every kernel by itself, for comparison.
    """

    def __init__(self, model: OpenVLA, decoding: Decoding, graphs: bool = True):
        self.model, self.decoding, self.graphs = model, decoding, graphs
        self._captured: dict[tuple[Any, ...], Captured] = {}

    @torch.inference_mode()
    def __call__(self, pictures: Tensor, state: Tensor | None, prompts: Tensor, noise: Noise) -> Chosen:
        """One decision for every row.

        Args:
            pictures: [B, images, channels, S, S], normalised, in the type that is computed in.
            state: normalised, [B, proprio]; None where the checkpoint reads none.
            prompts: ids, int64 [B, L], equally long.
            noise: of the diffusion decoder, on the device.
        """
        tensors = (pictures, prompts, noise.order, noise.token, *([] if state is None else [state]))
        key = tuple((*tensor.shape, tensor.dtype) for tensor in tensors)
        if key not in self._captured:
            first = next(iter(self._captured.values()), None)  # caches and states of all shapes are gigabytes
            self._captured[key] = Captured(self._decider(), self.graphs, beside=first)
        return _copied(self._captured[key](*tensors))

    def _decider(self) -> Callable[..., Chosen]:
        model, decoding = self.model, self.decoding  # not this object: a circle would keep graphs' memory

        def decide(pictures: Tensor, prompts: Tensor, order: Tensor, token: Tensor, *state: Tensor) -> Chosen:
            prefix = encode(model, pictures, state[0] if state else None, prompts)
            return decode_chunk(model, prefix, decoding, Noise(order, token))

        return decide


def encode(model: OpenVLA, pictures: Tensor, state: Tensor | None, prompts: Tensor) -> Tensor:
    """Everything before the actions, embedded: [B, P, D]."""
    patches = model.see(pictures, prompts if model.config.film else None)
    return model.prefix(patches, state, prompts)


def _copied(chosen: Chosen) -> Chosen:
    """A graph overwrites what it returned when it is replayed."""

    def copy(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.clone()

    return Chosen(copy(chosen.tokens), copy(chosen.values), chosen.remasked.clone(), chosen.evaluations)
