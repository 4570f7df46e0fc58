"""SimplerEnv's settings, assets, driver and doctor, without running a task."""

from __future__ import annotations

import json

import numpy as np
import pytest
import simpler_assets  # noqa: F401 (sets MS_ASSET_DIR)

from playloop.agents.widowx import WidowXExpertConfig
from playloop.envs.libero import LiberoConfig
from playloop.envs.simpler import assets, bridge, doctor, vulkan
from playloop.envs.simpler.config import SimplerConfig
from playloop.envs.simpler.env import composite


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"suite": "brigde"}, "did you mean 'bridge'"),
        ({"success": "last"}, "success='last': choose from final, any"),
        ({"success_steps": 3}, "env.success=any"),
    ],
)
def test_bad_settings_are_answered_at_once(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        SimplerConfig(**settings)


def test_episodes_are_24_layouts_of_four_tasks():
    config = SimplerConfig()
    assert len(config.episodes()) == 96
    assert [episode.init for episode in config.episodes(tasks=[2], inits=[3, 23])] == [3, 23]
    with pytest.raises(ValueError, match="0 to 23"):
        config.episodes(inits=[24])
    assert [config.limit(task) for task in range(4)] == [60, 60, 60, 120]


def test_the_rule_decides_what_succeeds():
    final, anytime = SimplerConfig().terms(), SimplerConfig(success="any", success_steps=2).terms()
    assert final.succeeded(1, last=True) and not final.succeeded(5, last=False)
    assert not final.succeeded(0, last=True)
    assert anytime.succeeded(2, last=False) and not anytime.succeeded(1, last=True)


def test_missing_assets_are_named_before_anything_is_built(monkeypatch, tmp_path):
    monkeypatch.setenv("MS_ASSET_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"download_asset.*MS_ASSET_DIR"):
        SimplerConfig().make()
    findings = [doctor.check_assets(suite) for suite in assets.NEEDED]
    assert all(finding.optional and finding.good and "MS_ASSET_DIR" in finding.fix for finding in findings)


def test_the_expert_refuses_another_robot():
    with pytest.raises(ValueError, match="drives simpler_widowx, not libero; use agent=expert"):
        WidowXExpertConfig().make().prepare(LiberoConfig().contract())


def test_the_installed_driver_is_chosen_unless_the_user_chose(monkeypatch, tmp_path):
    monkeypatch.setattr(vulkan, "FOLDER", tmp_path)
    for name in (vulkan.MANIFEST, vulkan.OLD_MANIFEST):
        monkeypatch.setenv(name, "to be restored")  # what `choose_driver` sets goes when the test ends
        monkeypatch.delenv(name)
    assert vulkan.choose_driver() is None
    manifest = tmp_path / "driver.json"
    manifest.write_text(json.dumps({}))
    assert vulkan.choose_driver() == str(manifest)
    monkeypatch.setenv(vulkan.OLD_MANIFEST, "/mine.json")
    assert vulkan.choose_driver() == "/mine.json"


def test_a_driver_that_does_not_exist_is_a_finding(monkeypatch):
    pytest.importorskip("sapien", reason="SAPIEN is not installed: pip install 'playloop[simpler]'")
    monkeypatch.setenv(vulkan.OLD_MANIFEST, "/nowhere/driver.json")
    monkeypatch.setenv(vulkan.MANIFEST, "/nowhere/driver.json")
    finding = doctor.check_driver()
    assert not finding.good and "/nowhere/driver.json" in finding.text
    assert "playloop.envs.simpler.vulkan" in finding.fix


def test_only_what_is_kept_stands_before_the_photograph():
    drawn, photo = np.full((2, 3, 3), 9, np.uint8), np.full((2, 3, 3), 1, np.uint8)
    segments = np.array([[0, 1, 2], [2, 7, 1]])
    found = composite(drawn, segments, [2, 7, 99], photo)
    assert (found[..., 0] == [[1, 1, 9], [9, 9, 1]]).all()


def test_fresh_layouts_keep_apart_and_off_the_published_ones():
    corners = [(-0.235, -0.075), (-0.235, 0.075), (-0.085, -0.075), (-0.085, 0.075)]
    known = [
        bridge.BridgeLayout(np.array([[*a, 0.88], [*b, 0.87]]), np.tile([1.0, 0, 0, 0], (2, 1)))
        for a in corners
        for b in corners
        if a != b
    ]
    source = "bridge_carrot_generated_modified"
    rng = np.random.default_rng(0)
    drawn = [bridge.draw_layout(source, known, rng) for _ in range(200)]
    gaps = [np.linalg.norm(layout.positions[0, :2] - layout.positions[1, :2]) for layout in drawn]
    assert min(gaps) >= bridge.ROOMS[source].gap
    reach = np.abs(np.stack([layout.positions[:, :2] for layout in drawn]) - [-0.16, 0.0])
    assert reach.max() <= 0.1 and reach.max() > 0.09
    assert all(np.linalg.norm(layout.turns, axis=1) == pytest.approx(1.0) for layout in drawn)
