"""What an environment, a policy, an agent, a world model or a training task must keep: checks for tests.

Each raises an `AssertionError` that says in one sentence what is broken, and where; with any test runner:

    from playloop.testing import check_env, check_env_config

    def test_my_env():
        check_env_config(MyConfig())
        check_env(MyConfig().make)
"""

from playloop.envs.config import check_env_config
from playloop.testing.acts import Shove, keys
from playloop.testing.agents import check_agent, check_policy
from playloop.testing.data import craft_recordings, record_demonstrations, toy_demonstrations
from playloop.testing.environments import check_contract, check_env
from playloop.testing.tasks import check_task
from playloop.testing.traces import wild
from playloop.testing.worlds import check_world

__all__ = [
    "Shove",
    "check_agent",
    "check_contract",
    "check_env",
    "check_env_config",
    "check_policy",
    "check_task",
    "check_world",
    "craft_recordings",
    "keys",
    "record_demonstrations",
    "toy_demonstrations",
    "wild",
]
