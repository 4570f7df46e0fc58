"""A small vision-language-action model: two cameras, instruction and state, then the masked action tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.annotations import Count, Magnitude, Natural, Positive
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.building import make_seeded
from playloop.nn.decoder import StaticCache
from playloop.nn.layers import MLP, Linear, fourier_features
from playloop.nn.transformer import PrefixCache, Transformer, prefix_mask
from playloop.nn.vision import PATCH, Augmentation, Tower, patchify
from playloop.policies.diffusion import draw_masks
from playloop.tokenizers.actions import ActionTokenizer
from playloop.tokenizers.normalizer import QuantileNormalizer

STATE_LIMIT = 1.5
"""States beyond q01 … q99 still tell where they are; actions are clipped at 1, where their bins end."""

TARGET_UNIT = 10.0
"""Targets are metres; ten to the metre is of order one on a table."""


@kind("camera")
@checked
class CameraConfig:
    """One camera's tower.

    Args:
        channels: width of each stage.
        blocks: residual blocks in each stage.
        pool: side of the squares of grid cells that are averaged to one token.
        keypoints: soft keypoints, together one more token.
    """

    channels: tuple[Count, ...] = (48, 96, 192)
    blocks: tuple[Natural, ...] = (1, 1, 1)
    pool: Count = 1
    keypoints: Natural = 32


@kind("vla")
@checked
class VLAConfig:
    """The model's sizes and how it learns.

    Args:
        cameras: a tower for each camera, in the order of their tokens.
        image_size: height and width of the images that the towers see, or one number for both.
        instruction_size: size of an instruction's embedding.
        width: of the transformer.
        layers: of the transformer.
        heads: of its attention.
        expansion: of its MLPs: their width over the transformer's.
        chunk: actions decided at once.
        execute: actions of a chunk that are executed before the next decision, unless an agent's
            setting differs; None for all of them.
        attention: "prefix": the prefix never sees the action tokens, so that its keys and values are cached
            exactly; "full": everything sees everything, nothing can be cached.
        position: indices in `state` of the hand's position in metres, the frame in which targets are given.
        target_size: numbers in a target, positions in metres one after the other; 0 for no auxiliary loss.
        target_weight: of the auxiliary loss.
        target_noise: metres of noise on the predicted target that the action tokens see in training.
        draws: maskings of one sample that share its prefix in training.
        augmentation: of the training images.
    """

    cameras: dict[str, CameraConfig] = field(
        default_factory=lambda: {
            "agentview": CameraConfig(),
            "robot0_eye_in_hand": CameraConfig(channels=(32, 64, 128), pool=2),
        }
    )
    image_size: Count | tuple[Count, Count] = 128
    instruction_size: Count = 384
    width: Count = 192
    layers: Count = 4
    heads: Count = 3
    expansion: Positive = 2.0
    chunk: Count = 8
    execute: Count | None = None
    attention: Literal["prefix", "full"] = "prefix"
    position: tuple[Natural, Natural, Natural] = (0, 1, 2)
    target_size: Natural = 6
    target_weight: Magnitude = 1.0
    target_noise: Magnitude = 0.005
    draws: Count = 2
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def image_sides(self) -> tuple[int, int]:
        """Height and width of the images."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def make(self, statistics: dict[str, Any], seed: int = 0) -> VLA:
        """An untrained model for data with these statistics (`tokenizers.normalizer.compute_statistics`).

        Raises:
            ValueError: sizes do not fit each other or the statistics.
        """
        if self.target_size % 3:
            raise ValueError(
                f"policy.target_size={self.target_size}: a target is positions of 3 numbers each"
            )
        if self.width % self.heads:
            raise ValueError(f"policy.width={self.width}: it must be a multiple of heads={self.heads}")
        if self.execute is not None and self.execute > self.chunk:
            raise ValueError(f"policy.execute={self.execute}: a chunk has {self.chunk} actions")
        states = len(statistics["state"]["q01"])
        if self.target_size and not all(0 <= index < states for index in self.position):
            raise ValueError(f"policy.position={self.position}: the state has {states} numbers")
        return make_seeded(lambda: VLA(self, statistics), seed)


CLASSES = (CameraConfig, Augmentation)
"""What a `VLAConfig` holds, for those who read one from a file."""


@dataclass
class Prompt:
    """What the action tokens attend to.

    Args:
        embeddings: [B, P, D], the prefix before the transformer.
        condition: [B, D], added to every action token: where the target lies as seen from the hand.
        target: [B, target_size] in metres, predicted.
        cache: keys and values; None with full attention.
    """

    embeddings: Tensor
    condition: Tensor
    target: Tensor
    cache: PrefixCache | StaticCache | None


class CameraTokens(nn.Module):
    """One camera's image as tokens: the pooled grid, then one for the keypoints."""

    def __init__(self, config: CameraConfig, sides: tuple[int, int], condition: int, width: int):
        super().__init__()
        self.pool = config.pool
        self.tower = Tower(tuple(config.channels), tuple(config.blocks), condition, config.keypoints)
        self.grid = Linear(config.channels[-1], width)
        self.keypoints = Linear(2 * config.keypoints, width)
        # the first stage works on patches, each further one halves and rounds up
        cells = [-(-(side // PATCH) // 2 ** (len(config.channels) - 1)) // config.pool for side in sides]
        self.length = cells[0] * cells[1] + 1

    def forward(self, patches: Tensor, condition: Tensor) -> Tensor:
        """Patches and condition [B, E] → [B, length, D]."""
        grid, points = self.tower(patches, condition)
        if self.pool > 1:
            grid = F.avg_pool2d(grid, self.pool)
        cells = self.grid(grid.flatten(2).transpose(1, 2))
        return torch.cat([cells, self.keypoints(points.to(cells.dtype))[:, None]], dim=1)


class VLA(nn.Module):
    """The network of a discrete-diffusion policy.

    Token p of the block is read from the output at p itself. (OpenVLA-style weights are shifted by one: there
    the output at p - 1 tells token p, and the last prompt token belongs to the recomputed block.)
    """

    octaves = 6
    legal: Tensor
    slots: Tensor

    def __init__(self, config: VLAConfig, statistics: dict[str, Any]):
        super().__init__()
        self.config, self.statistics = config, statistics
        self.tokenizer = ActionTokenizer.from_statistics(statistics["action"], config.chunk)
        self.state = QuantileNormalizer.from_statistics(statistics["state"], STATE_LIMIT)
        width, bins = config.width, len(self.tokenizer.bins.ids)
        self.mask_id, self.length = bins, self.tokenizer.length
        cameras = {n: CameraTokens(c, config.image_sides, width, width) for n, c in config.cameras.items()}
        self.cameras = nn.ModuleDict(cameras)
        self.instruction = MLP(config.instruction_size, width, width)
        self.proprioception = MLP(self.state.size * (1 + 2 * self.octaves), width, width)
        prefix = sum(camera.length for camera in cameras.values()) + 3
        self.prefix_positions = nn.Parameter(0.02 * torch.randn(prefix, width))
        self.tokens = nn.Embedding(bins + 1, width)
        self.positions = nn.Parameter(0.02 * torch.randn(self.length, width))
        self.transformer = Transformer(width, config.layers, config.heads, config.expansion)
        self.head = Linear(width, bins)
        if config.target_size:
            self.target = MLP(width, width, config.target_size)
        if self.conditioned:
            self.condition = MLP(2 * config.target_size * (1 + 2 * self.octaves), width, width)
        self.register_buffer("legal", self.tokenizer.legal_ids(), persistent=False)
        self.register_buffer("slots", prefix + torch.arange(self.length), persistent=False)
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        # Neighbouring bins mean nearly the same: both tables start as smooth functions of the bin's centre.
        centers = self.tokenizer.bins.decode(torch.arange(self.mask_id))[:, None]
        waves = fourier_features(centers.float(), 5)
        for table in (self.tokens.weight, self.head.weight):
            mixing = torch.randn(waves.shape[1], self.config.width) / waves.shape[1] ** 0.5
            table[: self.mask_id] = 0.5 * table[: self.mask_id] * 0.02 + 0.05 * waves @ mixing
        self.tokens.weight[self.mask_id].mul_(0.02)

    # ------------------------------------------------------------------------------------------ forward

    def embed(
        self, images: dict[str, Tensor], state: Tensor, instruction: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """Patches of each camera, raw state [B, S], instruction [B, E] → prefix embeddings [B, P, D].

        The grounding token comes last: what it becomes predicts the target.
        """
        words = self.instruction(instruction.to(dtype))
        tokens = [camera(images[name], words) for name, camera in self.cameras.items()]
        normalized = self.state.normalize(state).float()
        body = self.proprioception(fourier_features(normalized, self.octaves).to(dtype))
        tokens += [words[:, None], body[:, None], torch.zeros_like(body)[:, None]]
        return torch.cat(tokens, dim=1) + self.prefix_positions.to(dtype)

    def prompt(
        self,
        images: dict[str, Tensor],
        state: Tensor,
        instruction: Tensor,
        dtype: torch.dtype,
        noise: Tensor | None = None,
    ) -> Prompt:
        """Everything that a round needs and no round changes.

        Args:
            images: uint8 [B, H, W, 3] or finished patches [B, 48, H / 4, W / 4] of each camera.
            state: raw, [B, S].
            instruction: [B, instruction_size].
            dtype: to compute in.
            noise: added to the predicted target, [B, target_size] in metres.
        """
        patches = {n: patchify(x, dtype) if x.dtype == torch.uint8 else x for n, x in images.items()}
        embeddings = self.embed(patches, state, instruction, dtype)
        if self.config.attention == "full":
            nothing = embeddings.new_zeros(len(embeddings), 1)
            return Prompt(embeddings, nothing, nothing, None)
        hidden, cache = self.transformer.prefill(embeddings, readout=1)
        target = self._predict(hidden[:, 0])
        # Detached: the prediction is taught by its label alone, however wrong early ones make the actions.
        seen = target.detach() if noise is None else target.detach() + noise
        return Prompt(embeddings, self.relate(seen, state).to(dtype), target, cache)

    def relate(self, target: Tensor, state: Tensor) -> Tensor:
        """The target [B, target_size] in the world and as seen from the hand, embedded: [B, D]."""
        if not self.conditioned:
            return target.new_zeros(len(target), 1)
        hand = state[:, list(self.config.position)].float()
        relative = target - hand.repeat(1, self.config.target_size // 3)
        return self.condition(fourier_features(torch.cat([target, relative], dim=1), self.octaves))

    @property
    def conditioned(self) -> bool:
        """Whether action tokens see the predicted target; with full attention it comes too late."""
        return self.config.target_size > 0 and self.config.attention == "prefix"

    def _predict(self, grounding: Tensor) -> Tensor:
        if not self.config.target_size:
            return grounding.new_zeros(len(grounding), 0)
        return self.target(grounding).float() / TARGET_UNIT

    def logits(self, prompt: Prompt, tokens: Tensor) -> Tensor:
        """Ids [B, L], `mask_id` where unknown → logits [B, L, 256], by the cached prefix if there is one."""
        if prompt.cache is None:
            return self.logits_uncached(prompt, tokens)
        block = self._block(prompt.condition, tokens)
        return self.head(self.transformer.extend(block, prompt.cache, self.slots))

    def logits_uncached(self, prompt: Prompt, tokens: Tensor) -> Tensor:
        """The same logits by one pass over prefix and action tokens together."""
        return self.head(self._joint(prompt.embeddings, prompt.condition, tokens)[:, -self.length :])

    def _joint(self, embeddings: Tensor, condition: Tensor, tokens: Tensor) -> Tensor:
        """Prefix [B, P, D] and action tokens in one pass, [B, P + L, D]."""
        sequence = torch.cat([embeddings, self._block(condition, tokens)], dim=1)
        masked = self.config.attention == "prefix"
        mask = prefix_mask(embeddings.shape[1], self.length, sequence.device) if masked else None
        return self.transformer.jointly(sequence, mask)

    def _block(self, condition: Tensor, tokens: Tensor) -> Tensor:
        embedded = F.embedding(tokens, self.tokens.weight) + self.positions  # [B, L, D]
        return embedded.to(condition.dtype) + condition[:, None]

    # ------------------------------------------------------------------------------------------ training

    def loss(
        self, batch: dict[str, Tensor], generator: torch.Generator, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of masked action tokens, and the target's smooth L1.

        Args:
            batch: "images.<camera>" uint8 [B, H, W, 3], "state" raw [B, S], "instruction" [B, E], "actions"
                raw [B, chunk, A], and with an auxiliary loss "target" [B, target_size] in metres.
            generator: on the batch's device, the source of all randomness.
            dtype: to compute in; by default bfloat16 when the model trains and float32 when it does not.

        Returns:
            The loss and detached metrics.
        """
        dtype = dtype or (torch.bfloat16 if self.training else torch.float32)
        config, draws = self.config, self.config.draws
        rows, noise = len(batch["state"]), None
        images = {name: patchify(batch[f"images.{name}"], dtype) for name in self.cameras}
        if self.training:
            images = {name: config.augmentation(x, generator) for name, x in images.items()}
            shape = rows, config.target_size
            noise = torch.randn(shape, generator=generator, device=batch["state"].device)
            noise = config.target_noise * noise
        prompt = self.prompt(images, batch["state"], batch["instruction"], dtype, noise)
        truth = self.tokenizer.encode(batch["actions"]).repeat_interleave(draws, 0)  # [B * draws, L]
        masked = draw_masks(rows * draws, self.length, generator)
        hidden, target = self._train_pass(prompt, truth.masked_fill(masked, self.mask_id))
        logits = self.head(hidden).float()
        each = F.cross_entropy(logits.transpose(1, 2), truth, reduction="none")
        count = masked.sum()
        loss = (each * masked).sum() / count
        right = ((logits.detach().argmax(-1) == truth) & masked).sum() / count
        metrics = {"cross_entropy": loss.detach(), "accuracy": right}
        if config.target_size:
            loss = loss + config.target_weight * self._target_loss(target, batch["target"].float(), metrics)
        metrics["loss"] = loss.detach()
        return loss, metrics

    def _train_pass(self, prompt: Prompt, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B * draws, L, D] of the block, and the predicted target [B * any, target_size]."""
        draws = self.config.draws
        condition = prompt.condition.repeat_interleave(draws, 0)
        if isinstance(prompt.cache, PrefixCache):
            block = self._block(condition, tokens)
            return self.transformer.extend(block, prompt.cache.repeat(draws), self.slots), prompt.target
        hidden = self._joint(prompt.embeddings.repeat_interleave(draws, 0), condition, tokens)
        return hidden[:, -self.length :], self._predict(hidden[:, -self.length - 1])

    def _target_loss(self, target: Tensor, truth: Tensor, metrics: dict[str, Tensor]) -> Tensor:
        truth = truth.repeat_interleave(len(target) // len(truth), 0)
        miss = (target.detach() - truth).unflatten(1, (-1, 3)).norm(dim=-1).mean(0)  # [positions]
        metrics.update({f"target_{index}_cm": 100 * value for index, value in enumerate(miss)})
        return F.smooth_l1_loss(target * TARGET_UNIT, truth * TARGET_UNIT, beta=0.1)
