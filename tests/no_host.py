"""What a CUDA graph cannot hold, seen on a CPU: values that the host reads, and tensors of its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READ = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2")
"""Operations whose result, or whose shape, is a value."""
ASKED = ("tensor", "as_tensor", "from_numpy", "item", "tolist", "numpy", "cpu")
ASKED += ("__int__", "__float__", "__bool__", "__index__")
"""Calls that make a tensor of the host's numbers, or numbers of a tensor."""


class NoExchange(TorchFunctionMode):
    """Fails at these calls; in inference mode the dispatcher does not see all of them."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in ASKED:
            raise AssertionError(f"{function} waits for the host")
        return function(*args, **(kwargs or {}))


class NoHost(TorchDispatchMode):
    """Fails where the host reads a value."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        name = function.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        )
        if name in READ or masks:
            raise AssertionError(f"{function} waits for the host")
        return function(*args, **(kwargs or {}))


def without_host(function: Callable[..., Any], *tensors: torch.Tensor) -> int:
    """Calls it twice, as before a capture and in it; says how many operations the second call has."""
    function(*tensors)
    with NoExchange(), NoHost() as seen:
        function(*tensors)
    return seen.operations
