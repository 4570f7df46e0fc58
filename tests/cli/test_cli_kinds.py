"""Whatever settings can name is kept in results by a kind, so that a class may move."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import playloop.configs
from playloop.core.fields import fill, find
from playloop.core.kinds import kind_of

CONFIGS = Path(playloop.configs.__path__[0])
UNNAMED = {"bench.yaml"}
"""Measures machines: its settings are kept nowhere."""
NAMES = """
augmentation camera camera-bins craft craft-expert dialect diffusion-decoder expert explorer fsq-frames
fsq-world google-robot-expert handover hold inverse-dynamics libero lora luanti minerl mineworld
mineworld-conversion mineworld-order minilm n-grams openvla-agent openvla-merge
openvla-objective person policy-agent random replay robosuite simpler toy toy-expert train-inverse
train-mineworld train-openvla train-policy train-tokenizer train-world trainer training-images vla
vq widowx-expert world world-evaluation world-sampler llama openvla vit
"""
"""Files hold these names: a class may move and be renamed, they stay."""


def targets(value):
    """Every class that settings name, at any depth."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield value["_target_"]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from targets(item)


def named():
    found = set()
    for path in CONFIGS.rglob("*.yaml"):
        if path.name not in UNNAMED:
            found |= set(targets(yaml.safe_load(path.read_text())))
    for target in set(found):
        filled = fill(OmegaConf.create({"part": {"_target_": target}}))
        found |= set(targets(OmegaConf.to_container(filled)))
    return sorted(found)


@pytest.mark.parametrize("target", named())
def test_every_class_that_settings_name_has_a_kind(target):
    assert kind_of(find(target)) is not None


def test_names_in_files_stay():
    root = Path(__file__).parents[2]
    sources = (path.read_text() for path in root.glob("[a-z]*/**/*.py") if "tests" not in path.parts)
    found = set(re.findall(r'^@kind\("(.*)"\)$', "\n".join(sources), re.MULTILINE))
    assert set(NAMES.split()) <= found
