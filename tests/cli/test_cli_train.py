"""What `playloop train` makes of its words before anything is trained."""

from __future__ import annotations

import pytest

from playloop.cli.train import fit_warmup
from playloop.configs.compose import load
from playloop.configs.settings import settings_name


@pytest.mark.parametrize(
    ("words", "warmup"),
    [
        (["training=cpu"], 200),
        (["training=cpu", "steps=200"], 200),
        (["training=cpu", "steps=40"], 4),
        (["training=cpu", "trainer.steps=3"], 1),
        (["training=cpu", "steps=40", "warmup=100"], 100),
        (["training=cpu", "steps=40", "training.trainer.warmup=0"], 0),
        (["mineworld=300M_16f", "training=mineworld_new", "steps=100"], 10),
    ],
)
def test_a_presets_warm_up_fits_a_trial_of_few_steps(words, warmup, capsys):
    config = load(settings_name("train", words), [*words, "data=d", "out=o"])
    preset = config.training.trainer.warmup
    fit_warmup(config.training.trainer, words)
    assert config.training.trainer.warmup == warmup
    assert (f"instead of the preset's {preset}" in capsys.readouterr().out) == (warmup != preset)
