"""From a prefix to a chunk of actions: the four ways in which OpenVLA's family decodes, as published.

autoregressive  OpenVLA: token after token, the likeliest of the whole table, over a cache.
parallel        OpenVLA-OFT with tokens: all at once from empty action tokens, the likeliest of the table.
l1              OpenVLA-OFT: all at once, the action head regresses the values.
diffusion       Discrete Diffusion VLA: masked tokens are filled in rounds, see `policies.diffusion`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor

from playloop.core.annotations import Natural
from playloop.core.checked import checked
from playloop.nn.decoder import StaticCache
from playloop.nn.graphs import Captured
from playloop.nn.sampling import lowest_argmax
from playloop.policies.diffusion import RELEASED, Decoded, DecoderConfig, Noise, decode
from playloop.policies.openvla.attention import Layout
from playloop.policies.openvla.config import Decoder, OpenVLAConfig
from playloop.policies.openvla.model import OpenVLA

Ids = Literal["table", "words", "actions"]


@checked(frozen=True)
class DecodingConfig:
    """How a checkpoint is decoded.

    Args:
        decoder: "autoregressive", "parallel", "l1" or "diffusion"; None: the checkpoint's own.
        ids: that a token may take: the whole "table" of 32,064 rows, the 32,000 "words" or the 256 "actions".
            None: as published, "words" for diffusion and "table" otherwise. Only "actions" rules out that a
            token decodes to an end of the range because it means nothing.
        diffusion: the rounds of the diffusion decoder.
        reuse: rounds in which the prefix's keys of the last whole pass are used again though everything sees
            everything: faster, and no longer what the checkpoint computes. 0 is exact.
    """

    decoder: Decoder | None = None
    ids: Ids | None = None
    diffusion: DecoderConfig = field(default_factory=lambda: RELEASED)
    reuse: Natural = 0

    def of(self, config: OpenVLAConfig) -> Decoding:
        """The decoding of a checkpoint.

        Raises:
            ValueError: it was not trained for the decoder.
        """
        kind = self.decoder or config.decoders[0]
        if kind not in config.decoders:
            raise ValueError(
                f"decoder={kind!r}: the checkpoint was trained for {' or '.join(config.decoders)}; "
                "others give actions without an error and without a meaning"
            )
        if self.reuse and (kind != "diffusion" or config.attention != "full"):
            raise ValueError(
                f"reuse={self.reuse}: only rounds of diffusion in which everything sees everything compute "
                f"the prefix again; {kind} with attention {config.attention!r} does not. Use 0"
            )
        ids = self.ids or ("words" if kind == "diffusion" else "table")
        return Decoding(kind, allowed_ids(ids, config), self.diffusion, self.reuse)


@dataclass(frozen=True)
class Decoding:
    """A decoder, the ids that its tokens may take, a contiguous range of the table, and rounds of reuse."""

    decoder: Decoder
    ids: slice
    diffusion: DecoderConfig
    reuse: int = 0


def allowed_ids(ids: Ids, config: OpenVLAConfig) -> slice:
    """A named set of ids as a range of the table."""
    if ids == "table":
        return slice(0, config.vocabulary)
    return slice(config.words - config.bins if ids == "actions" else 0, config.words)


class Engine:
    """A decision as one function of tensors: on a GPU one CUDA graph, from pictures to tokens.

    Every shape of a batch is captured once, at its first call.

    Args:
        model: the networks.
        decoding: from `DecodingConfig.of`.
        graphs: False launches every kernel by itself, for comparison.
    """

    def __init__(self, model: OpenVLA, decoding: Decoding, graphs: bool = True):
        self.model, self.decoding, self.graphs = model, decoding, graphs
        self._captured: dict[tuple[Any, ...], Captured] = {}

    @torch.inference_mode()
    def __call__(self, pictures: Tensor, state: Tensor | None, prompts: Tensor, noise: Noise) -> Decoded:
        """One decision for every row; see `OpenVLA.encode` and `decode_chunk`."""
        tensors = (pictures, prompts, noise.order, noise.token, *([] if state is None else [state]))
        key = tuple((*tensor.shape, tensor.dtype) for tensor in tensors)
        if key not in self._captured:
            first = next(iter(self._captured.values()), None)  # caches and states of all shapes are gigabytes
            self._captured[key] = Captured(self._decider(), self.graphs, beside=first)
        found = vars(self._captured[key](*tensors)).items()
        # A graph overwrites what it returned when it is replayed.
        kept: dict[str, Any] = {n: v.clone() if isinstance(v, Tensor) else v for n, v in found}
        return Decoded(**kept)

    def _decider(self) -> Callable[..., Decoded]:
        model, decoding = self.model, self.decoding  # not this object: a circle would keep graphs' memory

        def decide(
            pictures: Tensor, prompts: Tensor, order: Tensor, token: Tensor, *state: Tensor
        ) -> Decoded:
            prefix = model.encode(pictures, state[0] if state else None, prompts)
            return decode_chunk(model, prefix, decoding, Noise(order, token))

        return decide


def decode_chunk(model: OpenVLA, prefix: Tensor, decoding: Decoding, noise: Noise) -> Decoded:
    """One decision for every row.

    Args:
        model: the networks.
        prefix: embedded, [B, P, D], without fillers.
        decoding: from `DecodingConfig.of`.
        noise: of the diffusion decoder, on the model's device; the others read nothing of it.
    """
    none = torch.zeros(len(prefix), dtype=torch.int64, device=prefix.device)
    if decoding.decoder == "diffusion":
        return diffuse(model, prefix, decoding, noise)
    if decoding.decoder == "autoregressive":
        return Decoded(autoregress(model, prefix, decoding.ids), none, model.config.tokens)
    hidden = _whole_pass(model, prefix, model.blank(len(prefix)))
    if decoding.decoder == "l1":
        return Decoded(None, none, 1, values=model.act(hidden))
    return Decoded(likeliest(model, hidden, decoding.ids), none, 1)


def first_pass(model: OpenVLA, prefix: Tensor) -> Tensor:
    """What the first pass says of each action token: prefix [B, P, D] → scores [B, L, 256] or values."""
    config = model.config
    kind, rows = config.decoders[0], len(prefix)
    if kind in ("autoregressive", "diffusion"):
        length = config.tokens if kind == "diffusion" else 0
        masked = torch.full((rows, length), config.mask, device=prefix.device)
        block = model.block(masked) if length else model.embed(masked)
    else:
        block = model.blank(rows)
    states = _whole_pass(model, prefix, block)
    return model.act(states) if kind == "l1" else model.logits(states, allowed_ids("actions", config))


def _whole_pass(model: OpenVLA, prefix: Tensor, block: Tensor) -> Tensor:
    """Prefix [B, P, D] and block together → the states that predict the actions, [B, L, D]."""
    layout = model.layout(prefix, block.shape[1])
    return model(prefix, block.to(prefix.dtype), layout)[:, : model.config.tokens]


def likeliest(model: OpenVLA, hidden: Tensor, ids: slice) -> Tensor:
    """States [B, L, D] → the ids with the highest scores, [B, L]; of equal ones the lowest."""
    return lowest_argmax(model.logits(hidden, ids)) + ids.start


def autoregress(model: OpenVLA, prefix: Tensor, ids: slice) -> Tensor:
    """Token after token, [B, P, D] → ids [B, L]; every pass but the first computes one position."""
    length, start = model.config.tokens, prefix.shape[1]
    layout = model.layout(prefix, 0, length=start + length)
    hidden, cache = model.prefill(prefix, prefix[:, :0], layout)
    tokens = [likeliest(model, hidden[:, -1:], ids)]
    for slot in range(start, start + length - 1):
        x = model.embed(tokens[-1]).to(prefix.dtype)
        tokens.append(likeliest(model, model.extend(x, slot, cache, layout), ids))
    return torch.cat(tokens, 1)


def diffuse(model: OpenVLA, prefix: Tensor, decoding: Decoding, noise: Noise) -> Decoded:
    """Rounds of masked tokens, [B, P, D] → ids [B, L]."""
    ids = decoding.ids
    predictors = reused_pass(model, prefix, decoding.reuse) if decoding.reuse else block_pass(model, prefix)
    unknown = ids.stop - ids.start  # above what the logits can name

    def logits(tokens: Tensor) -> Tensor:
        given = torch.where(tokens == unknown, model.config.mask, tokens + ids.start)
        return model.logits(predictors(given), ids)

    found = decode(logits, model.config.tokens, decoding.diffusion, noise, mask_id=unknown)
    assert found.tokens is not None
    return replace(found, tokens=found.tokens + ids.start)


def block_pass(model: OpenVLA, prefix: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from action ids [B, L] to the states that predict them, [B, L, D].

    Where everything sees everything the prefix is computed again with each call, for it depends on the
    actions; where it does not see them, it is computed once here, and the first call must be of masked ids.
    """
    length = model.config.tokens
    layout = model.layout(prefix, length + 1)  # the end of the sequence is read, too
    if layout.mode == "full":
        return lambda ids: _whole_pass(model, prefix, model.block(ids))
    masked = torch.full((len(prefix), length), model.config.mask, device=prefix.device)
    states, cache = model.prefill(prefix, model.block(masked).to(prefix.dtype), layout)
    first = [states[:, :length]]

    def extend(ids: Tensor) -> Tensor:
        # the pass that filled the cache had masked actions only, as the first round has
        return first.pop() if first else _block_again(model, prefix, ids, cache, layout)

    return extend


def reused_pass(model: OpenVLA, prefix: Tensor, reuse: int) -> Callable[[Tensor], Tensor]:
    """`block_pass` of attention "full" that computes the prefix in every (reuse + 1)th call only.

    In between the actions see the prefix as it was when it had seen earlier actions: an approximation.
    """
    length, calls = model.config.tokens, count()
    layout, held = model.layout(prefix, length + 1), list[StaticCache]()

    def predict(ids: Tensor) -> Tensor:
        if next(calls) % (reuse + 1):
            return _block_again(model, prefix, ids, held[0], layout, approximate=True)
        held.clear()  # the next cache takes its room: two of them are gigabytes
        block = model.block(ids).to(prefix.dtype)
        states, cache = model.prefill(prefix, block, layout, approximate=True)
        held.append(cache)
        return states[:, :length]

    return predict


def _block_again(
    model: OpenVLA, prefix: Tensor, ids: Tensor, cache: StaticCache, layout: Layout, approximate: bool = False
) -> Tensor:
    """The prefix's last token and the block of action ids over a cache → their states, [B, L, D]."""
    x = torch.cat([prefix[:, -1:], model.block(ids).to(prefix.dtype)], 1)
    return model.extend(x, prefix.shape[1] - 1, cache, layout, approximate)[:, : model.config.tokens]
