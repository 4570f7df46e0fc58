"""Whatever can act, as an agent."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from playloop.agents.base import Agent


def as_agent(given: Any) -> Agent:
    """Whoever acts: an agent, a policy, which executes its chunks, or settings whose `make()` gives either.

    Raises:
        ValueError: it is none of them; says what is missing.
    """
    made = given.make() if hasattr(given, "make") else given
    if callable(made) and hasattr(made, "contract"):
        _demand(made, "policy", ("contract", "chunk", "batch", "initial"))
        from playloop.agents.policy import PolicyAgent  # and with it torch, which takes seconds

        return PolicyAgent(made)
    _demand(made, "agent", ("reads", "rows", "prepare", "begin", "act"))
    return made


def _demand(made: Any, what: str, names: tuple[str, ...]) -> None:
    if is_dataclass(made) and not hasattr(made, "make") and not hasattr(made, "act"):
        raise ValueError(f"{type(made).__name__} has no make(); write one that gives the agent or policy")
    if missing := [name for name in names if not hasattr(made, name)]:
        known = "playloop.policies.network.Policy" if what == "policy" else "playloop.agents.base.Agent"
        lacks = f"it has no {', '.join(missing)}; write what {known} names"
        raise ValueError(f"{type(made).__name__} acts as no {what}: {lacks}")
