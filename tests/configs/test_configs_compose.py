"""Settings: short forms, dataclass fields, and an answer to every misspelling."""

from __future__ import annotations

import pytest

from playloop.configs.compose import check_devices, demand, load
from playloop.core.fields import make, plain
from playloop.envs.toy import ToyReachConfig

TOY = ["env=toy", "agent=random"]


def test_fields_that_the_yaml_leaves_out_are_filled_in():
    config = load("eval", TOY)
    assert config.env.step_seconds == ToyReachConfig().step_seconds
    assert config.agent.rows == 16


@pytest.mark.parametrize("word", ["horizon=7", "env.horizon=7", "+env.horizon=7", "++env.horizon=7"])
def test_short_and_full_keys_mean_the_same(word):
    words = [*TOY, word] if not word.startswith("+env") else [*TOY, "~env.horizon", word]
    assert load("eval", words).env.horizon == 7


def test_a_key_of_the_verb_goes_before_one_of_a_group():
    config = load("eval", [*TOY, "inits=[0,3]"])
    assert (config.inits, config.env.inits) == ([0, 3], 5)


def test_made_objects_hold_plain_values():
    env = make(load("eval", [*TOY, "horizon=9", "step_seconds=0.5"]).env)
    assert env == ToyReachConfig(horizon=9, step_seconds=0.5)


def test_plain_is_resolved_and_complete():
    settings = plain(load("eval", [*TOY, "seed=4", "out=a b"]))
    assert (settings["seed"], settings["out"], settings["env"]["tasks"]) == (4, "a b", 4)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sed=1"], "'sed' (did you mean \"seed\"?)"),
        (["env=toi"], 'there is no such env (did you mean "toy"?)'),
        (["agent=randm"], 'there is no such agent (did you mean "random"?)'),
        (["env=toy", "env.horizn=1"], "'env.horizn' (did you mean \"env.horizon\"?)"),
        (["env=toy", "horizn=1"], "'horizn' (did you mean \"horizon\"?)"),
        (["seed"], "'seed' is not a setting; write key=value"),
        ([*TOY, "_target_=x"], "could be"),
        (["env=toy", "agent=policy", "agent.decodr.rounds=1"], "there is no setting 'agent.decodr.rounds'"),
        (["emv._target_=x.Y"], "there is nothing called 'emv' (did you mean \"env\"?)"),
    ],
)
def test_misspellings_are_answered_with_the_nearest(words, complaint):
    with pytest.raises(ValueError) as error:
        load("eval", words)
    assert complaint in str(error.value)


def test_a_section_is_no_free_mapping():
    with pytest.raises(ValueError, match=r'did you mean "training.trainer.steps"'):
        load("train", ["training.trainer.stepz=3"])


def test_a_mapping_without_fixed_keys_takes_any():
    words = ["env=toy", "agent=policy", "decoder.rounds=4", "agent.decoder.order=gap"]
    assert load("eval", words).agent.decoder == {"rounds": 4, "order": "gap"}


def test_another_class_brings_its_own_settings():
    toy = "env._target_=playloop.envs.toy.ToyReachConfig"
    config = load("eval", ["agent=random", "horizon=6", toy])
    assert make(config.env) == ToyReachConfig(horizon=6)
    with pytest.raises(ValueError, match=r"playloop\.envs\.toy\.Toy cannot be found"):
        load("eval", ["agent=random", "env._target_=playloop.envs.toy.Toy"])


def test_part_of_a_nested_setting_leaves_the_rest():
    config = load("eval", ["env=toy", "agent=random", "+fault={kind: hang}", "env.fault=null"])
    assert config.env.fault is None and config.fault.kind == "hang"


def test_what_only_the_user_knows_is_demanded():
    with pytest.raises(ValueError, match=r"give agent\.folder=…; see playloop eval --help"):
        demand(load("eval", ["env=toy", "agent=replay"]), "eval")


def test_unreadable_values_are_named():
    with pytest.raises(ValueError, match=r"seed=\[1 does not read as key=value"):
        load("eval", ["env=toy", "seed=[1"])


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("agent.device=gpu", r"agent.device=gpu: there is no such device; use cpu or cuda"),
        ("agent.device=meta", r"agent.device=meta: this torch cannot compute there; use agent.device=cpu"),
        (
            "agent.device=cuda:1",
            r"agent.device=cuda:1: torch .* sees no GPU; use agent.device=cpu, or",
        ),
    ],
)
def test_devices_that_are_not_there_are_refused_before_anything_is_loaded(monkeypatch, word, complaint):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=complaint):
        check_devices(load("eval", ["env=libero", "agent=policy", word]))
    check_devices(load("eval", ["env=libero", "agent=policy"]))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    check_devices(load("eval", ["env=libero", "agent=policy", "agent.device=cuda"]))
