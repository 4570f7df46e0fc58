"""Published sizes: parameter counts of the 7B model without its memory, and what configurations refuse."""

from __future__ import annotations

import re

import pytest
import torch

from playloop.nn.llama import LlamaSizes
from playloop.policies.openvla.config import OPENVLA_7B, OpenVLAConfig, network_fields, network_record
from playloop.policies.openvla.model import OpenVLA
from playloop.policies.openvla.names import FEATURIZERS, VISION, language_slots, vision_slots, vision_unused

PUBLISHED = {
    "model_type": "openvla",
    "architectures": ["OpenVLAForActionPrediction"],
    "vision_backbone_id": "dinosiglip-vit-so-224px",
    "llm_backbone_id": "llama2-7b-pure",
    "arch_specifier": "no-align+fused-gelu-mlp",
    "use_fused_vision_backbone": True,
    "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
    "timm_override_act_layers": [None, None],
    "image_sizes": [224, 224],
    "image_resize_strategy": "resize-naive",
    "hf_llm_id": "meta-llama/Llama-2-7b-hf",
    "llm_max_length": 2048,
    "pad_token_id": 32000,
    "pad_to_multiple_of": 64,
    "n_action_bins": 256,
    "text_config": {
        "model_type": "llama",
        "pad_token_id": 32000,
        "torch_dtype": "bfloat16",
        "vocab_size": 32064,
    },
}
"""The fields of openvla/openvla-7b's config.json that do not depend on data."""


def test_a_published_configuration_gives_the_published_sizes():
    assert OpenVLAConfig(**network_fields(PUBLISHED)) == OPENVLA_7B


def parameter_counts(config):
    """Numbers in a published checkpoint's weights by part, with those that nothing reads; takes no memory."""
    with torch.device("meta"):
        parameters = dict(OpenVLA(config).named_parameters())
    slots = vision_slots(config) | language_slots(config)
    sizes = {name: slot.of(parameters[slot.parameter]).numel() for name, slot in slots.items()}
    sizes |= {name: torch.Size(shape).numel() for name, shape in vision_unused(config).items()}
    counts = dict.fromkeys((*FEATURIZERS, "projector", "language_model"), 0)
    for name, size in sizes.items():
        counts[name.removeprefix(VISION).split(".")[0]] += size
    return counts | {"total": sum(counts.values())}


def test_the_parameters_of_the_published_model_are_counted_without_its_memory():
    counts = parameter_counts(OPENVLA_7B)
    assert counts == {
        "featurizer": 303_230_976,
        "fused_featurizer": 427_680_704,
        "projector": 71_385_600,
        "language_model": 6_738_939_904,
        "total": 7_541_237_184,
    }
    assert 2 * counts["total"] == 15_082_474_368  # bytes, as the published index promises


def test_published_names_are_there():
    slots = vision_slots(OPENVLA_7B) | language_slots(OPENVLA_7B)
    unused = vision_unused(OPENVLA_7B)
    for name in (
        "vision_backbone.featurizer.reg_token",
        "vision_backbone.featurizer.blocks.22.ls2.scale_factor",
        "vision_backbone.fused_featurizer.patch_embed.proj.weight",
        "vision_backbone.fused_featurizer.blocks.25.mlp.fc1.weight",
        "projector.fc3.bias",
        "language_model.model.layers.31.mlp.down_proj.weight",
        "language_model.lm_head.weight",
    ):
        assert name in slots
    assert "vision_backbone.featurizer.blocks.23.ls1.scale_factor" in unused
    assert unused["vision_backbone.fused_featurizer.attn_pool.latent"] == (1, 1, 1152)
    assert "vision_backbone.fused_featurizer.cls_token" not in slots.keys() | unused.keys()
    assert not slots.keys() & unused.keys()


def test_a_configuration_survives_its_record():
    config = OpenVLAConfig(
        llama=LlamaSizes(64, 3, 4, 2, 96, 1e-5, 5e5),
        images=2,
        chunk=3,
        decoders=("diffusion",),
        attention="block",
    )
    assert OpenVLAConfig(**network_fields(network_record(config)) | {"proprio": None}) == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": 0}, "images=0"),
        ({"decoders": ()}, "use a list of at least 1"),
        ({"decoders": ("l1",)}, "action_head--STEP_checkpoint.pt is missing"),
        ({"l1": True}, "is there"),
        ({"attention": "bidirectional"}, "choose from causal, full, block"),
        ({"mask": 32064}, "outside the vocabulary"),
        ({"images": "two"}, "images='two': use a whole number"),
        ({"chunk": True}, "chunk=True: use a whole number"),
        ({"proprio": 7.5}, "proprio=7.5: use a whole number or null"),
        ({"decoders": "diffusion"}, "decoders='diffusion': use a list"),
    ],
)
def test_contradictions_are_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        OpenVLAConfig(**change)


TOWER = {"width": 16, "blocks": 3, "heads": 2, "hidden": 24}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"text_config": "llama"}, "text_config is 'llama'; an object"),
        ({"text_config": {"num_attention_heads": 0}}, "num_attention_heads=0: use a number of at least 1"),
        ({"text_config": {"num_attention_heads": 7}}, "must be a multiple of num_attention_heads 7"),
        ({"text_config": {"hidden_size": 4096.0}}, "hidden_size=4096.0: use a whole number"),
        ({"text_config": {"vocab_size": "many"}}, "vocab_size='many'"),
        ({"text_config": {"rms_norm_eps": "1e-5"}}, "rms_norm_eps='1e-5': use a finite number"),
        ({"text_config": {"rope_theta": []}}, "rope_theta=[]"),
        ({"text_config": {"rope_parameters": "none"}}, "rope_parameters is 'none'"),
        ({"pad_token_id": None}, "pad_token_id=None"),
        ({"mask_token_id": "<mask>"}, "mask_token_id='<mask>'"),
        ({"playloop": "yes"}, "playloop is 'yes'; an object"),
        ({"playloop": {"towers": 2}}, "playloop.towers is 2; a list"),
        ({"playloop": {"towers": [{"width": 16}]}}, "playloop.towers are no sizes"),
        ({"playloop": {"towers": [TOWER | {"heads": 0}]}}, "playloop.towers are no sizes"),
        (
            {"playloop": {"towers": [TOWER | {"hidden": 24.5}]}},
            "playloop.towers are no sizes: ViTConfig.hidden=24.5: use a whole number",
        ),
        ({"n_action_bins": 5}, "n_action_bins is 5; only 256 is built here"),
        ({"n_action_bins": True}, "n_action_bins is True"),
    ],
)
def test_a_damaged_configuration_is_refused_by_its_field(change, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        network_fields(PUBLISHED | change)


def test_the_model_is_built_without_memory():
    from playloop.policies.openvla.model import OpenVLA

    with torch.device("meta"):
        model = OpenVLA(OpenVLAConfig(llama=LlamaSizes(layers=1)))
    assert all(value.is_meta for value in model.state_dict().values())
