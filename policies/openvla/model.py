"""The networks of OpenVLA, OpenVLA-OFT and Discrete Diffusion VLA (arXiv 2406.09246, 2502.19645, 2508.20072).

One sequence serves all three: `<s>`, the patches of every picture, the robot's state if it is read, the rest
of the prompt; then a block of action tokens. What comes out at a token predicts the token after it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.nn.decoder import Llama, StaticCache
from playloop.nn.layers import LayerNorm, Linear
from playloop.nn.vit import FiLM, ViT
from playloop.policies.openvla.attention import Layout, Mode
from playloop.policies.openvla.config import OpenVLAConfig


class Projector(nn.Module):
    """Features of a patch […, features] → a token of the language model […, width], in three layers."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.first = Linear(features, 4 * features)
        self.second = Linear(4 * features, width)
        self.third = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(F.gelu(self.second(F.gelu(self.first(x)))))


class ProprioProjector(nn.Module):
    """The robot's state […, size] → a token of the language model […, width]."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.first = Linear(size, width)
        self.second = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(x)))


class ResidualBlock(nn.Module):
    """Norm, layer and ReLU, added to the stream."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = LayerNorm(width)
        self.layer = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.layer(self.norm(x)))


class ActionHead(nn.Module):
    """OFT's regression: states of an action's tokens, side by side → the action's numbers in one step.

    Args:
        width: of a state.
        action: numbers, and tokens, of an action.
    """

    def __init__(self, width: int, action: int):
        super().__init__()
        self.action = action
        self.norm_in = LayerNorm(width * action)
        self.first = Linear(width * action, width)
        self.blocks = nn.Sequential(ResidualBlock(width), ResidualBlock(width))
        self.norm_out = LayerNorm(width)
        self.last = Linear(width, action)

    def forward(self, hidden: Tensor) -> Tensor:
        """States [B, chunk * action, width] → normalised actions [B, chunk, action]."""
        x = hidden.unflatten(1, (-1, self.action)).flatten(2)
        return self.last(self.norm_out(self.blocks(F.relu(self.first(self.norm_in(x))))))


class OpenVLA(nn.Module):
    """Vision transformers, projectors, language model and heads; decoding belongs to whoever uses it.

    Everything is computed in the type of the images that `see` is given.
    """

    def __init__(self, config: OpenVLAConfig):
        super().__init__()
        self.config = config
        width = config.llama.width
        self.towers = nn.ModuleList(ViT(tower) for tower in config.towers)
        film = (FiLM(width, tower) for tower in config.towers)
        self.films = nn.ModuleList(film) if config.film else None
        self.projector = Projector(config.features, width)
        self.proprio = None if config.proprio is None else ProprioProjector(config.proprio, width)
        self.table = nn.Embedding(config.vocabulary, width)
        self.llama = Llama(config.llama)
        self.head = Linear(width, config.vocabulary, bias=False)
        self.action_head = ActionHead(width, config.action) if config.l1 else None
        self._layouts: dict[tuple[Any, ...], Layout] = {}

    def encode(self, images: Tensor, proprio: Tensor | None, prompt: Tensor) -> Tensor:
        """Everything before the actions, embedded, [B, P, D]; see `see` and `prefix`."""
        return self.prefix(self.see(images, prompt if self.config.film else None), proprio, prompt)

    def see(self, images: Tensor, words: Tensor | None = None) -> Tensor:
        """Pictures → tokens of the language model, [B, images * patches of one, D].

        Args:
            images: [B, images, 3 * towers, S, S], each tower's channels normalised for it, DINOv2 first.
            words: ids of the whole prompt, int64 [B, L], which modulate the towers where the checkpoint has
                FiLM. As in OFT, the end of the sequence counts as a word.

        Raises:
            ValueError: a shape is another one, or words are missing.
        """
        config = self.config
        wanted = config.images, config.channels, config.image, config.image
        if tuple(images.shape[1:]) != wanted:
            raise ValueError(f"images have the shape {tuple(images.shape)}, not {('B', *wanted)}")
        if (words is None) == config.film:
            raise ValueError(f"this checkpoint {'needs' if config.film else 'does not take'} words to see")
        modulations: list[Any] = [None] * len(config.towers)
        if words is not None and self.films is not None:
            condition = self.condition(words).to(images.dtype).repeat_interleave(config.images, 0)
            modulations = [film(condition) for film in self.films]
        features = [
            tower(images[:, :, 3 * number : 3 * number + 3].flatten(0, 1), modulation)  # [B * I, 3, S, S]
            for number, (tower, modulation) in enumerate(zip(self.towers, modulations, strict=True))
        ]
        return self.projector(torch.cat(features, -1)).view(len(images), config.patches, -1)

    def condition(self, words: Tensor) -> Tensor:
        """The mean embedding of a prompt and the end of the sequence, fillers left out: [B, L] → [B, D]."""
        ids = F.pad(words, (0, 1), value=self.config.eos)
        real = (ids != self.config.padding)[..., None]
        return (self.table(ids) * real).sum(1) / real.sum(1)

    def prefix(self, patches: Tensor, proprio: Tensor | None, prompt: Tensor) -> Tensor:
        """Everything before the actions, [B, P, D]: `<s>`, patches, state, the rest of the prompt.

        Args:
            patches: as `see` returns them.
            proprio: normalised state [B, proprio]; None exactly where the checkpoint does not read it.
            prompt: ids, int64 [B, L]: `<s>` first, 29871 last; shorter rows carry fillers after `<s>`.

        Raises:
            ValueError: the state is missing, superfluous or of another size.
        """
        size = self.config.proprio
        if size is None and proprio is not None:
            raise ValueError("this checkpoint has no proprio projector: give no state")
        if size is not None and (proprio is None or proprio.shape[1:] != (size,)):
            found = "none is given" if proprio is None else f"it has the shape {tuple(proprio.shape)}"
            raise ValueError(f"this checkpoint reads a state of {size} numbers, [B, {size}]; {found}")
        embedded = self.embed(prompt).to(patches.dtype)
        state = []
        if proprio is not None and self.proprio is not None:
            state = [self.proprio(proprio.to(patches.dtype))[:, None]]
        return torch.cat([embedded[:, :1], patches, *state, embedded[:, 1:]], 1)

    def check_prompts(self, prompt: Tensor) -> None:
        """Refuse prompts, int64 [B, L], that `prefix` would take apart wrongly; on the host, not to wait.

        Raises:
            ValueError: one does not begin with `<s>`.
        """
        if not bool((prompt[:, 0] == self.config.bos).all()):
            raise ValueError(f"every prompt must begin with the id {self.config.bos}; fillers come after it")

    def padding(self, prompt: Tensor) -> Tensor | None:
        """Which tokens of the prefix are fillers, bool [B, P]; None if none is. Prompts int64 [B, L]."""
        fillers = prompt == self.config.padding
        if not bool(fillers.any()):
            return None
        inserted = self.config.patches + (self.config.proprio is not None)
        real = fillers.new_zeros(len(prompt), inserted)
        return torch.cat([fillers[:, :1], real, fillers[:, 1:]], 1)

    def embed(self, ids: Tensor) -> Tensor:
        """Ids, int64 […] → rows of the table, […, D]."""
        return self.table(ids)

    def block(self, ids: Tensor) -> Tensor:
        """Action ids [B, N] and the end of the sequence, embedded: [B, N + 1, D]."""
        return self.embed(F.pad(ids, (0, 1), value=self.config.eos))

    def blank(self, batch: int) -> Tensor:
        """A block whose actions are zeros, as OFT's parallel decoders read it: [B, tokens + 1, D]."""
        end = self.table.weight[self.config.eos].expand(batch, 1, -1)
        return torch.cat([end.new_zeros(batch, self.config.tokens, end.shape[-1]), end], 1)

    def logits(self, hidden: Tensor, ids: slice | Tensor | None = None) -> Tensor:
        """Scores, float32, hidden […, D] → […, ids], of a range of ids, of those in int64 [n], or of all."""
        # As one matrix: of a slice of rows, torch would copy the weights for every product.
        flat = hidden.reshape(-1, hidden.shape[-1])
        scores = self.head(flat) if ids is None else self.head.rows(flat, ids)
        return scores.float().unflatten(0, hidden.shape[:-1])

    def act(self, hidden: Tensor) -> Tensor:
        """OFT's regression: states [B, chunk * action, D] → normalised actions [B, chunk, action], float32.

        Raises:
            ValueError: the checkpoint has no action head, or there are more or fewer states.
        """
        if self.action_head is None:
            raise ValueError(f"this checkpoint has no action head; decode with {self.config.decoders}")
        if hidden.shape[1] != self.config.tokens:
            raise ValueError(f"{hidden.shape[1]} states; the head reads {self.config.tokens}")
        return self.action_head(hidden).float()

    def layout(
        self,
        prefix: Tensor,
        block: int,
        mode: Mode | None = None,
        padding: Tensor | None = None,
        length: int | None = None,
    ) -> Layout:
        """Positions and bias for a prefix [B, P, D] and a block of so many tokens; see `Layout`.

        A mode of None is the one that the checkpoint was trained in.
        """
        mode = self.config.attention if mode is None else mode
        form = mode, prefix.shape[1], block, prefix.dtype, prefix.device, padding, length
        if padding is not None:
            return Layout(self.config.llama, *form)
        # Kept: making one waits for the device, and tables are the same for every prompt of a length.
        key = *form, torch.is_inference_mode_enabled()
        if key not in self._layouts:
            self._layouts[key] = Layout(self.config.llama, *form)
        return self._layouts[key]

    def forward(self, prefix: Tensor, block: Tensor, layout: Layout) -> Tensor:
        """One joint pass over prefix [B, P, D] and block [B, N, D], N ≥ 0 → states [B, 1 + N, D].

        State i predicts the block's token i, for the prefix's last token predicts the first; the last state
        predicts what would come after the block.

        Raises:
            ValueError: the layout is of another sequence.
        """
        layout.check(prefix, block)
        count = layout.prefix + layout.block
        x = torch.cat([prefix, block], 1)
        return self.llama(x, layout.turn(0, count), layout.bias, wanted=layout.block + 1)

    def prefill(
        self, prefix: Tensor, block: Tensor, layout: Layout, approximate: bool = False
    ) -> tuple[Tensor, StaticCache]:
        """`forward` that keeps keys and values: its states, and a cache of `layout.length` slots.

        With `approximate` those of attention "full" are kept, too, where they are right for this block only.

        Raises:
            ValueError: the layout is of another sequence, or of attention "full".
        """
        layout.check(prefix, block)
        self._check_cacheable(layout, approximate)
        count = layout.prefix + layout.block
        cache = StaticCache.empty(self.config.llama, len(prefix), layout.length, prefix.dtype, prefix.device)
        slots = torch.arange(count, device=prefix.device)
        x, bias = torch.cat([prefix, block], 1), layout.bias_of(0, count, layout.length)
        return self.llama(x, layout.turn(0, count), bias, cache, slots, layout.block + 1), cache

    def extend(
        self, x: Tensor, start: int, cache: StaticCache, layout: Layout, approximate: bool = False
    ) -> Tensor:
        """More tokens over a cache, whose slots they fill: x [B, n, D] → their states [B, n, D].

        Args:
            x: embedded tokens. "block": the prefix's last token and the whole block, again in every round.
                "causal": any tokens that follow those in the cache.
            start: slot of the first of them. "block": P - 1.
            cache: as `prefill` returns it; changed.
            layout: the one that the cache was made with.
            approximate: as "block" over a cache of attention "full".

        Raises:
            ValueError: the tokens do not fit the layout.
        """
        self._check_cacheable(layout, approximate)
        count = x.shape[1]
        again = layout.prefix - 1, layout.block + 1
        if layout.mode != "causal" and (start, count) != again:
            raise ValueError(f"{count} tokens from position {start}; a block has {again[1]} from {again[0]}")
        if not 0 <= start <= start + count <= layout.length:
            raise ValueError(f"{count} tokens from position {start} leave a cache of {layout.length}")
        slots = torch.arange(start, start + count, device=x.device)
        bias = layout.bias_of(start, count, layout.length)
        return self.llama(x, layout.turn(start, count), bias, cache, slots)

    def _check_cacheable(self, layout: Layout, approximate: bool) -> None:
        if layout.mode == "full" and not approximate:
            raise ValueError(
                'attention="full": all keys depend on the actions, so none can be kept; use forward'
            )
