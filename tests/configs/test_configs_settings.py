"""Every setting of every verb is of its declared type before anything starts; text is taken as typed."""

from __future__ import annotations

import importlib
import os
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from playloop.cli import play
from playloop.cli.help import described
from playloop.cli.main import main
from playloop.configs.compose import apply, check_settings, flat, group_options, hint_of, holds_settings, load
from playloop.configs.settings import settings_name
from playloop.configs.words import Word, is_setting, options
from playloop.core.fields import make, plain
from playloop.envs.toy import ToyFault, ToyReachConfig

YAMLS = sorted(path.stem for path in Path(str(resources.files("playloop.configs"))).glob("*.yaml"))
STRANGE = [
    "runs/实验1",
    "a=9",
    "a,b",
    "20241129",
    "2024_11_29",
    "1e3",
    "true",
    "a (1)",
    "[a",
    "it's",
    "$x:${y}",
]
TOY = ["env=toy", "agent=random"]


def configurations() -> dict[str, tuple[str, list[str]]]:
    """Name → verb and words: every verb as it comes, and every option of every group once."""
    found: dict[str, tuple[str, list[str]]] = {}
    for verb in YAMLS:
        found[verb] = verb, []
        for group, names in group_options(verb).items():
            found |= {f"{group}={name}": (verb, [f"{group}={name}"]) for name in names}
    return found


CONFIGURATIONS = configurations()


def wrong_words(hint: Any) -> list[str]:
    """Values that are of no type that the annotation admits."""
    kinds = options(hint)
    if str in kinds:
        return [] if type(None) in kinds else ["null"]
    if dict in kinds or holds_settings(hint):
        return ["abc", "3"]
    return ["abc", "true" if {int, float} & kinds else "3"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_wrong_type_in_any_setting_is_one_sentence_that_names_it(name):
    verb, words = CONFIGURATIONS[name]
    config = load(verb, words)
    check_settings(config, verb)
    checked = 0
    for key, before in flat(config).items():
        if key.endswith(("_target_", "_convert_")) or str(before).startswith("${"):
            continue
        if "=" in name and not key.startswith(name.partition("=")[0]):
            continue  # seen with the verb's own
        hint = hint_of(config, verb, key)
        assert hint is not Any or key.endswith((".policy", ".expert", ".instructions")), (
            f"{key} is undeclared"
        )
        for text in wrong_words(hint) if hint is not Any else ():
            with pytest.raises(ValueError) as error:
                apply(Word.parse(f"{key}={text}"), config, [], verb)
                check_settings(config, verb)
            assert str(error.value).startswith(f"{key}=") and "\n" not in str(error.value), (key, text)
            OmegaConf.update(config, key, before, merge=False)
            checked += 1
    assert checked or name in ("agent=replay",)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_setting_has_a_meaning(name):
    verb, words = CONFIGURATIONS[name]
    listed = list(described(load(verb, words), verb))
    assert not [key for key, _, meaning in listed if not meaning]
    assert len(listed) == len({key for key, _, _ in listed}) > 0


def test_help_explains_the_settings_of_what_is_chosen(capsys):
    assert main(["eval", "env=toy", "agent=random", "chunk=3", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  env.horizon=40" in text and "  agent.chunk=3                 actions a decision." in text
    assert "  toy                           A point that reaches for coloured squares" in text
    assert "agent.checkpoint" not in text


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("workers=-1", "workers=-1: use a number of at least 0"),
        ("inits=0", "inits=0: use a number of at least 1 or a list or null"),
        ("inits=[0,-1]", "inits.1=-1: use a number of at least 0"),
        ("env.tasks=0", "env.tasks=0: use a number of at least 1"),
        ("step_seconds=-0.5", "env.step_seconds=-0.5: use a number of at least 0"),
        ("step_seconds=nan", "env.step_seconds=nan: use a finite number"),
        ("step_seconds={a: 1}", "env.step_seconds={'a': 1}: use a finite number"),
        ("agent._target_=playloop.agents.policy.PolicyAgentConfig", "give agent.checkpoint=…"),
        ("env.horizon=1e3", "env.horizon=1000.0: use a whole number"),
        ("env.horizon='7'", "env.horizon='7': use a whole number"),
        ("seed=1,2", "seed=1,2 gives several values; give one, or a list in brackets"),
        ("~seed", "seed is taken away, and playloop eval needs it"),
        ("agent=null", "agent=null: there is no such agent"),
        ("~agent", "agent is taken away"),
        ("env.tasks=5", "env.tasks=5: use a number of at most 4"),
        ("+env.horizn=3", "there is no setting 'env.horizn' (did you mean \"horizon\"?)"),
        ("+sed=3", "there is no setting 'sed' (did you mean \"seed\"?)"),
        ("env.fault={episode: a, way: 3, counter: b}", "env.fault.way=3: choose from crash, raise, hang"),
        ("env.fault={wa: hang}", "there is no setting 'env.fault.wa' (did you mean \"way\"?)"),
        ("agent._target_=test_configs_settings.Plugin", "agent.needed"),
    ],
)
def test_wrong_values_end_before_anything_is_built(tmp_path, capsys, monkeypatch, word, complaint):
    monkeypatch.setattr(ToyReachConfig, "contract", lambda self: pytest.fail("something is built"))
    assert main(["eval", *TOY, f"out={tmp_path}/run", word]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("playloop eval: ") and complaint in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "run").exists()


@dataclass
class Plugin:
    """Somebody's agent, whose file knows nothing of ours."""

    needed: int
    rate: float = 0.5


class Undeclared:
    """One without a dataclass."""

    def __init__(self, rate: float = 0.5, **others: Any) -> None:
        self.rate, self.others = rate, others


def test_plugins_are_checked_by_their_annotations():
    dataclass_ = [*TOY, "agent._target_=test_configs_settings.Plugin"]
    check_settings(load("eval", [*dataclass_, "needed=3", "rate=1"]), "eval")
    plain_class = [*TOY, "agent._target_=test_configs_settings.Undeclared"]
    check_settings(load("eval", [*plain_class, "+agent.rate=2.0", "+agent.other=x"]), "eval")
    for words in ([*dataclass_, "needed=x"], [*plain_class, "+agent.rate=x"]):
        with pytest.raises(ValueError, match=r"agent\.(needed|rate)='x': use a"):
            check_settings(load("eval", words), "eval")


@pytest.mark.parametrize("text", STRANGE)
def test_text_is_taken_as_typed(text):
    config = load("eval", [*TOY, f"out={text}", "agent=replay", f"agent.folder={text}"])
    check_settings(config, "eval")
    assert plain(config)["out"] == plain(config)["agent"]["folder"] == make(config.agent).folder == text
    trained = load("train", [f"data={text}", "out=x"])
    assert plain(trained)["data"] == plain(trained)["training"]["task"]["data"] == text


@pytest.mark.parametrize("words", [["data=", "out=x"], ["data=[a,]", "out="], ["data=['']", "out=x"]])
def test_an_empty_path_is_not_the_working_folder(words):
    with pytest.raises(ValueError, match="use text that is not empty"):
        check_settings(load("train", words), "train")


def test_infinity_is_written_as_in_yaml_or_as_in_python():
    for text in ("inf", ".inf"):
        config = load("train", ["data=a", "out=b", f"clip={text}"])
        check_settings(config, "train")
        assert config.training.trainer.clip == float("inf")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a, b]", ["a", "b"]),
        ("[runs/实验1,20241129,1e3]", ["runs/实验1", "20241129", "1e3"]),
        ("""["a,b", 'it is', c d]""", ["a,b", "it is", "c d"]),
        ("[]", []),
        ("[~/a]", [os.path.expanduser("~/a")]),
        ("~/a", os.path.expanduser("~/a")),
    ],
)
def test_lists_of_texts_and_home(text, wanted):
    config = load("train", [f"data={text}", "out=x"])
    check_settings(config, "train")
    assert plain(config)["data"] == wanted


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("task=3", 3),
        ("task=put 3, (4) here", "put 3, (4) here"),
        ("tasks=[1, 'a, b', c]", [1, "a, b", "c"]),
        ("videos=2", 2),
        ("videos=all", "all"),
        ("out=null", None),
        ("inits=[1,2]", [1, 2]),
    ],
)
def test_numbers_lists_and_text_are_told_apart_by_type(word, wanted):
    config = load("eval", [*TOY, word])
    check_settings(config, "eval")
    assert plain(config)[word.partition("=")[0]] == wanted


@pytest.mark.parametrize("verb", ["eval", "record", "train", "play", "bench", "convert", "merge"])
def test_every_example_of_the_help_can_be_typed(verb):
    module = importlib.import_module(f"playloop.cli.{verb}")
    lines = (module.__doc__ or "").partition("Examples:")[2].splitlines()
    examples = [shlex.split(line)[2:] for line in lines if line.startswith(f"  playloop {verb}")]
    assert examples
    for words in examples:
        words = [word for word in words if is_setting(word)]
        name = settings_name(verb, words)
        if verb == "play":
            words = play.adapted(words)
        check_settings(load(name, words), name)


def test_a_part_is_made_of_its_declared_class():
    fault = make(load("eval", [*TOY, "env.fault={episode: a, way: hang, counter: b}"]).env).fault
    assert fault == ToyFault("a", "hang", "b")
    policy = load("train", ["+policy.cameras.front={pool: 1}", "data=a", "out=b"]).policy
    assert make(policy).cameras["front"].pool == 1
