"""Compile the kernels for an H100, which takes no GPU; a script, for Triton must not have begun to interpret.

Prints a JSON object: kernel → bytes that it spills, and whether it multiplies on tensor cores.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path

HALF = "*bf16"
LINEAR = dict.fromkeys(("x", "gain", "added", "out"), HALF) | {"scale": "*fp32"}
LINEAR |= {"rows": "i32", "width": "i32", "eps": "fp32"}
ATTENTION = dict.fromkeys(("queries", "keys", "values", "bias"), HALF)
ATTENTION |= dict.fromkeys(("found", "most", "total"), "*fp32")
ATTENTION |= dict.fromkeys(("rows", "count", "slots", "steps", "bias_batch", "groups"), "i32") | {
    "scale": "fp32"
}
DRAW = {
    "logits": HALF,
    "uniform": "*fp32",
    "ids": "*i64",
    "count": "i32",
    "temperature": "fp32",
    "wanted": "fp64",
}
STORE = dict.fromkeys(("projected", "cosines", "sines", "queries", "keys", "values"), HALF) | {
    "slots": "*i64"
}
STORE |= dict.fromkeys(("count", "written", "length", "rotary_batch", "slots_batch"), "i32")
JOIN = dict.fromkeys(("found", "most", "total"), "*fp32") | {"out": HALF}
JOIN |= dict.fromkeys(("rows", "count", "parts", "groups"), "i32")


def linear(rows, columns, depth, weight=HALF, normed=False, gated=False, first=False):
    flags = {"NORMED": normed, "FIRST": first, "GATED": gated, "ADDED": not normed, "SCALED": weight != HALF}
    sizes = {"DEPTH": depth, "ROWS": rows, "COLUMNS": columns, "STEP": 128}
    return "linear", "_linear", LINEAR | {"weight": weight}, sizes | flags, 4


def attention(rows, size):
    constants = {"ROWS": rows, "SIZE": size, "STEP": 64, "BIASED": True}
    return "attention", "_ranges", ATTENTION, constants, 4 if rows < 64 else 8


KERNELS = {
    "linear, MineWorld 300M, heads": linear(16, 16, 1024, normed=True),
    "linear, MineWorld 300M, gate": linear(16, 32, 1024, normed=True, gated=True, first=True),
    "linear, OpenVLA, heads": linear(64, 64, 4096, normed=True),
    "linear, OpenVLA, gate in fp8": linear(64, 32, 4096, "*fp8e4nv", normed=True, gated=True),
    "linear, OpenVLA, outer in int8": linear(64, 32, 11008, "*i8"),
    "attention, MineWorld": attention(64, 64),
    "attention, OpenVLA": attention(64, 128),
    "join": ("attention", "_join", JOIN, {"PARTS": 64, "SIZE": 64}, 4),
    "heads": ("attention", "_store", STORE, {"HEADS": 16, "GROUPS": 4, "HALF": 32}, 1),
    "draw": ("draw", "_draw", DRAW, {"CODES": 8192, "KEPT": "mass"}, 16),
}
"""Name → module, kernel, types of its arguments, its constants and warps."""


def compiled(module, kernel, types, constants, warps):
    """Bytes spilled, tensor cores used."""
    import importlib

    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(importlib.import_module(f"playloop.nn.fused.{module}"), kernel)
    order = [name for name in function.arg_names if name in types or name in constants]
    signature = {name: types.get(name, "constexpr") for name in order}
    aligned = {
        (place,): [["tt.divisibility", 16]] for place, kind in enumerate(signature.values()) if kind[0] == "*"
    }
    source = ASTSource(function, signature, constexprs=constants, attrs=aligned)
    ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps}).asm["ptx"]
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        assembler = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
        command = [assembler, "-v", "--gpu-name=sm_90a", file.name, "-o", "/dev/null"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = sum(int(number) for number in re.findall(r"(\d+) bytes spill stores", said))
    return spilled, "mma" in ptx


if __name__ == "__main__":
    print(json.dumps({name: compiled(*kernel) for name, kernel in KERNELS.items()}))
