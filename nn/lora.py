"""Low-rank adapters (LoRA, arXiv 2106.09685) beside the linear layers of a frozen model.

Published matrices may be parts of one fused product here (queries | keys | values, gate | value): every part
has an adapter of its own, as a published adapter has. The files are PEFT's; see `nn/adapter.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.nn.layers import Linear
from playloop.nn.slots import Slot

WEIGHT = ".weight"


@dataclass(frozen=True)
class LoRAConfig:
    """Sizes of adapters.

    Args:
        rank: of every product.
        alpha: the product is scaled by alpha / rank; None: the smaller of rank and 16, OpenVLA's rule.
    """

    rank: int = 32
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank={self.rank}: use 1 or more")

    @property
    def scale(self) -> float:
        """Factor of the product."""
        return (min(self.rank, 16) if self.alpha is None else self.alpha) / self.rank


@dataclass(frozen=True)
class Part:
    """A published layer within a linear layer.

    Args:
        name: the published one, without ".weight".
        start: first row of the weight that it fills.
        rows: how many.
    """

    name: str
    start: int
    rows: int


class LoRALinear(Linear):
    """A layer and, for each of its parts, scale * B @ A beside it; A and B are float32 whatever the layer is.

    Args:
        base: whose weight and bias it takes over.
        parts: that make up its rows, in order.
        config: sizes of the adapters.
        generator: on the CPU, for A; B is 0, so that nothing changes at first. A ~ N(0, 1 / rank), PEFT's
            "gaussian".

    Raises:
        ValueError: the parts leave rows out or overlap.
    """

    def __init__(self, base: Linear, parts: Sequence[Part], config: LoRAConfig, generator: torch.Generator):
        with torch.device("meta"):
            super().__init__(base.in_features, base.out_features, bias=base.bias is not None)
        place = 0
        for part in parts:
            if part.start != place:
                raise ValueError(f"{part.name} begins at row {part.start}, not at {place}: parts are missing")
            place += part.rows
        if place != base.out_features:
            raise ValueError(f"{parts[-1].name} ends at row {place}, the layer at {base.out_features}")
        self.parts, self.config, self.active = tuple(parts), config, True
        self.weight, self.bias = base.weight, base.bias
        device, rank = base.weight.device, config.rank
        drawn = torch.randn(len(parts) * rank, base.in_features, generator=generator) / rank
        self.lora_a = nn.Parameter(drawn.to(device))  # [parts * rank, in]
        self.lora_b = nn.ParameterList(torch.zeros(part.rows, rank, device=device) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if not self.active:
            return y
        inner = self.config.scale * F.linear(x, self.lora_a.to(x.dtype))  # [..., parts * rank]
        pairs = zip(inner.split(self.config.rank, -1), self.lora_b, strict=True)
        return y + torch.cat([F.linear(low, b.to(x.dtype)) for low, b in pairs], -1)

    def delta(self) -> Tensor:
        """What the adapters add to the weight, float32 [out, in]."""
        pairs = zip(self.lora_a.split(self.config.rank), self.lora_b, strict=True)
        return self.config.scale * torch.cat([b @ a for a, b in pairs])

    def merged(self) -> Linear:
        """A plain layer with the adapters in its weight, added in float32, rounded to the weight's type."""
        with torch.device("meta"):
            layer = Linear(self.in_features, self.out_features, bias=self.bias is not None)
        weight = (self.weight.float() + self.delta()).to(self.weight.dtype).detach()
        layer.weight, layer.bias = nn.Parameter(weight, requires_grad=False), self.bias
        return layer


def adapt(
    model: nn.Module, slots: Mapping[str, Slot], config: LoRAConfig, generator: torch.Generator
) -> None:
    """Freeze a model and put adapters beside the linear layers that the slots fill, in place.

    Args:
        model: to adapt.
        slots: by published name; those of biases, norms, tables and convolutions are passed over.
        config: sizes of the adapters.
        generator: on the CPU. The layers are filled in the model's order.

    Raises:
        ValueError: no slot lies in a linear layer, or a layer's parts do not make up its rows.
    """
    grouped = linear_parts(model, slots)
    if not grouped:
        raise ValueError("no published name lies in a linear layer: nothing can be adapted")
    model.requires_grad_(False)
    for name in [name for name, _ in model.named_modules() if name in grouped]:
        layer = model.get_submodule(name)
        assert isinstance(layer, Linear)
        model.set_submodule(name, LoRALinear(layer, grouped[name], config, generator))


def linear_parts(model: nn.Module, slots: Mapping[str, Slot]) -> dict[str, list[Part]]:
    """The published layers within each linear layer, by our layer's name and in the order of rows."""
    grouped: dict[str, list[Part]] = {}
    modules = dict(model.named_modules())
    for name, slot in slots.items():
        owner = slot.parameter.removesuffix(WEIGHT)
        layer = modules.get(owner)
        if not name.endswith(WEIGHT) or not isinstance(layer, Linear):
            continue
        rows = layer.out_features if slot.rows is None else slot.rows
        grouped.setdefault(owner, []).append(Part(name.removesuffix(WEIGHT), slot.start, rows))
    return {owner: sorted(parts, key=lambda part: part.start) for owner, parts in grouped.items()}


def adapters(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of a model, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}


def merge(model: nn.Module) -> None:
    """Replace every adapted layer by a plain one with the adapters in its weight, in place."""
    for name, layer in adapters(model).items():
        model.set_submodule(name, layer.merged())


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Inside the block the model computes what it did before it was adapted."""
    layers = adapters(model).values()
    before = [layer.active for layer in layers]
    for layer in layers:
        layer.active = False
    try:
        yield
    finally:
        for layer, active in zip(layers, before, strict=True):
            layer.active = active
