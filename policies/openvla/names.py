"""Published names and shapes of OpenVLA's tensors, and where each goes in `OpenVLA`.

The names are those of openvla/openvla-7b and of OpenVLA-OFT's further files. What the network does not read
(last blocks, last norms, SigLIP's pooling) may be in a file and is checked there, but not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from playloop.nn.slots import Slot, llama_slots
from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.config import OpenVLAConfig

Shapes = dict[str, tuple[int, ...]]

FEATURIZERS = ("featurizer", "fused_featurizer")
LANGUAGE = "language_model."
VISION = "vision_backbone."
FILMS = "films."
"""Where `OpenVLA` keeps FiLM's scales and shifts."""

BLOCK = {
    "norm1": "norm_attention",
    "attn.qkv": "project",
    "attn.proj": "out",
    "norm2": "norm_mlp",
    "mlp.fc1": "inner",
    "mlp.fc2": "outer",
}
"""timm's names of a block's layers → ours."""

LAYER_SCALE = {"ls1.scale_factor": "scale_attention", "ls2.scale_factor": "scale_mlp"}


def current(name: str) -> str:
    """timm calls a layer scale `gamma`, the published files `scale_factor`: the latter for both."""
    return re.sub(r"(\.ls[12])\.gamma$", r"\1.scale_factor", name)


def linear_slots(pairs: Iterable[tuple[str, str]]) -> dict[str, Slot]:
    """Published name → ours, of layers with weight and bias."""
    return {f"{a}.{part}": Slot(f"{b}.{part}") for a, b in pairs for part in ("weight", "bias")}


def block_slots(config: ViTConfig, theirs: str, ours: str) -> dict[str, Slot]:
    """A vision block's slots; both prefixes end with a dot."""
    slots = linear_slots((theirs + a, ours + b) for a, b in BLOCK.items())
    if config.layer_scale:
        slots |= {theirs + a: Slot(ours + b) for a, b in LAYER_SCALE.items()}
    return slots


def tower_slots(config: ViTConfig, theirs: str, number: int, film: bool = False) -> dict[str, Slot]:
    """A vision transformer's slots; `theirs` is the prefix of the published names, with its dot.

    With FiLM every block is wrapped, with a scale and a shift beside it.
    """
    ours = f"towers.{number}."
    slots = linear_slots([(f"{theirs}patch_embed.proj", f"{ours}patches")])
    slots[f"{theirs}pos_embed"] = Slot(f"{ours}positions")
    if config.cls:
        slots[f"{theirs}cls_token"] = Slot(f"{ours}cls")
    if config.registers:
        slots[f"{theirs}reg_token"] = Slot(f"{ours}registers")
    for block in range(config.built):
        their = f"{theirs}blocks.{block}."
        slots |= block_slots(config, their + "block." * film, f"{ours}blocks.{block}.")
        if film:
            ours_beside = f"{FILMS}{number}."
            pairs = (("scale", f"scales.{block}"), ("shift", f"shifts.{block}"))
            slots |= linear_slots((their + a, ours_beside + b) for a, b in pairs)
    return slots


def tower_unused(config: ViTConfig, theirs: str, condition: int | None = None) -> Shapes:
    """Names and shapes of a vision transformer's tensors that nothing reads.

    `condition` is the size of FiLM's, where blocks are wrapped.
    """
    width, hidden = config.width, config.hidden
    last = f"{theirs}blocks.{config.blocks - 1}."
    inner = last + ("" if condition is None else "block.")
    square = (width, width)
    mlp = {"fc1": (hidden, width), "fc2": (width, hidden)}
    layers = {f"{inner}attn.qkv": (3 * width, width), f"{inner}attn.proj": square}
    layers |= {f"{inner}mlp.{name}": shape for name, shape in mlp.items()}
    norms = [f"{inner}norm1", f"{inner}norm2", f"{theirs}norm"]
    shapes: Shapes = {}
    if config.layer_scale:
        shapes |= {f"{inner}{name}": (width,) for name in LAYER_SCALE}
    if condition is not None:
        layers |= {f"{last}scale": (width, condition), f"{last}shift": (width, condition)}
    if not config.cls:  # SigLIP pools by attention, and has no class token
        pool = f"{theirs}attn_pool."
        shapes[f"{pool}latent"] = (1, 1, width)
        norms.append(f"{pool}norm")
        layers |= {f"{pool}q": square, f"{pool}kv": (2 * width, width), f"{pool}proj": square}
        layers |= {f"{pool}mlp.{name}": shape for name, shape in mlp.items()}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def vision_slots(config: OpenVLAConfig, film: bool = False) -> dict[str, Slot]:
    """Both vision transformers; FiLM's file names them as the weights do, but for the wrapped blocks."""
    slots: dict[str, Slot] = {}
    for number, tower in enumerate(config.towers):
        slots |= tower_slots(tower, f"{VISION}{FEATURIZERS[number]}.", number, film)
    return slots


def vision_unused(config: OpenVLAConfig, film: bool = False) -> Shapes:
    """Names and shapes of what nothing reads of both vision transformers."""
    shapes: Shapes = {}
    for name, tower in zip(FEATURIZERS, config.towers, strict=True):
        shapes |= tower_unused(tower, f"{VISION}{name}.", config.llama.width if film else None)
    return shapes


def vision_adapted(config: OpenVLAConfig) -> dict[str, Slot]:
    """Both vision transformers by the names in an adapter's file; FiLM's own layers are never adapted.

    OFT wraps the vision transformers for FiLM after PEFT has adapted them, and the wrapper keeps them under
    their old name: `vision_backbone.vision_backbone.featurizer.blocks.0.block.attn.qkv` is such a layer. PEFT
    (0.11.1, OFT's pin) saves the factors by the names that they have then.
    """
    prefix, slots = VISION * config.film, vision_slots(config, config.film)
    return {prefix + name: slot for name, slot in slots.items() if not slot.parameter.startswith(FILMS)}


def adapted_unused(config: OpenVLAConfig) -> Shapes:
    """`vision_unused` by the names in an adapter's file."""
    return {VISION * config.film + n: shape for n, shape in vision_unused(config, config.film).items()}


def language_slots(config: OpenVLAConfig) -> dict[str, Slot]:
    """The language model with its table and head, and the projector into it."""
    slots = llama_slots(config.llama, f"{LANGUAGE}model.", "llama.")
    slots[f"{LANGUAGE}model.embed_tokens.weight"] = Slot("table.weight")
    slots[f"{LANGUAGE}lm_head.weight"] = Slot("head.weight")
    layers = {"fc1": "first", "fc2": "second", "fc3": "third"}
    return slots | linear_slots((f"projector.{a}", f"projector.{b}") for a, b in layers.items())


def proprio_slots() -> dict[str, Slot]:
    """OFT's proprio projector."""
    return linear_slots([("fc1", "proprio.first"), ("fc2", "proprio.second")])


def head_slots() -> dict[str, Slot]:
    """OFT's head that regresses actions."""
    layers = {"layer_norm1": "norm_in", "fc1": "first", "layer_norm2": "norm_out", "fc2": "last"}
    for block in range(2):
        layers[f"mlp_resnet_blocks.{block}.ffn.0"] = f"blocks.{block}.norm"
        layers[f"mlp_resnet_blocks.{block}.ffn.1"] = f"blocks.{block}.layer"
    return linear_slots((f"model.{a}", f"action_head.{b}") for a, b in layers.items())


def is_rotary(name: str) -> bool:
    """Older files hold the frequencies of the rotary positions, which follow from the sizes."""
    return name.startswith(LANGUAGE) and name.endswith("rotary_emb.inv_freq")
