"""A folder as a policy: rows, conventions, scales, and what is refused before a weight is read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from openvla_tiny import TOWERS
from tokenizers import Tokenizer

from playloop.envs.libero import LiberoConfig
from playloop.envs.simpler.config import SimplerConfig
from playloop.policies.dialects import DIALECTS, dialect_contract
from playloop.policies.diffusion import DecoderConfig
from playloop.policies.network import groups
from playloop.policies.openvla.decoders import DecodingConfig, decode_chunk
from playloop.policies.openvla.open import open_policy
from playloop.policies.openvla.synthetic import write_synthetic
from playloop.testing import check_policy

FEW = DecodingConfig(ids="actions", diffusion=DecoderConfig(rounds=3, order="sampled", sample="multinomial"))
TEXTS = ("pick up the milk", "open the drawer", "pick up the soup")


def written(folder, kind="diffusion", **changes):
    return write_synthetic(folder, 3, kind, towers=TOWERS, **changes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("checkpoints")
    return {kind: written(home / kind, kind) for kind in ("openvla", "oft", "diffusion")}


def policy_of(folder, **changes):
    return open_policy(folder, dtype=torch.float32, **changes)


def observation(row=0, size=(256, 256), cameras=("agentview", "robot0_eye_in_hand")):
    rng = np.random.default_rng(row)
    return {
        "images": {camera: rng.integers(0, 256, (*size, 3), np.uint8) for camera in cameras},
        "state": rng.uniform(-0.5, 0.5, 8).astype(np.float32),
        "instruction": TEXTS[row % 3],
    }


def seeds(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.mark.parametrize("kind", ["openvla", "oft", "diffusion"])
def test_the_policy_conforms(folders, kind):
    check_policy(lambda: policy_of(folders[kind], batch=2, decoding=FEW if kind == "diffusion" else None))


def test_instructions_of_any_length_share_a_call(folders):
    """Prompts of different lengths are decided in groups; each row as if it were alone."""
    policy = policy_of(folders["diffusion"], batch=2, decoding=FEW)
    assert len({len(policy.prompts(text)) for text in TEXTS}) > 1
    rows = [observation(row) for row in range(5)]
    _, together, info = policy(policy.initial(5), rows, seeds(*range(5)))
    assert info["tokens"].shape == (5, 56) and info["strange"].tolist() == [0] * 5
    for row in range(5):
        _, alone, _ = policy([None], [rows[row]], seeds(row))
        assert np.array_equal(together[row], alone[0])
    assert len({chunk.tobytes() for chunk in together}) == 5


def test_groups_keep_lengths_apart():
    assert groups([5, 7, 5, 5, 7], 2) == [[0, 2], [3], [1, 4]]
    assert groups([], 2) == []


def by_hand(folder, values, epsilon):
    """The published way from normalised values [H, 7] to LIBERO's actions, in NumPy."""
    (record,) = json.loads((folder / "dataset_statistics.json").read_text()).values()
    low, high, mask = (np.array(record["action"][name]) for name in ("q01", "q99", "mask"))
    actions = np.where(mask, 0.5 * (values + 1) * (high - low + epsilon) + low, values)
    actions[:, -1] = -np.sign(2 * actions[:, -1] - 1)
    return actions.astype(np.float32)


@pytest.mark.parametrize(("kind", "epsilon"), [("openvla", 0.0), ("diffusion", 1e-8)])
def test_tokens_become_the_environment_s_actions_as_published(folders, kind, epsilon):
    policy = policy_of(folders[kind], decoding=replace(FEW, ids="actions"))
    _, chunks, info = policy([None], [observation()], seeds(0))
    edges = np.linspace(-1, 1, 256)
    values = ((edges[:-1] + edges[1:]) / 2)[np.clip(32000 - info["tokens"][0] - 1, 0, 254)]
    assert np.array_equal(chunks[0], by_hand(folders[kind], values.reshape(-1, 7), epsilon))
    assert set(np.unique(chunks[..., -1])) <= {-1.0, 1.0}


def test_regressed_values_become_actions_as_published(folders):
    policy = policy_of(folders["oft"])
    _, chunks, info = policy([None], [observation()], seeds(0))
    prefix = policy.model.encode(*policy.inputs([observation()]))
    values = decode_chunk(policy.model, prefix, policy.decoding, policy.noise(seeds(0))).values
    assert np.array_equal(chunks[0], by_hand(folders["oft"], values[0].double().numpy(), 1e-8))
    assert "tokens" not in info and info["evaluations"] == 1


def test_the_network_sees_what_the_pipeline_shows(folders):
    policy = policy_of(folders["diffusion"], batch=1)
    seen = observation()
    pictures, state, prompts = policy.inputs([seen])
    assert pictures.shape == (1, 2, 6, 28, 28) and policy.images.jpeg and policy.images.crop == 0.9
    for place, camera in enumerate(("agentview", "robot0_eye_in_hand")):
        assert np.array_equal(pictures[0, place].numpy(), policy.images(seen["images"][camera]))
    (record,) = json.loads((folders["diffusion"] / "dataset_statistics.json").read_text()).values()
    low, high = (np.array(record["proprio"][name]) for name in ("q01", "q99"))
    wanted = np.clip(2 * (seen["state"].astype(float) - low) / (high - low + 1e-8) - 1, -1, 1)
    assert np.allclose(state[0].numpy(), wanted, atol=1e-6)
    assert prompts.tolist() == [policy.prompts(seen["instruction"])]


@pytest.mark.parametrize(("kind", "cameras"), [("openvla", 1), ("diffusion", 2)])
def test_a_libero_checkpoint_has_libero_s_conventions(folders, kind, cameras):
    contract = policy_of(folders[kind]).contract
    assert contract.differences(LiberoConfig().contract()) == [] and len(contract.cameras) == cameras
    (difference,) = contract.differences(LiberoConfig(size=128).contract())[:1]
    assert "agentview" in difference


@pytest.mark.parametrize(("key", "suite"), [("bridge_orig", "bridge"), ("fractal20220817_data", "fractal")])
def test_a_data_set_s_checkpoint_has_its_dialect_s_conventions(tmp_path, key, suite):
    folder = written(tmp_path / suite, "openvla", key=key)
    policy = policy_of(folder)
    robot = SimplerConfig(suite, shading="fast").contract()
    for resize in ("area", "lanczos", "border"):
        told = dialect_contract(DIALECTS[suite], robot, (224, 224), resize)
        as_told = policy_of(folder, resize=resize).contract
        assert as_told.differences(told) == [] and (as_told == policy.contract) == (resize == "area")
    assert policy.contract.differences(LiberoConfig().contract())[0].startswith("family")
    shown = observation(size=(224, 224), cameras=policy.cameras)
    _, chunks, info = policy([None], [shown], seeds(0))
    assert not policy.images.jpeg and policy.images.crop is None
    value = policy.tokenizer.bins.decode(torch.from_numpy(info["tokens"]))[
        0, policy.tokenizer.normalizer.size - 1
    ].item()
    assert chunks[0, 0, -1] == np.float32(value), "the opening is given on"


@pytest.mark.parametrize(
    ("kind", "key", "prompt"),
    [
        ("openvla", "bridge_orig", "bare"),
        ("openvla", "fractal20220817_data", "bare"),
        ("openvla", "libero_object_no_noops", "question"),
        ("parallel", "bridge_orig", "question"),
        ("diffusion", "fractal20220817_data", "question"),
    ],
)
def test_a_checkpoint_is_told_what_to_do_as_its_evaluator_tells_it(tmp_path, kind, key, prompt):
    """SimplerEnv's runner hands OpenVLA the instruction as it stands; its processor ends it as any prompt."""
    small = {} if kind == "openvla" else {"images": 1, "proprio": None}
    folder = written(tmp_path / "c", kind, key=key, **small)
    policy = policy_of(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain = tokenizer.encode("put Carrot on plate").ids
    asked = tokenizer.encode("In: What action should the robot take to put carrot on plate?\nOut:").ids
    wanted = {"bare": [*plain, 29871], "question": [*asked, 29871]}
    assert plain[0] == asked[0] == 1 and 29871 not in (plain[-1], asked[-1])
    assert policy.prompts("put Carrot on plate") == wanted[prompt]
    assert ("What action" in policy.describe()["prompt"]) == (prompt == "question")
    (other,) = {"bare", "question"} - {prompt}
    assert policy_of(folder, prompt=other).prompts("put Carrot on plate") == wanted[other]


def test_results_say_how_it_decides(folders):
    told = policy_of(folders["diffusion"]).describe()
    assert json.loads(json.dumps(told))["unnorm_key"] == "libero_object_no_noops"
    assert told["decoder"] == "diffusion" and told["attention"] == "full" and "JPEG" in told["images"]
    assert told["ids"] == [0, 32000] and told["diffusion"]["schedule"] == "float32"


def test_what_does_not_fit_is_refused_in_a_sentence(folders, tmp_path):
    folder = folders["diffusion"]
    for wanted, changes in (
        ("libero_object_no_noops", {"unnorm_key": "bridge_orig"}),
        ("choose from libero, bridge, fractal", {"family": "aloha"}),
        ("'libero_object_no_noops' is one of libero, not of bridge", {"family": "bridge"}),
        ("trained for diffusion", {"decoding": DecodingConfig(decoder="l1")}),
        ("batch=0", {"batch": 0}),
        ("is no step", {"pipeline": {"blur": 3}}),
        ("prompt='loud': use one of question, bare", {"prompt": "loud"}),
        ("leave it out", {"resize": "area"}),
    ):
        with pytest.raises(ValueError, match=wanted):
            policy_of(folder, **changes)
    with pytest.raises(ValueError, match="no environment"):
        policy_of(written(tmp_path / "jaco", "openvla", key="jaco_play"))
    with pytest.raises(ValueError, match="how bridge's was given"):
        policy_of(written(tmp_path / "state", "parallel", key="bridge_orig"))
    with pytest.raises(ValueError, match="one camera"):
        policy_of(written(tmp_path / "two", "parallel", key="bridge_orig", proprio=None))
    with pytest.raises(ValueError, match="resize='nearest': use one of lanczos, border, area"):
        policy_of(tmp_path / "two", resize="nearest")
    assert policy_of(tmp_path / "jaco", family="libero").contract.family == "libero"


def test_statistics_of_another_robot_are_refused(tmp_path):
    folder = written(tmp_path / "c")
    path = folder / "dataset_statistics.json"
    record = json.loads(path.read_text())
    (own,) = record.values()
    path.write_text(json.dumps({"libero_10": {"action": own["action"]}}))
    with pytest.raises(ValueError, match="no statistics of it"):
        policy_of(folder)
    short = {name: values[:3] for name, values in own["proprio"].items()}
    path.write_text(json.dumps({"libero_10": own | {"proprio": short}}))
    with pytest.raises(ValueError, match="3 in its statistics"):
        policy_of(folder)
    short = {name: values[:6] for name, values in own["action"].items()}
    path.write_text(json.dumps({"libero_10": own | {"action": short}}))
    with pytest.raises(ValueError, match="6 numbers of an action in the statistics"):
        policy_of(folder)
