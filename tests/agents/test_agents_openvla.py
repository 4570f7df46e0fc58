"""A published folder as an agent, from the command that a user types to the simulator and back."""

from __future__ import annotations

import json
import re
from importlib import resources
from importlib.util import find_spec

import numpy as np
import pytest
from openvla_tiny import TOWERS

from playloop.agents.fitted import FittedAgent
from playloop.agents.policy import OpenVLAAgentConfig, PolicyAgent, PolicyAgentConfig
from playloop.cli.main import main
from playloop.core.episode import Episode
from playloop.envs.libero import LiberoConfig
from playloop.envs.simpler.config import SimplerConfig
from playloop.policies.openvla.files import hash_of, read_hashes
from playloop.policies.openvla.synthetic import write_synthetic
from playloop.policies.resize import area, lanczos

LIBERO = pytest.mark.skipif(
    find_spec("libero") is None, reason="LIBERO is not installed: pip install 'playloop[libero]'"
)


def written(folder, kind="diffusion", **changes):
    return write_synthetic(folder, 5, kind, towers=TOWERS, **changes)


@LIBERO
def test_the_command_drives_libero_and_its_results_say_how(tmp_path):
    folder, out = written(tmp_path / "checkpoint"), tmp_path / "out"
    words = ["suite=libero_object", "agent=openvla", f"agent.checkpoint={folder}", "inits=1", "task=0"]
    more = ["agent.diffusion.rounds=2", "execute=4", "horizon=12", "workers=0", "videos=none", f"out={out}"]
    assert main(["eval", *words, *more]) == 0
    (episode,) = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert (episode["steps"], episode["decisions"], episode["error"]) == (12, 3, None)
    run = json.loads((out / "summary.json").read_text())["run"]
    told = run["agent_provenance"]
    assert told["checkpoint_sha256"] == folder_hash(folder) and told["decoder"] == "diffusion"
    assert told["diffusion"]["rounds"] == 2 and told["unnorm_key"] == "libero_object_no_noops"


def recorded():
    """A LIBERO scene as the environment shows it, with both cameras' declared sizes."""
    stored = resources.files("playloop.envs") / "reference/libero_object-task00-init000-seed0.npz"
    with stored.open("rb") as file, np.load(file) as archive:
        scene = archive["image"].repeat(2, 0).repeat(2, 1)
    state = np.array([-0.1, 0.0, 0.4, 3.1, 0.1, -0.1, 0.04, -0.04], np.float32)
    cameras = LiberoConfig().contract().cameras
    text = "pick up the alphabet soup and place it in the basket"
    return {"images": dict.fromkeys(cameras, scene), "state": state, "instruction": text}


@LIBERO
@pytest.mark.parametrize(("kind", "chunk"), [("openvla", 1), ("oft", 8), ("parallel", 8)])
def test_every_kind_decides_on_a_recorded_scene(tmp_path, kind, chunk):
    agent = OpenVLAAgentConfig(str(written(tmp_path / kind, kind)), batch=2).make()
    assert isinstance(agent, PolicyAgent) and agent.reads == {"images"} and agent.rows == 2
    assert agent.name == f"openvla {kind}"
    agent.prepare(LiberoConfig().contract())
    begun = agent.begin(Episode("libero_object", 0, 0))
    _, (plan,) = agent.act([begun], [recorded()], [np.random.default_rng(0)])
    assert plan.actions.shape == (chunk, 7) and np.isfinite(plan.actions).all()
    assert set(plan.actions[:, -1]) <= {-1.0, 1.0}
    shorter = OpenVLAAgentConfig(str(tmp_path / kind), execute=1).make()
    _, (first,) = shorter.act([begun], [recorded()], [np.random.default_rng(0)])
    assert np.allclose(first.actions, plan.actions[:1], atol=1e-5)


def simpler_scene(contract):
    """An observation of SimplerEnv's robot: noise of the camera's declared size."""
    (camera,) = contract.cameras
    picture = np.random.default_rng(0).integers(0, 256, (*contract.cameras[camera], 3), np.uint8)
    seen = {"state": np.zeros(7, np.float32), "instruction": "put carrot on plate"}
    return seen | {"images": {camera: picture}}


@pytest.mark.parametrize(("key", "suite"), [("bridge_orig", "bridge"), ("fractal20220817_data", "fractal")])
def test_simpler_env_s_robots_get_a_translated_policy(tmp_path, key, suite):
    agent = OpenVLAAgentConfig(str(written(tmp_path / suite, "openvla", key=key))).make()
    assert isinstance(agent, FittedAgent)
    contract = SimplerConfig(suite, shading="fast").contract()
    agent.prepare(contract)
    begun = agent.begin(Episode(suite, 0, 0))
    _, (plan,) = agent.act([begun], [simpler_scene(contract)], [np.random.default_rng(0)])
    assert plan.actions.shape == (1, 7) and np.isfinite(plan.actions).all()
    assert plan.actions[0, 6] == 0.0 if suite == "fractal" else plan.actions[0, 6] in (-1.0, 1.0)
    assert agent.provenance()["unnorm_key"] == key and agent.provenance()["fit"]


def resized(provenance):
    """How the one picture of SimplerEnv's robots got its size."""
    [view] = provenance["fit"]["cameras"].values()
    return view["resize"]


def test_simpler_env_s_pictures_and_prompts_are_its_runner_s_unless_told_otherwise(tmp_path):
    """What reaches the network: pixels and ids, and what the result says of them."""
    folder = written(tmp_path / "bridge", "openvla", key="bridge_orig")
    contract = SimplerConfig("bridge", shading="fast").contract()
    seen = simpler_scene(contract)
    (picture,) = seen["images"].values()
    told, sizes = {}, {}
    for name, settings in {"runner": {}, "before": {"resize": "lanczos", "prompt": "question"}}.items():
        agent = OpenVLAAgentConfig(str(folder), **settings).make()
        agent.prepare(contract)
        policy, shown = agent.inner.policy, []
        read = policy.inputs
        policy.inputs = lambda rows, read=read, shown=shown: shown.append(rows) or read(rows)
        agent.act([agent.begin(Episode("bridge", 0, 0))], [seen], [np.random.default_rng(0)])
        [rows] = shown
        (small,) = rows[0]["images"].values()
        wanted = area(picture, (224, 224)) if name == "runner" else lanczos(picture, (224, 224))
        full = policy.images.changed({"size": 224})  # of the released checkpoints
        assert np.array_equal(small, wanted) and np.array_equal(full.pixels(small), wanted)
        told[name], sizes[name] = agent.provenance(), policy.form(seen)
    assert sizes["runner"] < sizes["before"]
    assert resized(told["runner"]) == "area" and told["runner"]["prompt"] == "{instruction}"
    assert "INTER_AREA" in told["runner"]["image"]
    assert "Lanczos3" in told["before"]["image"]
    assert resized(told["before"]) == "lanczos" and "What action" in told["before"]["prompt"]


def test_agent_policy_opens_a_published_checkpoint_as_agent_openvla_does(tmp_path):
    folder = str(written(tmp_path / "bridge", "openvla", key="bridge_orig"))
    contract = SimplerConfig("bridge", shading="fast").contract()
    plans = []
    for config in (PolicyAgentConfig(folder, execute=1), OpenVLAAgentConfig(folder, execute=1)):
        agent = config.make()
        agent.prepare(contract)
        begun, rng = agent.begin(Episode("bridge", 0, 0)), np.random.default_rng(0)
        _, (plan,) = agent.act([begun], [simpler_scene(contract)], [rng])
        plans.append((agent.provenance(), plan.actions.tolist()))
    assert plans[0] == plans[1] and plans[0][0]["fit"]["family"] == "bridge_dataset"
    for name, value in {"ensemble": 0.5, "instructions": folder}.items():
        with pytest.raises(ValueError, match=rf"agent\.{name} is a setting of Playloop's own policies"):
            PolicyAgentConfig(folder, **{name: value}).make()


@LIBERO
def test_a_bridge_checkpoint_is_refused_on_libero_before_the_first_step(tmp_path, capsys):
    folder = written(tmp_path / "bridge", "openvla", key="bridge_orig")
    words = ["suite=libero_object", "agent=openvla", f"agent.checkpoint={folder}", "inits=1", "task=0"]
    assert main(["eval", *words, "workers=0", f"out={tmp_path}/out"]) == 2
    error = capsys.readouterr().err
    assert "bridge_dataset" in error and "libero" in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"diffusion": {"round": 3}}, "no decoder field"),
        ({"images": {"blur": 1}}, "is no step"),
        ({"prompt": "loud"}, "prompt='loud'"),
        ({"resize": "area"}, "libero's pictures"),
        ({"dtype": "int8"}, "agent.dtype='int8'"),
        ({"execute": 9}, "a chunk has 8 actions"),
        ({"decoder": "l1"}, "trained for diffusion"),
        ({"unnorm_key": "libero_goal"}, "libero_object_no_noops"),
        ({"stated": {"picture": 1}}, "picture cannot be stated"),
        ({"step": 7}, "step 7"),
    ],
)
def test_bad_settings_are_named(tmp_path_factory, changes, wanted):
    home = tmp_path_factory.getbasetemp() / "bad_settings"
    folder = home if home.exists() else written(home)
    with pytest.raises(ValueError, match=wanted):
        OpenVLAAgentConfig(str(folder), **changes).make()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"execute": 0}, "execute=0: use a number of at least 1 or null"),
        ({"execute": 2.5}, "execute=2.5: use a whole number"),
        ({"batch": "two"}, "batch='two': use a whole number"),
        ({"threads": 0}, "threads=0: use a number of at least 1"),
        ({"unnorm_key": 7}, "unnorm_key=7: use text or null"),
        ({"verify": "maybe"}, "verify='maybe': choose from strict, warn, off"),
        ({"reuse": "x"}, "reuse='x': use a whole number"),
        ({"reuse": 1.5}, "reuse=1.5: use a whole number"),
        ({"diffusion": {"rounds": "abc"}}, "rounds='abc': use a whole number"),
        ({"diffusion": {"rounds": 12.5}}, "rounds=12.5"),
        ({"diffusion": {"temperature": None}}, "temperature=None: use a finite number"),
        ({"diffusion": {"temperature": float("nan")}}, "temperature=nan"),
        ({"images": {"crop": "abc"}}, "crop='abc': use a finite number or null"),
        ({"images": {"rotate": "abc"}}, "rotate='abc': use true or false"),
        ({"images": {"size": 100}}, "images.size=100: the checkpoint reads 28"),
        ({"stated": {"decoders": "diffusion"}}, "decoders='diffusion'"),
        ({"family": "bridge"}, "is one of libero, not of bridge"),
    ],
)
def test_impossible_settings_are_refused_before_the_weights_are_read(
    tmp_path_factory, monkeypatch, changes, wanted
):
    home = tmp_path_factory.getbasetemp() / "bad_settings"
    folder = home if home.exists() else written(home)
    monkeypatch.setattr("playloop.policies.openvla.open.read_weights", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match=re.escape(wanted)):
        OpenVLAAgentConfig(str(folder), **changes).make()


def folder_hash(folder):
    return hash_of(read_hashes(folder))


def test_the_hash_is_of_what_decides(tmp_path):
    folder = written(tmp_path / "c", "openvla")
    before = folder_hash(folder)
    (folder / "README.md").write_text("words")
    (folder / "merge.json").write_text("{}")
    assert folder_hash(folder) == before
    (folder / "preprocessor_config.json").write_text("{}")
    assert folder_hash(folder) != before
    (folder / "lora_adapter").mkdir()
    hashes = set()
    for alpha in (16, 32):  # scales the factors in FiLM's file
        (folder / "lora_adapter" / "adapter_config.json").write_text(json.dumps({"lora_alpha": alpha}))
        hashes.add(folder_hash(folder))
    assert len(hashes) == 2
