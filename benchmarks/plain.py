"""The baselines: a Llama as the releases run theirs, with the same weights as ours.

A product for every matrix, norms in float32, keys and values expanded to all heads, a mask over the whole
cache, logits of all ids, and a host that waits for every token. What is computed is the same; how it is
computed is what `playloop bench` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from playloop.nn.llama import LlamaSizes


@dataclass
class PlainLlama:
    """A stack of blocks over weights by their published names, "{prefix}layers.0.self_attn.q_proj.weight"."""

    weights: Mapping[str, Tensor]
    sizes: LlamaSizes
    prefix: str

    def cache(self, batch: int, length: int, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Zeros for keys and values of `length` tokens in every layer."""
        shape = batch, self.sizes.groups, length, self.sizes.size
        return [(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(self.sizes.layers)]

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        cache: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """x [B, n, D] at positions [n], also their slots in the cache, through all blocks and the last norm.

        The mask, bool [n, S], is True where a query sees a key; without a cache only keys of x are there.
        """
        powers = torch.arange(0, self.sizes.size, 2, device=x.device).float() / self.sizes.size
        angles = torch.outer(positions.float(), 1.0 / self.sizes.theta**powers)
        angles = torch.cat([angles, angles], -1)
        cosines, sines = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for layer in range(self.sizes.layers):
            h = self._norm(x, f"layers.{layer}.input_layernorm")
            queries, keys, values = (self._heads(h, layer, name) for name in ("q", "k", "v"))
            queries, keys = _turn(queries, cosines, sines), _turn(keys, cosines, sines)
            if cache is not None:
                stored_keys, stored_values = cache[layer]
                stored_keys[:, :, positions], stored_values[:, :, positions] = keys, values
                keys, values = stored_keys, stored_values
            times = self.sizes.heads // self.sizes.groups
            keys, values = keys.repeat_interleave(times, 1), values.repeat_interleave(times, 1)
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            x = x + self._product(mixed.transpose(1, 2).flatten(2), f"layers.{layer}.self_attn.o_proj")
            h = self._norm(x, f"layers.{layer}.post_attention_layernorm")
            gate = F.silu(self._product(h, f"layers.{layer}.mlp.gate_proj"))
            inner = gate * self._product(h, f"layers.{layer}.mlp.up_proj")
            x = x + self._product(inner, f"layers.{layer}.mlp.down_proj")
        return self._norm(x, "norm")

    def _heads(self, x: Tensor, layer: int, name: str) -> Tensor:
        found = self._product(x, f"layers.{layer}.self_attn.{name}_proj")
        return found.unflatten(-1, (-1, self.sizes.size)).transpose(1, 2)

    def _product(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{self.prefix}{name}.weight"].to(x.dtype))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.sizes.eps)
        return self.weights[f"{self.prefix}{name}.weight"].to(x.dtype) * wide.to(x.dtype)


def draw_sorted(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """One id of logits [V] as the releases draw: sorted, cut at `top_p`, and the host waits for it."""
    if temperature <= 0:
        return int(logits.argmax().item())
    probabilities = (logits.float() / temperature).softmax(-1)
    ordered, ids = probabilities.sort(descending=True)
    kept = torch.where(ordered.cumsum(-1) - ordered <= top_p, ordered, 0.0)
    return int(ids[torch.multinomial(kept / kept.sum(), 1, generator=generator)].item())


def _turn(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary positions as published: a rotated copy of everything, [B, H, n, E]."""
    a, b = x.chunk(2, -1)
    return x * cosines + torch.cat([-b, a], -1) * sines
