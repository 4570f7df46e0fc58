"""A function of tensors as one CUDA graph: a launch instead of thousands, and nothing waits for the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 3
"""Runs before the capture: libraries choose their kernels and take their workspaces in them."""


class Captured:
    """`captured(*tensors)` runs the function; on a GPU it replays what was recorded at the first call.

    The function must be made of device work alone: fixed shapes, no value that the host reads. Its inputs
    are copied into buffers of the graph's own, and what it returns is overwritten by the next call. Tensors
    that it closes over, a cache for instance, are the graph's too: whoever replaces one has to capture again.

    Args:
        function: of tensors; returns a tensor or any structure of them.
        enabled: False runs it as it is, for comparison.
        state: tensors that it goes on from and changes; the runs before the capture leave them as they were.
        beside: another one, whose graph's memory this one's may use too. They are never run at once, and what
            either returned is not read any more when the other is called.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        enabled: bool = True,
        state: Sequence[Tensor] = (),
        beside: Captured | None = None,
    ):
        self.function, self.enabled, self.state, self.beside = function, enabled, tuple(state), beside
        self._graph: Any = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: Any = None

    def __call__(self, *tensors: Tensor) -> Any:
        if not self.enabled or tensors[0].device.type != "cuda":
            return self.function(*tensors)
        # Buffers that were made in inference mode could not be written to outside of it.
        with torch.cuda.device(tensors[0].device), torch.inference_mode():
            return self._replay(tensors)

    def _replay(self, tensors: tuple[Tensor, ...]) -> Any:
        if self._graph is None:
            self._capture(tensors)
        for buffer, tensor in zip(self._inputs, tensors, strict=True):
            if buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                raise ValueError(
                    f"captured for {tuple(buffer.shape)} {buffer.dtype}, got {tuple(tensor.shape)} "
                    f"{tensor.dtype}: capture a graph for each shape"
                )
            buffer.copy_(tensor, non_blocking=True)
        self._graph.replay()
        return self._outputs

    def _capture(self, tensors: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in tensors)
        before = [tensor.clone() for tensor in self.state]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.function(*self._inputs)
                for tensor, value in zip(self.state, before, strict=True):
                    tensor.copy_(value)
        torch.cuda.current_stream().wait_stream(stream)
        graph, shared = torch.cuda.CUDAGraph(), None if self.beside is None else self.beside._graph
        with torch.cuda.graph(graph, pool=None if shared is None else shared.pool()):
            self._outputs = self.function(*self._inputs)
        self._graph = graph  # not before: a capture that failed is tried again
