"""A folder of the user's own YAML: its options are chosen, listed, and answered when something is wrong."""

from __future__ import annotations

import pytest

from playloop.cli.arguments import Arguments
from playloop.cli.main import main
from playloop.configs.compose import group_options, load
from playloop.configs.plugins import options, use_folder


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "env/short.yaml": "# The toy with little time.\ndefaults: [toy, _self_]\nhorizon: 9\n",
        "env/toy.yaml": "_target_: playloop.envs.toy.ToyReachConfig\n",
        "env/broken.yaml": "horizon: [1\n",
        "env/strange.yaml": "_target_: nowhere.at.All\n",
        "policy/narrow.yaml": "# The policy, narrower.\ndefaults: [vla, _self_]\nwidth: 96\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    use_folder(str(tmp_path))
    yield tmp_path
    use_folder(None)


def test_its_options_are_chosen_like_playloops_own(folder):
    assert load("eval", ["env=short", "agent=random"]).env.horizon == 9
    assert load("eval", ["env=short", "agent=random", "horizon=3"]).env.tasks == 4
    assert load("train", ["policy=narrow"]).policy.width == 96


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("broken", "broken.yaml cannot be read: while parsing"),
        ("strange", r"nowhere.at.All cannot be found.*env=strange is of --config-dir"),
        ("shrt", 'did you mean "short"'),
    ],
)
def test_what_is_wrong_with_one_is_a_sentence(folder, name, complaint):
    with pytest.raises(ValueError, match=complaint):
        load("eval", [f"env={name}", "agent=random"])
    assert load("eval", ["env=toy", "agent=random"]).env.horizon == 40


def test_playloops_own_goes_before_one_of_its_name(folder):
    fault = next(option.fault for option in options("env") if option.name == "toy")
    assert fault.startswith("env=toy is Playloop's own")
    assert group_options("eval")["env"].count("toy") == 1


def test_they_are_gone_without_the_folder(folder):
    use_folder(None)
    assert not options("env") and "short" not in group_options("eval")["env"]


def test_the_command_line_names_the_folder(folder, tmp_path, capsys):
    use_folder(None)
    words = ["env=short", "agent=random", "--config-dir", str(folder)]
    arguments = Arguments.parse(["eval", *words])
    assert arguments.resume_command() == f"playloop eval env=short agent=random --config-dir {folder}"
    assert main(["eval", *words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "The toy with little time." in shown and "cannot be chosen: env=toy is Playloop's own" in shown
    assert main(["eval", "env=toy", "--config-dir", "nowhere"]) == 2
    assert "--config-dir nowhere is no folder" in capsys.readouterr().err
    assert main(["eval", "env=toy", "--config-dir"]) == 2
    assert "write --config-dir DIR" in capsys.readouterr().err
