from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CONTRACT, tiny_config, tiny_observation, tiny_statistics

from playloop.agents.policy import PolicyAgent, PolicyAgentConfig, blend
from playloop.core.episode import Episode
from playloop.policies.checkpoint import save
from playloop.tokenizers.instructions import NGramsConfig

EPISODE = Episode("toy", 0, 0)


class CountingPolicy:
    """Chunks whose entries say which decision and which step they are; decides by the carry alone."""

    contract, chunk, batch = CONTRACT, 8, 2

    def initial(self, batch):
        return [0] * batch

    def __call__(self, carry, observations, generators):
        steps = np.arange(8, dtype=np.float32)[None, :, None]
        chunks = np.tile(100 * np.array(carry, np.float32)[:, None, None] + steps, (1, 1, 7))
        chunks[..., 6] = np.where(np.array(carry)[:, None] % 2, 1.0, -1.0)
        draws = np.array([torch.rand(1, generator=g).item() for g in generators])
        return [c + 1 for c in carry], chunks, {"draw": draws, "rounds": 4}


def play(agent, decisions, seed=0):
    carry, plans = agent.begin(EPISODE), []
    for number in range(decisions):
        (carry,), (plan,) = agent.act([carry], [tiny_observation(0)], [np.random.default_rng([seed, number])])
        plans.append(plan)
    return plans


def test_executes_the_first_actions_of_each_chunk():
    plans = play(PolicyAgent(CountingPolicy(), execute=3), 3)
    assert [plan.actions[:, 0].tolist() for plan in plans] == [[0, 1, 2], [100, 101, 102], [200, 201, 202]]
    assert plans[0].info["rounds"] == 4
    draws = [plan.info["draw"] for plan in plans]
    assert len(set(draws)) == 3
    assert draws == [plan.info["draw"] for plan in play(PolicyAgent(CountingPolicy(), execute=3), 3)]


def test_ensemble_averages_what_the_chunks_say_about_one_step():
    plans = play(PolicyAgent(CountingPolicy(), execute=4, ensemble=0.0), 3)
    assert plans[0].actions[:, 0].tolist() == [0, 1, 2, 3]
    assert plans[1].actions[:, 0].tolist() == [(100 + i + i + 4) / 2 for i in range(4)]
    assert plans[2].actions[:, 0].tolist() == [(200 + i + 100 + i + 4) / 2 for i in range(4)]
    assert [plan.actions[0, 6] for plan in plans] == [-1, 1, -1]  # a tie: the newest decides


def test_blend_weighs_by_age_and_votes_on_the_gripper():
    gripper = np.array([False, True])
    chunks = tuple(np.array([[value, sign]], np.float32) for value, sign in ((0, 1), (1, -1), (1, -1)))
    old, even = blend(chunks, 1, 5.0, gripper), blend(chunks, 1, 0.0, gripper)
    assert np.allclose(even, [[2 / 3, -1]]) and old[0, 0] < 0.01 and old[0, 1] == 1


def test_a_row_does_not_depend_on_its_neighbours():
    agent = PolicyAgent(CountingPolicy(), execute=4, ensemble=0.5)
    seeds = [np.random.default_rng(s) for s in (1, 2)]
    _, both = agent.act([(3, ()), (7, ())], [tiny_observation(0)] * 2, seeds)
    _, (alone,) = agent.act([(7, ())], [tiny_observation(0)], [np.random.default_rng(2)])
    assert np.array_equal(both[1].actions, alone.actions) and both[1].info["draw"] == alone.info["draw"]


def test_from_a_checkpoint_to_a_plan(tmp_path):
    encoder = NGramsConfig(size=24).make()
    encoder.encode(["push the plate"])
    save(tmp_path / "c", tiny_config().make(tiny_statistics()), contract=CONTRACT, encoder=encoder)
    agent = PolicyAgentConfig(str(tmp_path / "c"), execute=5, decoder={"rounds": 2}).make()
    assert agent.name == "policy c"
    agent.prepare(CONTRACT)
    (plan,) = play(agent, 1)
    assert plan.actions.shape == (5, 7) and plan.info["evaluations"] == 2 and agent.reads == {"images"}
    with pytest.raises(ValueError, match="control_hz"):
        agent.prepare(replace(CONTRACT, control_hz=10.0))


@pytest.mark.parametrize("bad", [{"execute": 0}, {"execute": 9}, {"ensemble": -1.0}])
def test_bad_parameters_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        PolicyAgent(CountingPolicy(), **bad)


def test_a_policy_says_how_much_of_a_chunk_to_execute():
    class Impatient(CountingPolicy):
        execute = 2

    assert PolicyAgent(Impatient()).execute == 2
    assert PolicyAgent(Impatient(), execute=4).execute == 4
    assert PolicyAgent(CountingPolicy()).execute == CountingPolicy.chunk
