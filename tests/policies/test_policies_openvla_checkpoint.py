"""What a checkpoint's JSON and headers tell: refused variants, rules for what is not said, missing files."""

from __future__ import annotations

import json

import pytest
from openvla_tiny import write

from playloop.policies.openvla.checkpoint import Unstated, open_checkpoint
from playloop.policies.openvla.files import read_openvla

STEP = "150000_checkpoint.pt"


def edit(folder, change):
    record = json.loads((folder / "config.json").read_text())
    change(record)
    (folder / "config.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model_type": "llava"}, "it is a model of the type llava, which is not built here"),
        ({"vision_backbone_id": "siglip-vit-so400m"}, "vision_backbone_id is 'siglip-vit-so400m'; only"),
        ({"llm_backbone_id": "vicuna-v15-7b"}, "llm_backbone_id is 'vicuna-v15-7b'; only 'llama2-7b-pure'"),
        ({"image_sizes": [224, 224]}, "image_sizes is [224, 224]; only [28, 28]"),
        ({"timm_override_act_layers": [None, "quick_gelu"]}, "timm_override_act_layers"),
        ({"timm_model_ids": ["a", "b"]}, "timm_model_ids"),
        ({"image_resize_strategy": "letterbox"}, "image_resize_strategy"),
        ({"text_config": {"rope_scaling": {"type": "linear"}}}, "rope_scaling"),
        ({"text_config": {"tie_word_embeddings": True}}, "tie_word_embeddings"),
        ({"text_config": {"vocab_size": 32000}}, "a special token lies outside the vocabulary of 32000"),
        ({"playloop": {"tower": []}}, "playloop.tower is no field; there are action, attention"),
        ({"playloop": {"decoders": ["fast"]}}, "choose from autoregressive, parallel, l1, diffusion"),
        ({"playloop": {"towers": [{"size": 1}]}}, "playloop.towers has no field size"),
    ],
)
def test_a_configuration_that_is_not_built_here_is_refused(oft, change, complaint):

    def update(record):
        own = record["playloop"] | change.get("playloop", {})
        record.update(change | {"playloop": own})

    edit(oft, update)
    with pytest.raises(ValueError) as caught:
        open_checkpoint(oft)
    assert complaint in str(caught.value) and str(oft / "config.json") in str(caught.value)


def test_sizes_that_are_not_the_weights_are_refused(oft):
    edit(oft, lambda record: record["text_config"].update(intermediate_size=60))
    with pytest.raises(ValueError, match=r"have another shape.*download the whole checkpoint again"):
        read_openvla(oft)


def without_own(folder, *keep):
    """As a published configuration is: nothing of ours but the sizes."""

    def change(record):
        record["playloop"] = {name: record["playloop"][name] for name in ("towers", *keep)}
        for name in ("mask_token_id", "use_mask_token", "use_discrete_diffusion"):
            record.pop(name, None)

    edit(folder, change)


@pytest.mark.parametrize(
    ("kind", "key", "wanted"),
    [
        ("openvla", "bridge_orig", (1, 1, None, ("autoregressive",), "causal")),
        ("oft", "libero_10_no_noops", (2, 8, 8, ("l1",), "full")),
        ("oft", "bridge_orig", (1, 5, 8, ("l1",), "full")),
        ("diffusion", "libero_goal", (2, 8, 8, ("diffusion",), "full")),
        ("parallel", "libero_goal", (2, 8, 8, ("parallel",), "full")),
        ("diffusion", "bridge_orig", (1, 3, 8, ("diffusion",), "full")),
        ("diffusion", "fractal20220817_data", (1, 8, 8, ("diffusion",), "full")),
    ],
)
def test_what_published_files_do_not_say_follows_from_data_set_and_files(tmp_path, kind, key, wanted):
    folder = write(tmp_path / "a", kind, key=key)
    without_own(folder)
    config = open_checkpoint(folder).config
    assert (config.images, config.chunk, config.proprio, config.decoders, config.attention) == wanted


def test_what_no_rule_tells_is_asked_for(tmp_path):
    folder = write(tmp_path / "a", "diffusion", key="kitchen")
    without_own(folder)
    with pytest.raises(Unstated, match=r"give images, chunk and proprio.*kitchen"):
        open_checkpoint(folder)
    stated = open_checkpoint(folder, images=3, chunk=2, proprio=8, decoders=("parallel",)).config
    assert (stated.images, stated.chunk, stated.decoders) == (3, 2, ("parallel",))


def test_without_state_the_tokenizer_s_mask_tells(tmp_path):
    """Nothing else sets Discrete Diffusion VLA's checkpoints on Bridge apart from OpenVLA's."""
    folders = [
        write(tmp_path / kind, kind, key="bridge_orig", proprio=None) for kind in ("diffusion", "parallel")
    ]
    for folder in folders:
        without_own(folder)
    masked, plain = folders
    assert open_checkpoint(masked).config.decoders == ("diffusion",)
    (masked / "tokenizer.json").unlink()
    (masked / "added_tokens.json").write_text('{"<mask>": 32001}')
    assert open_checkpoint(masked).config.decoders == ("diffusion",)
    assert open_checkpoint(plain).config.decoders == ("autoregressive",)
    with pytest.raises(Unstated, match="chunk=5, and nothing in its files says how a chunk is decoded"):
        open_checkpoint(plain, chunk=5)
    (plain / "lora_adapter").mkdir()
    with pytest.raises(Unstated, match="give decoders: parallel if OpenVLA-OFT trained it"):
        open_checkpoint(plain)
    assert open_checkpoint(plain, decoders=("parallel",)).config.chunk == 3


def test_what_a_file_of_ours_says_is_not_contradicted(oft):
    with pytest.raises(ValueError, match=r"playloop\.images is 2 there, and images=1 is given; leave it out"):
        open_checkpoint(oft, images=1)
    assert open_checkpoint(oft, images=2).config.images == 2


@pytest.mark.parametrize("own", [True, False])
def test_a_further_file_that_is_missing_is_noticed(oft, own):
    if not own:
        without_own(oft)
    (oft / f"proprio_projector--{STEP}").unlink()
    with pytest.raises(ValueError, match=r"proprio_projector--STEP_checkpoint.pt is missing.*give proprio=0"):
        open_checkpoint(oft)
    assert open_checkpoint(oft, proprio=0).config.proprio is None
    (oft / f"action_head--{STEP}").unlink()
    if own:
        with pytest.raises(ValueError, match=r"action_head--STEP_checkpoint.pt is missing"):
            open_checkpoint(oft, proprio=0)


def test_a_head_of_another_kind_is_refused(oft):
    (oft / "noisy_action_projector--150000_checkpoint.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="continuous diffusion head is not built here"):
        open_checkpoint(oft)


def test_no_folder_and_other_folders_say_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none has no config\.json; it is not there: check the path"):
        read_openvla(tmp_path / "none")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="not an object"):
        read_openvla(tmp_path)
