"""Policies on servers: the same actions as in this process; what goes wrong is named and counted."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from remote_policy import COLORS, decide
from remote_servers import HangUp, Policy, act, groot, openpi, ours_over_vla_eval, roboarena, vla_eval

from playloop.agents.base import Plan, RowAgent, ServerGone
from playloop.agents.fit import View
from playloop.agents.remote.agent import RemoteAgentConfig
from playloop.agents.remote.presets import PRESETS, preset_for
from playloop.cli.main import main
from playloop.core.robots import arm_contract
from playloop.envs.libero import LiberoConfig
from playloop.envs.toy import COLORS as TOY_COLORS
from playloop.envs.toy import ToyReachConfig
from playloop.rollouts.callbacks import Callback
from playloop.rollouts.driver import Driver
from playloop.rollouts.evaluate import evaluate

CONFIG = ToyReachConfig(tasks=3, inits=3)
EPISODES = CONFIG.episodes(seed=4)
WORDS = [
    "agent=remote",
    "agent.preset=null",
    "agent.pictures={image:{_target_:playloop.agents.fit.View,camera:top}}",
    "agent.states={state:[x,y]}",
    "agent.instruction=prompt",
]


class Here(RowAgent):
    """The servers' policy, in this process."""

    def __init__(self, steps=None):
        self.reads, self.steps = frozenset({"images"}), steps

    def prepare(self, contract):
        pass

    def decide(self, carry, observation, rng):
        actions = decide(observation["images"]["top"], observation["state"], observation["instruction"])
        return carry, Plan(actions[: self.steps])


class Actions(Callback):
    """What was executed, by episode; an episode that begins anew is forgotten."""

    def __init__(self):
        self.taken = {}

    def on_begin(self, episode):
        self.taken[episode] = []

    def on_segment(self, episode, segment):
        self.taken[episode].append(segment.actions)


def remote(url, **settings):
    given = {
        "preset": None,
        "pictures": {"image": View("top")},
        "states": {"state": ("x", "y")},
        "instruction": "prompt",
        "patience": 0.5,
    } | settings
    return RemoteAgentConfig(url, **given).make()


def run(agent, episodes=EPISODES, workers=0, config=CONFIG):
    memory = Actions()
    results = Driver(config, workers, [memory]).run(agent, episodes)
    return results, {episode: np.concatenate(parts) for episode, parts in memory.taken.items() if parts}


def assert_same(agent, steps=None, workers=2):
    """Actions to the bit, success and steps."""
    results, there = run(agent, workers=workers)
    expected, here = run(Here(steps))
    assert [r.error for r in results] == [None] * len(EPISODES)
    assert [(r.success, r.steps) for r in results] == [(r.success, r.steps) for r in expected]
    assert there.keys() == here.keys() and all(np.array_equal(there[e], here[e]) for e in here)
    assert all(actions.dtype == np.float32 for actions in there.values())


def test_the_policy_of_the_servers_knows_the_colours_of_the_toy():
    assert COLORS == TOY_COLORS


# -- each protocol ---------------------------------------------------------------------------------------


def test_openpi_gives_the_actions_of_this_process():
    with openpi(Policy(), {"anything": 3}) as url:
        agent = remote(url)
        assert agent.inner.links.protocol == "openpi" and not agent.repeatable
        assert_same(agent)
        assert agent.session()["requests"] > len(EPISODES) and agent.session()["ms_p99"] > 0


def test_nothing_of_ours_is_sent_to_a_server_that_does_not_know_us():
    policy = Policy()
    with openpi(policy) as url:
        run(remote(url), EPISODES[:1])
    assert all(set(asked) == {"image", "state", "prompt"} for asked in policy.asked)


def test_roboarena_gives_the_actions_of_this_process():
    with roboarena(Policy()) as url:
        agent = remote(url)
        assert agent.inner.links.protocol == "roboarena"
        assert_same(agent)


def test_act_gives_the_actions_of_this_process():
    with act(Policy()) as url:
        assert_same(remote(url, instruction="instruction"))


@pytest.mark.parametrize("wrapped", [False, True])
def test_groot_gives_the_actions_of_this_process(wrapped):
    policy = Policy()
    with groot(policy, wrapped) as url:
        agent = remote(url, protocol="groot-flat" if wrapped else "auto")
        assert_same(agent)
        before, seen = agent.session()["requests"], {"images": {"top": np.zeros((64, 64, 3), np.uint8)}}
        asked = seen | {"state": np.zeros(2, np.float32), "instruction": "reach the red square"}
        rngs = [episode.rng("decision", 0) for episode in EPISODES[:3]]
        _, plans = agent.act([agent.begin(episode) for episode in EPISODES[:3]], [asked] * 3, rngs)
        assert [plan.actions.shape for plan in plans] == [(3, 2)] * 3
        assert agent.session()["requests"] == before + 1  # three episodes in a message


def test_vla_evals_own_server_gives_the_actions_of_this_process(tmp_path):
    with vla_eval(tmp_path) as url:
        settings = {"pictures": {"top": View("top")}, "states": {"states": ("x", "y")}}
        agent = remote(url, instruction="task_description", **settings)
        assert agent.inner.links.protocol == "vla-eval"
        results, there = run(agent, workers=2)
        # its server keeps the chunk, and gives an action of it for every observation
        expected, here = run(Here())
        assert [(r.success, r.steps) for r in results] == [(r.success, r.steps) for r in expected]
        assert there.keys() == here.keys() and all(np.array_equal(there[e], here[e]) for e in here)
        yellow = ToyReachConfig(tasks=4, inits=1)
        [*others, failed], _ = run(agent, yellow.episodes(seed=0), config=yellow)
        assert "yellow is not known here" in failed.error and failed.fault == "server"
        assert [r.error for r in others] == [None] * 3


def test_a_server_of_ours_says_what_it_wants_and_is_told_the_episode():
    facts = {"contract": CONFIG.contract().to_json(), "execute": 2, "reads": ["images"], "seeded": True}

    class Ours(Policy):
        def __call__(self, asked):
            return super().__call__(asked, "images/top", prompt="instruction")

    policy = Ours()
    with openpi(policy, {"playloop": facts}) as url:
        agent = RemoteAgentConfig(url).make()
        assert_same(agent, steps=2)
        assert agent.repeatable
    told = [asked["playloop"] for asked in policy.asked]
    assert [t["episode"] for t in told if t["decision"] == 0].count(EPISODES[0].to_json()) == 1
    strange = ToyReachConfig(tasks=3, inits=3, horizon=30).contract()
    facts["contract"] = replace(strange, family="other").to_json()
    with (
        openpi(policy, {"playloop": facts}) as url,
        pytest.raises(ValueError, match="serve another checkpoint"),
    ):
        RemoteAgentConfig(url).make().prepare(CONFIG.contract())


def test_a_server_of_ours_is_told_the_episode_over_vla_eval_too():
    started = []
    with ours_over_vla_eval(Policy(), started, CONFIG.contract()) as url:
        assert_same(RemoteAgentConfig(url, protocol="vla-eval").make())
    episodes = [task["playloop"]["episode"] for task in started]
    assert sorted(map(str, episodes)) == sorted(str(episode.to_json()) for episode in EPISODES)


# -- what goes wrong -------------------------------------------------------------------------------------


def raises(error, *numbers):
    def trouble(number):
        if number in numbers:
            raise error

    return trouble


def test_an_error_of_the_server_is_no_failure_of_the_policy_and_disturbs_no_other():
    with openpi(Policy(raises(ValueError("no such prompt"), 4))) as url:
        results, _ = run(remote(url))
    wrong = [r for r in results if r.error]
    assert len(wrong) == 1 and wrong[0].fault == "server" and "ValueError: no such prompt" in wrong[0].error
    assert wrong[0].attempts == 1 and not wrong[0].success


def test_an_episode_whose_connection_is_lost_begins_anew_and_gives_the_same():
    with openpi(Policy(raises(HangUp(), 4, 11))) as url:
        agent = remote(url)
        results, there = run(agent)
    expected, here = run(Here())
    assert sum(r.attempts == 2 for r in results) == 2 and agent.session()["connections_lost"] == 2
    assert [(r.success, r.steps) for r in results] == [(r.success, r.steps) for r in expected]
    assert all(np.array_equal(there[e], here[e]) for e in here)


def test_an_answer_that_takes_too_long_is_a_lost_connection():
    with openpi(Policy(lambda number: time.sleep(1.0 if number == 3 else 0))) as url:
        results, _ = run(remote(url, timeout=0.4))
    assert sorted(r.attempts for r in results) == [1] * 8 + [2] and not any(r.error for r in results)


def test_a_connection_that_is_lost_again_is_the_servers_fault():
    with openpi(Policy(raises(HangUp(), 0, 1))) as url:
        results, _ = run(remote(url))
    assert results[0].attempts == 2 and results[0].fault == "server"
    assert results[0].error.startswith("the connection to the server was lost")


def test_a_server_that_is_gone_ends_the_run_and_the_same_command_goes_on(tmp_path, capsys):
    with openpi(Policy(raises(HangUp()))) as url:
        port = int(url.rsplit(":", 1)[1])
    words = [
        "eval", "env=toy", *WORDS, f"agent.url={url}", "agent.patience=0.5", "env.inits=2", "env.tasks=2",
        "workers=0", f"out={tmp_path}",
    ]  # fmt: skip
    assert main(words) == 2
    assert f"no server answers at {url}" in capsys.readouterr().err
    with openpi(Policy(), port=port):
        assert main([*words, "task=0"]) == 0
    elsewhere = Policy()
    with openpi(elsewhere) as other:  # where the server is and how long it is waited for decide nothing
        assert main([*words, f"agent.url={other}", "agent.timeout=30"]) == 0, capsys.readouterr().err
    assert len({asked["prompt"] for asked in elsewhere.asked}) == 1  # the first task is done
    assert json.loads((tmp_path / "summary.json").read_text())["result"]["overall"]["episodes"] == 4


def test_a_server_that_stops_in_the_middle_ends_the_run():
    with openpi(Policy()) as url:
        agent = remote(url, patience=0.3)
        agent.prepare(CONFIG.contract())
    link = agent.inner.links.idle.get_nowait()
    link.close()
    with pytest.raises(ServerGone, match=r"no server answers at .*What is done so far is kept"):
        run(agent)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("grpc://127.0.0.1:8080", "LeRobot's gRPC carries pickles"),
        ("127.0.0.1:8080", "names no protocol"),
        ("http://:80", "names no host"),
        ("ws://127.0.0.1:1", "no server answers at ws://127.0.0.1:1"),
        ("tcp://127.0.0.1:1", "no server answers at tcp://127.0.0.1:1"),
    ],
)
def test_an_address_where_nobody_answers_is_one_sentence(url, says):
    with pytest.raises(ValueError, match=says):
        remote(url, patience=0.1, timeout=0.3)


def test_a_token_is_sent_and_never_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROBOT_TOKEN", "s3cret-of-the-server")
    policy = Policy()
    with openpi(policy, wants="Api-Key s3cret-of-the-server") as url:
        words = ["eval", "env=toy", *WORDS, f"agent.url={url}", "inits=1", "tasks=[0]", "workers=0"]
        assert main([*words, "agent.token=ROBOT_TOKEN", f"out={tmp_path}"]) == 0
        assert policy.asked
        with pytest.raises(ValueError, match="names no environment variable"):
            remote(url, token="s3cret-of-the-server")
        with pytest.raises(ValueError, match="refuses us"):
            remote(url)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes()
    assert "s3cret" not in "".join(capsys.readouterr())


# -- the fit and the record ------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_before_the_first_step():
    policy = Policy()
    with openpi(policy) as url:
        with pytest.raises(ValueError, match="camera 'front'; the environment has top, hand"):
            run(remote(url, pictures={"image": View("front")}))
        with pytest.raises(ValueError, match="openpi want of libero, not of toy; give"):
            run(RemoteAgentConfig(url).make())
        with pytest.raises(ValueError, match=r"preset='groot'"):
            RemoteAgentConfig(url, preset="groot")
    assert not policy.asked


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith("libero")])
def test_presets_of_libero_fit_it(name):
    contract, preset = LiberoConfig(suite="libero_spatial").contract(), PRESETS[name]
    names = tuple(name for part in preset.states.values() for name in part)
    target = replace(preset.fit, cameras=dict(preset.pictures), state=names).target(contract)
    assert set(target.cameras) == set(preset.pictures) and len(target.state_names) == 8


def test_the_record_tells_of_the_server(tmp_path):
    with openpi(Policy(raises(HangUp(), 4))) as url:
        summary = evaluate(CONFIG, remote(url), EPISODES, tmp_path, workers=0)
        again = evaluate(CONFIG, remote(url), EPISODES, tmp_path, workers=0)
    assert summary["result"]["repeatable"] is False and again["result"] == summary["result"]
    facts = summary["run"]["sessions"][0]["server"]
    assert facts["connections_lost"] == facts["episodes_repeated"] == 1 and facts["requests"] > len(EPISODES)
    assert 0 < facts["ms_p50"] <= facts["ms_p99"]
    page = (tmp_path / "report.html").read_text()
    assert "not repeatable" in page and "1 episode begun anew" in page and "What the agent sees" in page


def test_an_agent_in_this_process_is_recorded_as_before(tmp_path):
    summary = evaluate(CONFIG, Here(), EPISODES[:2], tmp_path, workers=0)
    assert "repeatable" not in summary["result"] and "server" not in summary["run"]["sessions"][0]
    assert "not repeatable" not in (tmp_path / "report.html").read_text()


def test_settings_replace_what_they_name_of_a_preset_and_nothing_else():
    libero = arm_contract("libero", 256, "always", "standard")
    with openpi(Policy()) as url:
        agent = RemoteAgentConfig(url, pictures={"front": View("agentview")}).make()
        agent.prepare(libero)
    assert set(agent.inner.preset.pictures) == {"front"} and agent.fit.execute == 5
    assert list(agent.inner.preset.states) == ["observation/state"]
    spec = {"action_spec": {"gripper": {"format": "binary_close_01"}}}
    with pytest.raises(ValueError, match=r"give agent\.fit\.gripper"):
        preset_for("vla-eval", libero, spec, {}, own=False)
    assert preset_for("vla-eval", libero, spec, {"gripper": "opening"}, own=False).pictures


def test_a_server_that_comes_late_is_asked_which_protocol_it_speaks():
    with roboarena(Policy()) as url:
        port = int(url.rsplit(":", 1)[1])
    with contextlib.ExitStack() as stack:
        late = threading.Timer(1.0, lambda: stack.enter_context(roboarena(Policy(), port)))
        late.start()
        agent = RemoteAgentConfig(url, preset=None, patience=20.0).make()
        assert agent.name.startswith("roboarena")
        late.join()


@pytest.mark.parametrize("facts", [{"x": 1}, 7, {"contract": {"family": 3}}, {"contract": []}])
def test_a_server_that_says_what_it_is_in_another_form_is_one_sentence(facts):
    with (
        openpi(Policy(), {"playloop": facts}) as url,
        pytest.raises(ValueError, match="start playloop serve of this version there"),
    ):
        RemoteAgentConfig(url).make()


def test_what_a_server_says_of_itself_is_recorded_as_json(tmp_path):
    odd = {"d": {"k": np.arange(3), "b": b"x", "n": {"deep": float("nan")}}, "f": float("inf"), "t": [1]}
    with openpi(Policy(), odd) as url:
        summary = evaluate(CONFIG, remote(url), EPISODES[:1], tmp_path, workers=0)
    told = summary["run"]["agent_provenance"]["server"]
    assert told["f"] == "inf" and told["d"]["n"]["deep"] == "nan" and json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("actions", [[[float("nan"), 0.0]], [[0.0] * 7], "left"], ids=["nan", "wide", "text"])
def test_actions_that_are_none_are_the_servers_fault(actions):
    class Wrong(Policy):
        def __call__(self, *asked, **keys):
            return actions

    with openpi(Wrong()) as url:
        results, _ = run(remote(url))
    assert {result.fault for result in results} == {"server"} and not any(r.success for r in results)


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "ws://127.0.0.1:99999", "tcp://127.0.0.1:70000"])
def test_a_port_that_is_none_is_said_with_the_setting(url):
    with pytest.raises(ValueError, match=r"agent\.url=.*write SCHEME://HOST:PORT"):
        RemoteAgentConfig(url)


def test_act_is_asked_again_after_a_pause_in_which_the_server_hung_up(monkeypatch):
    monkeypatch.setattr("playloop.agents.remote.oft.IDLE", 0.0)  # every question finds the pause too long
    with act(Policy()) as url:
        assert_same(remote(url, instruction="instruction"))
