"""Tokens, statistics and prompts: what ids and numbers mean, with inverses and clear refusals."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from playloop.policies.openvla.families import FAMILIES, choose_family
from playloop.policies.openvla.prompt import PromptEncoder
from playloop.policies.openvla.statistics import choose_key, read_statistics, statistics_of, tell_conflict
from playloop.policies.openvla.synthetic import synthetic_tokenizer
from playloop.tokenizers.actions import WORDS, ActionTokenizer, UniformBins
from playloop.tokenizers.grippers import GRIPPERS
from playloop.tokenizers.normalizer import QuantileNormalizer


def vocabulary(chunk=8):
    """Normalised values as ids: nothing is scaled, and no number is a gripper's."""
    scales = QuantileNormalizer(-np.ones(7), np.ones(7), np.zeros(7, bool))
    return ActionTokenizer(scales, chunk, UniformBins(WORDS), grippers=())


VOCABULARY = vocabulary()
LIBERO = GRIPPERS["robosuite"]


def published_decode(ids):
    """The published arithmetic, in NumPy."""
    edges = np.linspace(-1, 1, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    return centres[np.clip(32000 - np.asarray(ids) - 1, 0, 254)]


def test_every_id_of_the_table_decodes_as_published():
    ids = torch.arange(32064)[: 32064 // 7 * 7]
    assert np.array_equal(VOCABULARY.decode(ids).flatten().numpy(), published_decode(ids))
    ends = VOCABULARY.decode(torch.tensor([31744, 31745, 0, 1, 29871, 32000, 32063])).flatten().tolist()
    assert np.allclose(ends, [0.99608] * 5 + [-0.99608] * 2, atol=1e-5)


def test_values_become_ids_as_published_and_come_back():
    values = np.random.default_rng(0).uniform(-1.2, 1.2, (5, 8, 7))
    wanted = 32000 - np.digitize(np.clip(values, -1, 1), np.linspace(-1, 1, 256))
    ids = VOCABULARY.encode(torch.from_numpy(values))
    assert np.array_equal(ids.numpy(), wanted.reshape(5, 56))
    back = VOCABULARY.decode(ids).numpy()
    assert back.shape == (5, 8, 7) and np.abs(back - np.clip(values, -1, 1)).max() <= 1 / 255 + 1e-12
    all_ids = torch.arange(31745, 32000)[:252]
    assert torch.equal(vocabulary(36).encode(VOCABULARY.decode(all_ids)), all_ids)


def test_meaningless_ids_are_counted():
    found = VOCABULARY.strange(torch.tensor([31743, 31744, 31999, 32000, 2]))
    assert found.tolist() == [True, False, False, True, True]
    for size in (VOCABULARY.decode, lambda ids: VOCABULARY.encode(ids[None].double())):
        with pytest.raises(ValueError, match="7"):
            size(torch.zeros(8, dtype=torch.int64))


def test_libero_s_gripper_closes_with_plus_one():
    targets = vocabulary(2).encode(torch.tensor([[0.0] * 7, [1.0] * 7]))
    assert targets.tolist() == [31872] * 7 + [31744] * 7  # the two ids that training ever shows
    decoded = VOCABULARY.decode(targets)[:, -1]
    assert LIBERO.command(decoded).tolist() == [1.0, -1.0]
    published = -np.sign(2 * published_decode([31872, 31744]) - 1)
    assert LIBERO.command(decoded).tolist() == published.tolist()
    commands = torch.tensor([1.0, -1.0])
    assert torch.equal(LIBERO.command(LIBERO.target(commands)), commands.double())
    assert LIBERO.target(commands).tolist() == [0.0, 1.0]


def test_a_data_set_s_opening_is_given_on():
    values = torch.tensor([0.0, 0.3, 0.996])
    assert torch.equal(GRIPPERS["opening"].target(GRIPPERS["opening"].command(values)), values.double())


# -- statistics ----------------------------------------------------------------------------------------

ACTION = {"q01": [-0.5, -1.0, 0.0], "q99": [0.5, 3.0, 1.0], "mask": [True, True, False]}
PROPRIO = {"q01": [0.0, -2.0], "q99": [1.0, 2.0]}
RECORD = {"action": ACTION, "proprio": PROPRIO}


def test_the_folder_s_own_statistics_go_first(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"norm_stats": {"base": RECORD}}))
    assert list(read_statistics(tmp_path)) == ["base"]
    (tmp_path / "dataset_statistics.json").write_text(json.dumps({"own": RECORD}))
    assert list(read_statistics(tmp_path)) == ["own"]


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"norm_stats": {}}'])
def test_a_folder_without_statistics_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r"config\.json"):
        read_statistics(tmp_path)
    (tmp_path / "config.json").write_text(content.replace("[]", "{}"))
    with pytest.raises(ValueError, match=r"config\.json"):
        read_statistics(tmp_path)
    (tmp_path / "dataset_statistics.json").write_text(content.replace('{"norm_stats": {}}', "[]"))
    with pytest.raises(ValueError, match=r"dataset_statistics\.json"):
        read_statistics(tmp_path)


def test_keys_are_found_with_or_without_their_ending():
    known = {"libero_goal_no_noops": 1, "libero_10": 2}
    assert (
        choose_key(known, "libero_goal")
        == choose_key(known, "libero_goal_no_noops")
        == "libero_goal_no_noops"
    )
    assert choose_key(known, "libero_10_no_noops") == "libero_10"
    assert choose_key({"bridge_orig": 1}, None) == "bridge_orig"
    for wanted in (None, "libero_object"):
        with pytest.raises(ValueError, match="libero_10, libero_goal_no_noops"):
            choose_key(known, wanted)


@pytest.mark.parametrize(("epsilon", "added"), [(True, 1e-8), (False, 0.0)])
def test_actions_are_scaled_as_published(epsilon, added):
    scale = statistics_of({"own": RECORD}, "own", epsilon=epsilon).action
    values = np.random.default_rng(0).uniform(-1, 1, (4, 3))
    low, high = np.array(ACTION["q01"]), np.array(ACTION["q99"])
    wanted = np.where(ACTION["mask"], 0.5 * (values + 1) * (high - low + added) + low, values)
    assert np.array_equal(scale.restore(torch.from_numpy(values)).numpy(), wanted)
    again = scale.normalize(scale.restore(torch.from_numpy(values)))
    assert np.allclose(again.numpy(), values, atol=1e-12)


def test_states_are_scaled_and_clipped_as_published():
    proprio = statistics_of({"own": RECORD}, "own", epsilon=False).proprio
    values = np.array([[0.25, -1.0], [7.0, -9.0]])
    low, high = np.array(PROPRIO["q01"]), np.array(PROPRIO["q99"])
    wanted = np.clip(2 * (values - low) / (high - low + 1e-8) - 1, -1, 1)
    assert np.array_equal(proprio.normalize(torch.from_numpy(values)).numpy(), wanted)
    assert statistics_of({"own": {"action": ACTION}}, "own", epsilon=True).proprio is None


@pytest.mark.parametrize("lacking", ["q01", "q99", "mask"])
def test_incomplete_statistics_are_refused(lacking):
    record = {"action": {name: value for name, value in ACTION.items() if name != lacking}}
    with pytest.raises(ValueError, match=f"own.action lack {lacking}"):
        statistics_of({"own": record}, "own", epsilon=True)
    for bad in (
        ACTION | {lacking: [True]},
        ACTION | {lacking: ["x"] * 3 if lacking != "mask" else [True] * 4},
    ):
        with pytest.raises(ValueError, match=r"own\.action are damaged"):
            statistics_of({"own": {"action": bad}}, "own", epsilon=True)
    with pytest.raises(ValueError, match="no action"):
        statistics_of({"own": {}}, "own", epsilon=True)


@pytest.mark.parametrize(
    ("part", "damage", "wanted"),
    [
        (
            "action",
            {"q01": [float("nan"), -1.0, 0.0]},
            "q01 is [nan, -1.0, 0.0]; use a list of",
        ),
        ("action", {"q99": [0.5, float("inf"), 1.0]}, "q99 is [0.5, inf, 1.0]"),
        ("action", {"q99": ["0.5", "3", "1"]}, "use a list of finite numbers"),
        ("action", {"q01": -1.0}, "use a list of finite numbers"),
        ("action", {"q01": [0.6, -1.0, 0.0]}, "q99 lies below q01"),
        (
            "action",
            {"mask": ["True", "True", "False"]},
            "mask is ['True', 'True', 'False']",
        ),
        ("action", {"mask": None}, "use true or false"),
        ("proprio", {"q01": [float("-inf"), -2.0]}, "use a list of finite numbers"),
    ],
)
def test_damaged_numbers_and_masks_are_refused(part, damage, wanted):
    record = RECORD | {part: RECORD[part] | damage}
    with pytest.raises(ValueError, match=re.escape(wanted)) as caught:
        statistics_of({"own": record}, "own", epsilon=True)
    assert f"own.{part}" in str(caught.value)
    for record in ([], ACTION | {"action": []}, RECORD | {"proprio": [1.0]}):
        with pytest.raises(ValueError, match=r"the statistics .*own"):
            statistics_of({"own": record}, "own", epsilon=True)


def test_a_number_that_never_varied_is_no_damage():
    record = {"action": ACTION | {"q01": [0.5, -1.0, 0.0]}}
    scale = statistics_of({"own": record}, "own", epsilon=False).action
    assert scale.normalize(torch.tensor([[0.5, 1.0, 1.0]])).tolist() == [[0.0, 0.0, 1.0]]
    assert scale.restore(torch.tensor([[-1.0, 0.0, 1.0]])).tolist() == [[0.5, 1.0, 1.0]]


def test_a_family_is_stated_only_for_data_sets_that_are_none_s():
    mixed = dict.fromkeys(["bridge_orig", "fractal20220817_data", "jaco_play"])
    with pytest.raises(ValueError, match="'jaco_play' belongs to no environment that is known here"):
        choose_family(mixed, None, "jaco_play")
    assert choose_family(mixed, None, "bridge_orig") == (FAMILIES["bridge"], "bridge_orig")
    assert choose_family(mixed, "bridge", None) == (FAMILIES["bridge"], "bridge_orig")
    with pytest.raises(ValueError, match="the checkpoint knows several data sets"):
        choose_family(mixed, "libero", None)
    assert choose_family(mixed, "libero", "jaco_play") == (FAMILIES["libero"], "jaco_play")
    assert choose_family({"jaco_play": 1}, "libero", None) == (FAMILIES["libero"], "jaco_play")
    for keys, wanted in (({"bridge_orig": 1}, None), (mixed, "bridge_orig")):
        with pytest.raises(ValueError, match="'bridge_orig' is one of bridge, not of libero"):
            choose_family(keys, "libero", wanted)


# -- prompts -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    (path / "tokenizer.json").write_text(synthetic_tokenizer())
    return path


def test_a_prompt_is_transformers_tokens_between_begin_and_space(folder):
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    encode = PromptEncoder(folder)
    for text in ("Pick up the BLACK bowl", "öffne die Tür"):
        ids = encode(text)
        wanted = theirs(f"In: What action should the robot take to {text.lower()}?\nOut:")["input_ids"]
        assert ids[0] == 1 and ids[-1] == 29871 and ids[:-1] == wanted
        assert not any(31744 <= number < 32000 for number in ids), "a word reads as an action"
    assert encode("Open The Drawer") == encode("open the drawer") != encode("close the drawer")


def test_begin_and_space_are_added_once(folder, tmp_path):
    record = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(record | {"post_processor": None}))
    assert PromptEncoder(tmp_path)("go") == PromptEncoder(folder)("go")
    ids = PromptEncoder(folder)("go")
    assert ids.count(1) == 1 and ids[-2:] != [29871, 29871]


def test_bad_tokenizers_and_instructions_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing"):
        PromptEncoder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="is no tokenizer"):
        PromptEncoder(tmp_path)
    from tokenizers import Tokenizer, models

    (tmp_path / "tokenizer.json").write_text(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    with pytest.raises(ValueError, match="no token 29871"):
        PromptEncoder(tmp_path)
    with pytest.raises(ValueError, match="is empty"):
        PromptEncoder(folder)(" ")


@pytest.mark.parametrize("places", ["alike", "other scales", "other data sets"])
def test_scales_that_differ_between_a_folder_s_files_are_told(tmp_path, places):
    """A run's own file goes before what the base's config.json kept, as in OpenVLA's evaluation."""
    older = {"action": RECORD["action"] | ({"q01": [-9.0] * 7} if places == "other scales" else {})}
    key = "base" if places == "other data sets" else "run"
    (tmp_path / "config.json").write_text(json.dumps({"norm_stats": {key: older}}))
    (tmp_path / "dataset_statistics.json").write_text(json.dumps({"run": RECORD}))
    told = pytest.warns(UserWarning, match="scale the actions of run differently")
    with told if places == "other scales" else nullcontext():
        tell_conflict(tmp_path, "run")
