"""Visual Matching, Variant Aggregation and the Bridge average, by hand."""

from __future__ import annotations

import pytest

from playloop.core.episode import Episode
from playloop.core.results import EpisodeResult
from playloop.envs.simpler.config import SimplerConfig
from playloop.envs.simpler.fractal import protocol
from playloop.envs.simpler.fractal.looks import meshes
from playloop.envs.simpler.published import bridge_averages, fractal_averages
from playloop.rollouts.summary import summarize


def result(suite, task, init, success, **info):
    return EpisodeResult(Episode(suite, task, init), success, 60, float(success), info=info)


def test_the_bridge_average_keeps_grasps_apart():
    names = ["spoon", "carrot"]
    results = [
        result("bridge", task, init, init < 1 + task, grasped=True) for task in (0, 1) for init in range(4)
    ]
    success, grasp = bridge_averages(results, names, layouts=4)
    assert success["label"].endswith("success") and success["rate"] == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert grasp["label"].endswith("grasp") and grasp["rate"] == 1.0
    assert success["groups"] == {"spoon": 0.25, "carrot": 0.5} and success["complete"]
    assert not bridge_averages(results[:-1], names, layouts=4)[0]["complete"]
    assert bridge_averages([], names, layouts=4) == []


def test_visual_matching_is_the_mean_over_recolours():
    layouts = protocol.count(0) // 4
    results = [result("fractal", 0, init, init < layouts) for init in range(4 * layouts)]
    (coke,) = fractal_averages(results, "fractal")
    assert coke["label"] == "Visual Matching, pick coke can" and coke["complete"]
    assert coke["rate"] == 0.25 and list(coke["groups"].values()) == [1.0, 0.0, 0.0, 0.0]


def test_a_papers_average_is_of_three_columns_with_drawers_half_and_half():
    rates = {0: 1.0, 1: 0.0, 2: 1.0, 3: 0.0, 4: 1.0}
    results = [
        result("fractal", task, init, bool(rate))
        for task, rate in rates.items()
        for init in range(protocol.count(task))
    ]
    found = {average["label"].partition(", ")[2]: average for average in fractal_averages(results, "fractal")}
    assert found["drawers"]["rate"] == 0.5
    paper = found["average of pick coke can, move near, drawers"]
    assert paper["rate"] == pytest.approx((1.0 + 0.0 + 0.5) / 3) and paper["complete"]
    assert paper["episodes"] == sum(protocol.count(task) for task in range(4))


def test_variants_weigh_alike_and_missing_ones_are_told():
    layouts = 75
    present = [result("fractal_variants", 0, init, True) for init in range(layouts)]
    present += [result("fractal_variants", 0, 3 * layouts + init, False) for init in range(3)]
    (coke,) = fractal_averages(present, "fractal_variants")
    assert coke["rate"] == 0.5 and coke["label"].startswith("Variant Aggregation") and not coke["complete"]


def test_a_summary_holds_averages_and_partial_successes():
    config = SimplerConfig()
    results = [result("bridge", task, 0, True, grasped=task == 0) for task in range(4)]
    crashed = EpisodeResult(Episode("bridge", 0, 1), False, 3, 0.0, error="crash")
    found = summarize(
        [*results, crashed],
        [r.episode for r in [*results, crashed]],
        config.task_names(),
        config.contract(),
        config.averages,
    )
    assert [average["rate"] for average in found["averages"]] == [1.0, 0.25]
    assert found["overall"]["partial"]["grasped"] == 0.25
    assert found["overall"]["partial"]["moved_wrong"] is None, "nobody said"


def test_variants_without_assets_are_refused_or_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("MS_ASSET_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"base, background: 1.*env\.absent=skip"):
        SimplerConfig("fractal_variants").episodes([0])
    assert SimplerConfig("fractal_variants", absent="skip").episodes([0]) == []
    assert len(SimplerConfig("fractal").episodes([0])) == 300


def test_shapes_that_a_cabinet_names_are_assets_too(tmp_path):
    file, other = tmp_path / "mk_station3.urdf", tmp_path / "mk_station4.urdf"
    file.touch()
    with pytest.raises(ValueError, match=r"mk_station3\.urdf is damaged .* fetch"):
        meshes(file)
    other.write_text('<robot><link><visual><mesh filename="models/top.glb"/></visual></link></robot>')
    assert meshes(other) == (tmp_path / "models/top.glb",)
