"""From a prefix to a chunk of actions: the four ways in which OpenVLA's family decodes, as published.

autoregressive  OpenVLA: token after token, the likeliest of the whole table, over a cache.
parallel        OpenVLA-OFT with tokens: all at once from empty action tokens, the likeliest of the table.
l1              OpenVLA-OFT: all at once, the action head regresses the values.
diffusion       Discrete Diffusion VLA: masked tokens are filled in rounds, see `policies.diffusion`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import torch
from torch import Tensor

from playloop.nn.checks import check_types
from playloop.nn.decoder import StaticCache
from playloop.nn.sampling import lowest_argmax
from playloop.policies.diffusion import RELEASED, Decoded, DecoderConfig, Noise, decode
from playloop.policies.network import Chosen
from playloop.policies.openvla.config import Decoder, OpenVLAConfig
from playloop.policies.openvla.model import OpenVLA

Ids = Literal["table", "words", "actions"]


@dataclass(frozen=True)
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
    reuse: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        if self.reuse < 0:
            raise ValueError(f"reuse={self.reuse}: rounds, 0 or more")

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

    @property
    def draws(self) -> bool:
        """Whether randomness decides anything."""
        return self.decoder == "diffusion" and not self.diffusion.deterministic


def allowed_ids(ids: Ids, config: OpenVLAConfig) -> slice:
    """A named set of ids as a range of the table."""
    if ids == "table":
        return slice(0, config.vocabulary)
    return slice(config.words - config.bins if ids == "actions" else 0, config.words)


def decode_chunk(model: OpenVLA, prefix: Tensor, decoding: Decoding, noise: Noise) -> Chosen:
    """One decision for every row.

    Args:
        model: the networks.
        prefix: embedded, [B, P, D], without fillers.
        decoding: from `DecodingConfig.of`.
        noise: of the diffusion decoder, on the model's device; the others read nothing of it.
    """
    none = torch.zeros(len(prefix), dtype=torch.int64, device=prefix.device)
    if decoding.decoder == "diffusion":
        found = diffuse(model, prefix, decoding, noise)
        return Chosen(found.tokens, None, found.remasked, found.evaluations)
    if decoding.decoder == "autoregressive":
        return Chosen(autoregress(model, prefix, decoding.ids), None, none, model.config.tokens)
    hidden = _blank_pass(model, prefix)
    if decoding.decoder == "l1":
        return Chosen(None, model.act(hidden), none, 1)
    return Chosen(likeliest(model, hidden, decoding.ids), None, none, 1)


def first_pass(model: OpenVLA, prefix: Tensor) -> Tensor:
    """What the first pass says of each action token: prefix [B, P, D] → scores [B, L, 256] or values."""
    config = model.config
    kind = config.decoders[0]
    if kind == "autoregressive":
        block = model.embed(torch.full((len(prefix), 0), 0, device=prefix.device))
    elif kind == "diffusion":
        block = model.block(torch.full((len(prefix), config.tokens), config.mask, device=prefix.device))
    else:
        block = model.blank(len(prefix))
    states = model(prefix, block.to(prefix.dtype), model.layout(prefix, block.shape[1]))[:, : config.tokens]
    return model.act(states) if kind == "l1" else model.logits(states, allowed_ids("actions", config))


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
    config, ids = decoding.diffusion, decoding.ids
    predictors = reused_pass(model, prefix, decoding.reuse) if decoding.reuse else block_pass(model, prefix)
    unknown = ids.stop - ids.start  # above what the logits can name

    def logits(tokens: Tensor) -> Tensor:
        given = torch.where(tokens == unknown, model.config.mask, tokens + ids.start)
        return model.logits(predictors(given), ids)

    found = decode(logits, model.config.tokens, config, noise, mask_id=unknown)
    return Decoded(found.tokens + ids.start, found.confidence, found.remasked, found.evaluations)


def block_pass(model: OpenVLA, prefix: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from action ids [B, L] to the states that predict them, [B, L, D].

    Where everything sees everything the prefix is computed again with each call, for it depends on the
    actions; where it does not see them, it is computed once here, and the first call must be of masked ids.
    """
    length = model.config.tokens
    layout = model.layout(prefix, length + 1)  # the end of the sequence is read, too

    def block(ids: Tensor) -> Tensor:
        return model.block(ids).to(prefix.dtype)

    if layout.mode == "full":
        return lambda ids: model(prefix, block(ids), layout)[:, :length]
    masked = torch.full((len(prefix), length), model.config.mask, device=prefix.device)
    states, cache = model.prefill(prefix, block(masked), layout)
    last, start, first = prefix[:, -1:], prefix.shape[1] - 1, [states[:, :length]]

    def extend(ids: Tensor) -> Tensor:
        if first:  # the pass that filled the cache had masked actions only, as the first round has
            return first.pop()
        return model.extend(torch.cat([last, block(ids)], 1), start, cache, layout)[:, :length]

    return extend


def reused_pass(model: OpenVLA, prefix: Tensor, reuse: int) -> Callable[[Tensor], Tensor]:
    """`block_pass` of attention "full" that computes the prefix in every (reuse + 1)th call only.

    In between the actions see the prefix as it was when it had seen earlier actions: an approximation.
    """
    length, calls = model.config.tokens, count()
    layout = model.layout(prefix, length + 1)
    last, start, held = prefix[:, -1:], prefix.shape[1] - 1, list[StaticCache]()

    def predict(ids: Tensor) -> Tensor:
        block = model.block(ids).to(prefix.dtype)
        if next(calls) % (reuse + 1):
            x = torch.cat([last, block], 1)
            return model.extend(x, start, held[0], layout, approximate=True)[:, :length]
        held.clear()  # the next cache takes its room: two of them are gigabytes
        states, cache = model.prefill(prefix, block, layout, approximate=True)
        held.append(cache)
        return states[:, :length]

    return predict


def _blank_pass(model: OpenVLA, prefix: Tensor) -> Tensor:
    """States [B, L, D] that predict the actions, from empty action tokens."""
    block = model.blank(len(prefix)).to(prefix.dtype)
    return model(prefix, block, model.layout(prefix, block.shape[1]))[:, : model.config.tokens]
