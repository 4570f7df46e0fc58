"""Low-rank adapters (LoRA, arXiv 2106.09685) beside the linear layers and convolutions of a frozen model.

Published matrices may be parts of one fused product here (queries | keys | values, gate | value): every part
has an adapter of its own, as a published adapter has. The files are PEFT's; see `nn/adapter.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from playloop.core.annotations import Count, Positive
from playloop.core.checked import checked
from playloop.nn.layers import Conv2d, Linear
from playloop.nn.slots import Slot

WEIGHT = ".weight"


@checked(frozen=True)
class LoRAConfig:
    """Sizes of adapters.

    Args:
        rank: of every product.
        alpha: the product is scaled by alpha / rank; None: the smaller of rank and 16, OpenVLA's rule.
    """

    rank: Count = 32
    alpha: Positive | None = None

    @property
    def scale(self) -> float:
        """Factor of the product."""
        return (min(self.rank, 16) if self.alpha is None else self.alpha) / self.rank


@dataclass(frozen=True)
class Part:
    """A published layer within a linear layer: its name without ".weight", and the rows that it fills."""

    name: str
    start: int
    rows: int


class Adapter(nn.Module):
    """What adapted layers share: for each of their parts scale * B @ A, float32 whatever the layer is."""

    parts: tuple[Part, ...]
    config: LoRAConfig
    active: bool
    lora_a: nn.Parameter
    lora_b: nn.ParameterList
    _plain: Callable[[], Linear | Conv2d]

    def _put(
        self,
        base: Linear | Conv2d,
        plain: Callable[[], Linear | Conv2d],
        parts: Sequence[Part],
        config: LoRAConfig,
        generator: torch.Generator,
    ) -> None:
        """Make A ~ N(0, 1 / rank), PEFT's "gaussian", and B = 0, where the layer lies; `plain` makes one of
        its sizes."""
        self._plain = plain
        _check_parts(parts, len(base.weight))
        self.parts, self.config, self.active = tuple(parts), config, True
        device, shape, rank = base.weight.device, base.weight.shape, config.rank
        drawn = torch.randn(factor_shapes(shape, len(parts) * rank)[0], generator=generator) / rank
        self.lora_a = nn.Parameter(drawn.to(device))  # [parts * rank, in, …]
        sizes = [factor_shapes((part.rows, *shape[1:]), rank)[1] for part in parts]
        self.lora_b = nn.ParameterList(torch.zeros(size, device=device) for size in sizes)

    def delta(self) -> Tensor:
        """What the adapters add to the weight, float32 [out, in, …]."""
        pairs = zip(self.lora_a.split(self.config.rank), self.lora_b, strict=True)
        return self.config.scale * torch.cat([product(a, b) for a, b in pairs])

    def merged(self) -> Linear | Conv2d:
        """A plain layer with the adapters in its weight, added in float32, rounded to the weight's type."""
        with torch.device("meta"):
            layer = self._plain()
        own: Any = self
        weight = (own.weight.float() + self.delta()).to(own.weight.dtype).detach()
        layer.weight, layer.bias = nn.Parameter(weight, requires_grad=False), own.bias
        return layer


def product(down: Tensor, up: Tensor) -> Tensor:
    """B @ A in the shape of the weight: A [rank, in, …] and B [out, rank, 1 …] → [out, in, …]."""
    return (up.flatten(1) @ down.flatten(1)).unflatten(1, down.shape[1:])


def factor_shapes(weight: Sequence[int], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of A and B beside a weight [out, in, …]: A has a convolution's window, B one of 1 x 1."""
    return (rank, *weight[1:]), (weight[0], rank, *(1 for _ in weight[2:]))


def _check_parts(parts: Sequence[Part], rows: int) -> None:
    """Refuse parts that leave rows of a weight out or overlap."""
    row = 0
    for part in parts:
        if part.start != row:
            raise ValueError(f"{part.name} begins at row {part.start}, not at {row}: parts are missing")
        row += part.rows
    if row != rows:
        raise ValueError(f"{parts[-1].name} ends at row {row}, the layer at {rows}")


class LoRALinear(Adapter, Linear):
    """A linear layer, whose weight and bias it takes over, and adapters of the parts that make up its rows.

    A is drawn on the CPU, B is 0, so that nothing changes at first.

    Raises:
        ValueError: the parts leave rows out or overlap.
    """

    def __init__(self, base: Linear, parts: Sequence[Part], config: LoRAConfig, generator: torch.Generator):
        rows, columns, bias = base.out_features, base.in_features, base.bias is not None
        with torch.device("meta"):
            Linear.__init__(self, columns, rows, bias)
        self.weight, self.bias = base.weight, base.bias
        self._put(base, partial(Linear, columns, rows, bias), parts, config, generator)

    def forward(self, x: Tensor) -> Tensor:
        y = Linear.forward(self, x)
        return y + self._beside(x) if self.active else y

    def rows(self, x: Tensor, rows: slice | Tensor) -> Tensor:
        y = Linear.rows(self, x, rows)
        return y + self._beside(x)[..., rows] if self.active else y

    def _beside(self, x: Tensor) -> Tensor:
        inner = self.config.scale * F.linear(x, self.lora_a.to(x.dtype))  # [..., parts * rank]
        pairs = zip(inner.split(self.config.rank, -1), self.lora_b, strict=True)
        return torch.cat([F.linear(low, b.to(x.dtype)) for low, b in pairs], -1)


class LoRAConv2d(Adapter, Conv2d):
    """A convolution and its adapter: A has the layer's window, B one of 1 x 1, as PEFT's has."""

    def __init__(self, base: Conv2d, parts: Sequence[Part], config: LoRAConfig, generator: torch.Generator):
        if base.groups != 1 or base.padding_mode != "zeros":
            raise ValueError(f"{parts[0].name}: only plain convolutions are adapted")
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
        sizes = {name: getattr(base, name) for name in names} | {"bias": base.bias is not None}
        with torch.device("meta"):
            Conv2d.__init__(self, **sizes)
        self.weight, self.bias = base.weight, base.bias
        self._put(base, partial(Conv2d, **sizes), parts, config, generator)

    def forward(self, x: Tensor) -> Tensor:
        y = Conv2d.forward(self, x)
        if not self.active:
            return y
        low = F.conv2d(x, self.lora_a.to(x.dtype), None, self.stride, self.padding, self.dilation)
        return y + self.config.scale * F.conv2d(low, self.lora_b[0].to(x.dtype))


def adapt(
    model: nn.Module, slots: Mapping[str, Slot], config: LoRAConfig, generator: torch.Generator
) -> None:
    """Freeze a model and put adapters beside the layers that the slots fill, in place and in its order.

    Slots, by published name, of biases, norms and tables are passed over; the generator is on the CPU.

    Raises:
        ValueError: no slot lies in such a layer, or a layer's parts do not make up its rows.
    """
    grouped = layer_parts(model, slots)
    if not grouped:
        raise ValueError("no published name lies in a linear layer or convolution: nothing can be adapted")
    model.requires_grad_(False)
    for name in [name for name, _ in model.named_modules() if name in grouped]:
        layer = model.get_submodule(name)
        kind: Any = LoRALinear if isinstance(layer, Linear) else LoRAConv2d
        model.set_submodule(name, kind(layer, grouped[name], config, generator))


def layer_parts(model: nn.Module, slots: Mapping[str, Slot]) -> dict[str, list[Part]]:
    """The published layers within each of ours, by our layer's name and in the order of rows."""
    grouped: dict[str, list[Part]] = {}
    modules = dict(model.named_modules())
    for name, slot in slots.items():
        owner = slot.parameter.removesuffix(WEIGHT)
        layer = modules.get(owner)
        if not name.endswith(WEIGHT) or not isinstance(layer, Linear | Conv2d):
            continue
        rows = len(layer.weight) if slot.rows is None else slot.rows
        grouped.setdefault(owner, []).append(Part(name.removesuffix(WEIGHT), slot.start, rows))
    return {owner: sorted(parts, key=lambda part: part.start) for owner, parts in grouped.items()}


def adapters(model: nn.Module) -> dict[str, Adapter]:
    """The adapted layers of a model, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Adapter)}


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
