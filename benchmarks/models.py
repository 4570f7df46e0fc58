"""Networks for benches: random weights of a size, and the same weights computed in another way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from playloop.nn.decoder import Kernels, Llama
from playloop.nn.quantize import Kind, quantize

Network = TypeVar("Network", bound=nn.Module)


def random_model(make: Callable[[], Network], device: torch.device | str, dtype: torch.dtype) -> Network:
    """Random weights, made where they are used; they cost what trained ones do."""
    with torch.device("meta"):
        model = make()
    model = model.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, 0.02, generator=generator)
    return model


def variant(model: Network, dtype: torch.dtype, weights: Kind | None, kernels: Kernels = "torch") -> Network:
    """A network around the same parameters whose `llama` is computed otherwise.

    Its weights in eight bits are a copy; None leaves them as they are, shared. The kernels are those of
    passes of few tokens.
    """
    other = copy.copy(model)
    other._modules = dict(model._modules)  # a shallow copy shares this table
    llama = model.get_submodule("llama")
    assert isinstance(llama, Llama)
    changed = copy.copy(llama) if weights is None else copy.deepcopy(llama)
    if weights is not None:
        quantize(changed, weights)
    changed.choose_kernels(kernels, dtype)
    other._modules["llama"] = changed
    return other
