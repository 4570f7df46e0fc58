"""What OpenVLA's family is trained to do, as one module: a batch in, a loss out.

diffusion  Discrete Diffusion VLA (arXiv 2508.20072): cross-entropy on masked action tokens and on the end.
parallel   OpenVLA-OFT with tokens (arXiv 2502.19645): all action tokens at once, from empty ones.
l1         OpenVLA-OFT: the action head regresses the normalised actions, from empty tokens.
distill    a student that is masked as in "diffusion" follows a frozen teacher whose attention sees more;
           after Fast-dVLA (arXiv 2603.25661).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import field
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.annotations import Magnitude
from playloop.core.checked import checked
from playloop.core.kinds import kind
from playloop.nn.lora import without_adapters
from playloop.policies.diffusion import draw_masks
from playloop.policies.openvla.attention import Mode
from playloop.policies.openvla.config import Decoder
from playloop.policies.openvla.images import MEANS, STDS, Moments
from playloop.policies.openvla.model import OpenVLA
from playloop.training.openvla.images import TrainingImages, centred

ObjectiveName = Literal["diffusion", "parallel", "l1", "distill"]
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)

DECODERS: dict[ObjectiveName, Decoder] = {
    "diffusion": "diffusion",
    "parallel": "parallel",
    "l1": "l1",
    "distill": "diffusion",
}
"""How what is trained is decoded."""

IGNORED = -100
"""The label of a position that is not supervised."""


@kind("openvla-objective")
@checked
class ObjectiveConfig:
    """What is minimised.

    Args:
        name: "diffusion", "parallel", "l1" or "distill".
        attention: what sees what in the trained model: "full" as released, or "block", whose prefix can be
            computed once.
        teacher_attention: what sees what in the teacher.
        divergence: weight of KL(teacher ‖ student) on the masked positions.
        truth: weight of the cross-entropy with the demonstrations beside it.
        changes: to the pictures, at random.
    """

    name: ObjectiveName = "diffusion"
    attention: Literal["full", "block"] = "full"
    teacher_attention: Literal["full", "block"] = "full"
    divergence: Magnitude = 1.0
    truth: Magnitude = 1.0
    changes: TrainingImages = field(default_factory=TrainingImages)

    def __post_init__(self) -> None:
        if not self.divergence + self.truth:
            raise ValueError("objective.divergence and objective.truth are both 0; one must be above it")


Batch = dict[str, Tensor]
"""images uint8 [B, I, S, S, 3], proprio float32 [B, P] normalised (where it is read), prompt int64 [B, L],
ids int64 [B, N] of the actions, values float32 [B, chunk, A] normalised."""


class Objective(nn.Module):
    """A model and what it is trained to do; called with a batch, so that it can be sharded.

    The teacher is that of "distill"; None: the model itself without its adapters. Means and deviations are
    the pictures', a triple for each vision transformer.
    """

    def __init__(
        self,
        model: OpenVLA,
        config: ObjectiveConfig,
        teacher: OpenVLA | None = None,
        means: Moments = MEANS,
        stds: Moments = STDS,
    ):
        super().__init__()
        self.model, self.config, self.teacher = model, config, teacher
        self.moments = means, stds

    def forward(
        self, batch: Batch, generator: torch.Generator, dtype: torch.dtype
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and detached metrics, computed in `dtype`.

        The generator, on the batch's device, draws changes to pictures while training, and masks.
        """
        images = self.pictures(batch["images"], generator).to(dtype)
        name, ids, model = self.config.name, batch["ids"], self.model
        if name in ("parallel", "l1"):
            masked = torch.ones_like(ids, dtype=torch.bool)
            block = model.blank(len(ids))
        else:
            masked = draw_masks(len(ids), ids.shape[1], generator)
            block = model.block(torch.where(masked, model.config.mask, ids))
        wanted = self._taught(images, batch, block, masked) if name == "distill" else None
        states = predictors(model, images, batch, block, self.config.attention)
        if name == "l1":
            found = model.act(states[:, : model.config.tokens])
            return F.l1_loss(found, batch["values"].to(found.dtype)), {}
        loss, right = cross_entropy(model, states, labelled(ids, masked, model.config.eos))
        if wanted is None:
            return loss, {"accuracy": right}
        scores = model.logits(states[:, : masked.shape[1]][masked]).log_softmax(-1)
        divergence = F.kl_div(scores, wanted.log_softmax(-1), reduction="batchmean", log_target=True)
        metrics = {"accuracy": right, "divergence": divergence.detach(), "truth": loss.detach()}
        return self.config.divergence * divergence + self.config.truth * loss, metrics

    def pictures(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changed at random while training, cropped in the middle otherwise, and normalised.

        uint8 [B, I, S, S, 3] → float32 [B, I, 3 * towers, S, S].
        """
        changes, flat = self.config.changes, images.flatten(0, 1)
        x = changes(flat, generator) if self.training else centred(flat, changes.area)
        pairs = zip(*(torch.tensor(m, device=x.device)[:, :, None, None] for m in self.moments), strict=True)
        return torch.cat([(x - mean) / std for mean, std in pairs], 1).unflatten(0, images.shape[:2])

    def _taught(self, images: Tensor, batch: Batch, block: Tensor, masked: Tensor) -> Tensor:
        """The teacher's scores of the masked tokens, [masked, vocabulary]."""
        teacher = self.teacher or self.model
        with torch.no_grad(), nullcontext() if self.teacher else without_adapters(self.model):
            states = predictors(teacher, images, batch, block, self.config.teacher_attention)
            return teacher.logits(states[:, : masked.shape[1]][masked])


def predictors(model: OpenVLA, images: Tensor, batch: Batch, block: Tensor, mode: Mode) -> Tensor:
    """One pass: the states that predict the block's tokens, [B, N + 1, D]; the last of them the end's.

    Pictures are normalised, [B, I, C, S, S], the block is embedded, [B, N + 1, D].
    """
    prefix = model.encode(images, batch.get("proprio"), batch["prompt"])
    layout = model.layout(prefix, block.shape[1], mode, model.padding(batch["prompt"]))
    return model(prefix, block.to(prefix.dtype), layout)[:, :-1]


def labelled(ids: Tensor, masked: Tensor, end: int) -> Tensor:
    """Labels of the states [B, N + 1]: masked tokens and, always, the end."""
    labels = torch.where(masked, ids, IGNORED)
    return F.pad(labels, (0, 1), value=end)


def cross_entropy(model: OpenVLA, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over all supervised tokens of the batch, over the whole table; and the share of right ones.

    A sample with more masks weighs more, as in Hugging Face's loss.
    """
    supervised = labels != IGNORED
    scores, wanted = model.logits(states[supervised]), labels[supervised]
    right = (scores.detach().argmax(-1) == wanted).float().mean()
    return F.cross_entropy(scores, wanted), right
