"""Conventions are compared by ids and parameters; sentences are for people."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from playloop.core import conventions, sentences
from playloop.core.contract import CONVENTIONS, Contract
from playloop.core.conventions import MEANINGS, PARAMETERS, Convention, altered

ARM = Contract(
    family="arm",
    action=Convention("osc-pose-delta", {"translation": 0.05, "rotation": 0.5}),
    action_names=("x", "gripper"),
    control_hz=20.0,
    cameras={"front": (64, 64)},
    image="upright",
    state_names=(),
    success=Convention("goal-held", {"steps": 1}),
    gripper="closes-positive",
)


def test_every_known_convention_has_words_for_its_parameters():
    used = set()
    for name, (sentence, optional) in MEANINGS.items():
        needed = [field for _, field, _, _ in conventions.Formatter().parse(sentence) if field]
        used |= {*needed, *optional}
        if needed:
            with pytest.raises(ValueError, match=f"convention '{name}' needs {needed[0]}"):
                Convention(name)
        else:
            assert str(Convention(name)) == sentence
    assert used == PARAMETERS.keys()


@pytest.mark.parametrize(
    ("convention", "said"),
    [
        (ARM.action, "OSC_POSE delta in the base frame, [-1, 1]: 1 = 0.05 m, 0.5 rad a step"),
        (Convention("goal-held", {"steps": 1}), "the goal holds at any step"),
        (Convention("goal-held", {"steps": 10}), "the goal holds for 10 steps running"),
        (
            Convention("upright", {"rotated": 180}),
            "upright; the simulator's picture rotated by 180 degrees.*",
        ),
        (Convention("minerl-1.0", {"escape_ends": True}), "MineRL 1.0: .*; ESC ends the episode"),
        (Convention("my own", {"scale": 2}), r"my own \(scale=2\)"),
    ],
)
def test_words_are_made_of_ids(convention, said):
    import re

    assert re.fullmatch(re.sub(r"\[-1, 1\]", r"\\[-1, 1\\]", said), str(convention))


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("goal-held", {"step": 1}, "'goal-held' needs steps"),
        ("goal-held", {"steps": 1, "far": 2}, "has no parameter 'far'; there are steps"),
        ("upright", {"resized": "nearest"}, "resized='nearest' is none; use 'lanczos', 'border', "),
        ("goal-held", {"steps": True}, "steps=True is none; use a number above 0"),
        ("goal-held", {"steps": 1.5}, "steps=1.5 is none; use a number above 0"),
        ("within", {"distance": -1}, "distance=-1 is none; use a number above 0"),
        ("within", {"distance": "far"}, "distance='far' is none; use a number above 0"),
        ("upright", {"source": 5}, "source=5 is none; use a name"),
        ("minerl-1.0", {"escape_ends": 1}, "escape_ends=1 is none; use True"),
        ("", {}, "a convention needs an id"),
    ],
)
def test_what_a_known_convention_does_not_have_is_refused(name, parameters, said):
    with pytest.raises(ValueError, match=said):
        Convention(name, parameters)


def test_a_reworded_sentence_changes_no_file_and_refuses_no_policy(monkeypatch):
    before, said = json.dumps(ARM.to_json()), ARM.described()
    for name, (sentence, optional) in MEANINGS.items():
        monkeypatch.setitem(MEANINGS, name, (f"in other words, {sentence}", optional))
    assert ARM.in_words()["success"] == "in other words, the goal holds at any step"
    assert ARM.described() != said and json.dumps(ARM.to_json()) == before
    assert Contract.from_json(json.loads(before)).differences(ARM) == []


def test_differences_are_sentences_about_ids_and_parameters():
    slower = replace(ARM, action=altered(ARM.action, translation=0.02), success="always")
    [said] = ARM.differences(slower)
    assert said == (
        "action: the policy was made for 'OSC_POSE delta in the base frame, [-1, 1]: 1 = 0.05 m, 0.5 rad a "
        "step', the environment has 'OSC_POSE delta in the base frame, [-1, 1]: 1 = 0.02 m, 0.5 rad a step'"
    )
    assert ARM.differences(replace(ARM, gripper=None)) == [
        "gripper: the policy was made for '-1 opens, +1 closes', the environment has 'none'"
    ]


def test_a_convention_of_one_s_own_is_any_text():
    dial = replace(ARM, action="turn by 0.1 rad at full scale", gripper=None)
    assert dial == replace(ARM, action=Convention("turn by 0.1 rad at full scale"), gripper=None)
    assert Contract.from_json(json.loads(json.dumps(dial.to_json()))) == dial
    written = dial.to_json() | {
        "action": "turn by 0.1 rad at full scale"
    }  # as by hand, in meta/playloop.json
    assert Contract.from_json(written) == dial
    assert "the environment has 'turn by 0.1 rad at full scale'" in ARM.differences(dial)[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action", 5),
        ("action", {"id": "osc-pose-delta"}),
        ("image", ""),
        ("image", {"id": "upright", "parameters": {"rotated": [180]}}),
        ("success", {"parameters": {}}),
        ("gripper", {"id": "goal-held", "parameters": {"steps": 0}}),
    ],
)
def test_a_damaged_convention_names_file_and_field(name, value):
    with pytest.raises(ValueError, match=rf"^contract\.json: .*{name}") as caught:
        Contract.from_json(ARM.to_json() | {name: value}, "contract.json")
    assert "\n" not in str(caught.value)


def older(**fields):
    """A contract of format 1."""
    kept = {name: value for name, value in ARM.to_json().items() if name not in CONVENTIONS}
    return kept | {"action": "keys", "image_convention": "upright", "success_rule": "none"} | fields


def test_recorded_sentences_keep_their_meaning():
    for sentence, (action, gripper) in sentences.ACTIONS.items():
        read = Contract.from_json(older(action=sentence))
        assert read.action == action and read.gripper == (gripper and Convention(gripper))
    for sentence, image in sentences.IMAGES.items():
        assert Contract.from_json(older(image_convention=sentence)).image == image
    rules = {
        "the goal predicate holds for 10 steps running": Convention("goal-held", {"steps": 10}),
        "the goal holds at any step": Convention("goal-held", {"steps": 1}),
        "3 trunk nodes dug": Convention("nodes-dug", {"count": 3, "node": "trunk"}),
        "none: free play": Convention("none"),
        "my own rule": Convention("my own rule"),
    }
    for sentence, success in rules.items():
        assert Contract.from_json(older(success_rule=sentence)).success == success
    own = Contract.from_json(older(action="turn", image_convention="askew"))
    assert (own.action, own.image, own.gripper) == (Convention("turn"), Convention("askew"), None)


@pytest.mark.parametrize("fields", [{"action": 5}, {"image_convention": None}, {"success_rule": ""}])
def test_a_damaged_older_contract_is_one_sentence(fields):
    with pytest.raises(ValueError, match=r"^info: ") as caught:
        Contract.from_json(older(**fields), "info")
    assert "\n" not in str(caught.value)
