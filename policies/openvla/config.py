"""What an OpenVLA checkpoint is made of: sizes, inputs, and what its tokens mean.

Published `config.json` files name their parts ("dinosiglip-vit-so-224px") instead of giving sizes, and say
nothing of images, chunk or decoding. An optional object "playloop" in the file states these and goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, get_args

from annotated_types import MinLen

from playloop.core.annotations import Count, Positive
from playloop.core.checked import check_value, checked
from playloop.core.formats import FORMAT, format_of
from playloop.core.kinds import kind
from playloop.nn.llama import LlamaSizes
from playloop.nn.vit import ViTConfig
from playloop.policies.openvla.attention import Mode

Decoder = Literal["autoregressive", "parallel", "l1", "diffusion"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)

DINOV2 = ViTConfig(1024, 24, 16, 4096, cls=True, registers=4, layer_scale=True)
"""timm's vit_large_patch14_reg4_dinov2.lvd142m at 224 pixels."""

SIGLIP = ViTConfig(1152, 27, 16, 4304)
"""timm's vit_so400m_patch14_siglip_224."""

TOWERS = {"vit_large_patch14_reg4_dinov2.lvd142m": DINOV2, "vit_so400m_patch14_siglip_224": SIGLIP}

BACKBONES = {"dinosiglip-vit-so-224px": tuple(TOWERS)}
"""Published ids of pairs of vision transformers → their timm ids."""

LLAMA = LlamaSizes()
"""Llama-2 7B as the published model was exported: norms of 1e-6."""

LANGUAGE_MODELS = ("llama2-7b-pure",)

PADDED = 64
"""Rows of the vocabulary's table above the 32,000 words: of them only <PAD> and <mask> have a meaning."""


LONGEST = 4096
"""Tokens that the language model was trained for."""


@kind("openvla")
@checked(frozen=True)
class OpenVLAConfig:
    """Sizes and conventions of a checkpoint.

    Args:
        towers: vision transformers, in the order of an image's channels, three each.
        llama: sizes of the language model.
        vocabulary: rows of the table of tokens.
        images: pictures of an observation.
        proprio: numbers of the robot's state, a token of its own; None: it is not read.
        chunk: actions of a decision.
        action: numbers of an action, one token each.
        film: whether the instruction modulates the vision transformers.
        l1: whether there is a head that regresses actions.
        decoders: what the checkpoint was, or may have been, trained for; the first is the default.
        attention: what sees what; it belongs to the weights.
        bins: edges of an action's bins.
        bos: id of the token that begins a sequence.
        eos: id of the token that ends one.
        padding: id of the token that fills a batch.
        mask: id of the token that stands for an unknown action.
    """

    towers: tuple[ViTConfig, ...] = (DINOV2, SIGLIP)
    llama: LlamaSizes = LLAMA
    vocabulary: int = 32064
    images: Count = 1
    proprio: int | None = None
    chunk: Count = 1
    action: Count = 7
    film: bool = False
    l1: bool = False
    decoders: Annotated[tuple[Decoder, ...], MinLen(1)] = ("autoregressive",)
    attention: Mode = "causal"
    bins: int = 256
    bos: int = 1
    eos: int = 2
    padding: int = 32000
    mask: int = 32001

    def __post_init__(self) -> None:
        sides = {(tower.image, tower.patches) for tower in self.towers}
        if len(sides) != 1:
            raise ValueError(f"the vision transformers must agree on image and patch side, not {sides}")
        if self.patches + self.tokens > LONGEST:
            raise ValueError(
                f"{self.patches} tokens of pictures and {self.tokens} of actions exceed the language model's "
                f"{LONGEST}: images={self.images}, chunk={self.chunk} or action={self.action} is wrong"
            )
        if ("l1" in self.decoders) != self.l1:
            raise ValueError(
                f"the decoder l1 and an action head belong together: decoders={self.decoders}, and "
                f"action_head--STEP_checkpoint.pt is {'there' if self.l1 else 'missing'}"
            )
        if max(self.bos, self.eos, self.padding, self.mask) >= self.vocabulary:
            raise ValueError(f"a special token lies outside the vocabulary of {self.vocabulary}")

    @property
    def single(self) -> bool:
        """Whether it acts as the first OpenVLA does: token after token, one action a decision."""
        return self.decoders == ("autoregressive",)

    @property
    def image(self) -> int:
        """Side of a picture, pixels."""
        return self.towers[0].image

    @property
    def channels(self) -> int:
        """Channels of a picture: three for each vision transformer."""
        return 3 * len(self.towers)

    @property
    def patches(self) -> int:
        """Tokens of all pictures together."""
        return self.images * self.towers[0].patches

    @property
    def features(self) -> int:
        """Size of a patch before the projector."""
        return sum(tower.width for tower in self.towers)

    @property
    def words(self) -> int:
        """Ids below this are words or actions; those above are spare rows of the table."""
        return self.vocabulary - PADDED

    @property
    def tokens(self) -> int:
        """Action tokens of a decision."""
        return self.chunk * self.action


OPENVLA_7B = OpenVLAConfig()
"""openvla/openvla-7b: one picture, one action, decoded token by token."""


TEXT = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "groups",
    "intermediate_size": "hidden",
    "rms_norm_eps": "eps",
    "rope_theta": "theta",
}
"""Sizes of the language model, as a published `text_config` calls them → as `LlamaSizes` does."""


def network_record(config: OpenVLAConfig) -> dict[str, Any]:
    """The fields of a published `config.json` that describe the networks, and ours under "playloop"."""
    text = {"model_type": "llama"} | {name: getattr(config.llama, field) for name, field in TEXT.items()}
    text |= {"vocab_size": config.vocabulary, "pad_token_id": config.padding}
    own: dict[str, Any] = {"format": FORMAT, "towers": [asdict(tower) for tower in config.towers]}
    own |= {name: getattr(config, name) for name in ("images", "chunk", "action", "proprio", "decoders")}
    own |= {"proprio": config.proprio or 0, "decoders": list(config.decoders), "attention": config.attention}
    record: dict[str, Any] = {
        "model_type": "openvla",
        "architectures": ["OpenVLAForActionPrediction"],
        "vision_backbone_id": next(iter(BACKBONES)),
        "llm_backbone_id": LANGUAGE_MODELS[0],
        "arch_specifier": "no-align+fused-gelu-mlp",
        "use_fused_vision_backbone": True,
        "timm_model_ids": list(TOWERS),
        "timm_override_act_layers": [None] * len(config.towers),
        "image_sizes": [tower.image for tower in config.towers],
        "image_resize_strategy": "resize-naive",
        "llm_max_length": 2048,
        "pad_token_id": config.padding,
        "pad_to_multiple_of": PADDED,
        "n_action_bins": config.bins,
        "text_config": text,
        "playloop": own,
    }
    if "diffusion" in config.decoders:
        record |= {"mask_token_id": config.mask, "use_mask_token": True, "use_discrete_diffusion": True}
    return record


def network_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `OpenVLAConfig` that a `config.json` states, each checked.

    Raises:
        ValueError: the file is of something else, or of a variant that is not built here; says which field.
    """
    _check(record, "model_type", ("openvla",), None)
    _check(record, "vision_backbone_id", tuple(BACKBONES), None)
    _check(record, "llm_backbone_id", LANGUAGE_MODELS, None)
    _check(record, "use_fused_vision_backbone", (True, None), None)
    _check(record, "image_resize_strategy", ("resize-naive",), "resize-naive")
    _check(record, "pad_to_multiple_of", (PADDED,), PADDED)
    names = list(BACKBONES[record["vision_backbone_id"]])
    _check(record, "timm_model_ids", (names,), names)
    _check(record, "timm_override_act_layers", ([None, None],), [None, None])
    _check(record, "n_action_bins", (OPENVLA_7B.bins,), OPENVLA_7B.bins)  # ids mean nothing else anywhere
    own = _own(_object(record, "playloop"))
    towers = own.get("towers", tuple(TOWERS[name] for name in names))
    sides = [tower.image for tower in towers]
    _check(record, "image_sizes", (sides,), sides)
    text = _object(record, "text_config")
    found = {
        "towers": towers,
        "llama": llama_sizes(text),
        "vocabulary": _number(text, "vocab_size", OPENVLA_7B.vocabulary),
        "padding": _number(record, "pad_token_id", OPENVLA_7B.padding),
        "mask": _number(record, "mask_token_id", None) or OPENVLA_7B.mask,
    }
    return found | own


def llama_sizes(text: Mapping[str, Any]) -> LlamaSizes:
    """Sizes from a `text_config`; what it leaves out is transformers' default, a Llama-2 7B.

    Raises:
        ValueError: it asks for something that `nn/decoder.py` does not do.
    """
    rope = _object(text, "rope_parameters")
    nullable = ("num_key_value_heads", "rope_theta")
    found = {
        field: _number(text, name, None if name in nullable else getattr(LlamaSizes, field))
        for name, field in TEXT.items()
    }
    found["groups"] = found["groups"] or found["heads"]
    found["theta"] = float(_number(rope, "rope_theta", None) or found["theta"] or LlamaSizes.theta)
    sizes = LlamaSizes(**found)
    if sizes.width % sizes.heads or sizes.heads % sizes.groups:
        raise ValueError(
            f"hidden_size is {sizes.width}; it must be a multiple of num_attention_heads {sizes.heads}, and "
            f"that of num_key_value_heads {sizes.groups}"
        )
    _check(text, "model_type", ("llama",), "llama")
    _check(text, "hidden_act", ("silu",), "silu")
    _check(text, "rope_scaling", (None,), None)
    _check(rope, "rope_type", ("default",), "default")
    _check(text, "head_dim", (None, sizes.size), None)
    for name in ("attention_bias", "mlp_bias", "tie_word_embeddings"):
        _check(text, name, (False,), False)
    return sizes


def _own(record: Mapping[str, Any]) -> dict[str, Any]:
    """The object "playloop" as fields of `OpenVLAConfig`."""
    format_of(record, "playloop")
    known = {"format", "towers", "images", "chunk", "action", "proprio", "decoders", "attention"}
    unknown = record.keys() - known
    if unknown:
        raise ValueError(f"playloop.{min(unknown)} is no field; there are {', '.join(sorted(known))}")
    found = {name: value for name, value in record.items() if name != "format"}
    if "towers" in found:
        found["towers"] = _towers(found["towers"])
    if isinstance(found.get("decoders"), list):
        found["decoders"] = tuple(found["decoders"])
    return found


def _towers(records: Any) -> tuple[ViTConfig, ...]:
    if not isinstance(records, list) or not all(isinstance(record, Mapping) for record in records):
        raise ValueError(f"playloop.towers is {records!r}; a list of objects belongs there")
    names = {field.name for field in fields(ViTConfig)}
    if strange := {name for record in records for name in record} - names:
        raise ValueError(f"playloop.towers has no field {min(strange)}; there are {', '.join(names)}")
    try:
        return tuple(ViTConfig(**record) for record in records)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"playloop.towers are no sizes: {error}") from error


def _object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object of a name, an empty one if it is null or left out."""
    value = {} if record.get(name) is None else record[name]
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}; an object belongs there")
    return value


def _number(record: Mapping[str, Any], name: str, default: float | None) -> Any:
    """The positive number of a name, whole where the published one is; a default of None allows null."""
    value = record.get(name, default)
    if value is not None or default is not None:
        check_value(name, value, Positive if name in ("rms_norm_eps", "rope_theta") else Count)
    return value


def _check(record: Mapping[str, Any], name: str, known: tuple[Any, ...], default: Any) -> None:
    value = record.get(name, default)
    if value not in known:
        listed = " or ".join(repr(choice) for choice in known)
        raise ValueError(f"{name} is {value!r}; only {listed} is built here")
