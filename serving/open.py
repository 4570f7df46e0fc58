"""From settings to a server: whoever acts, the contract that it acts under, batching, access."""

from __future__ import annotations

import os
from typing import Any

from playloop.agents.acting import as_agent
from playloop.agents.fit import Resize
from playloop.core.annotations import Count, Magnitude, Positive
from playloop.core.checked import checked
from playloop.core.contract import Contract
from playloop.core.kinds import kind
from playloop.serving.access import ServeAccess
from playloop.serving.app import ServeApp
from playloop.serving.batcher import Batcher
from playloop.serving.instructions import SharedEncoder
from playloop.serving.service import Service


@kind("serving")
@checked
class Serving:
    """How requests are taken.

    Args:
        max_batch: rows of a call: what the agent's network is padded to, whoever asks, because a row's last
            bits differ with it; null: as the agent's own settings say.
        max_wait: milliseconds for which a free lane waits for a call to become full; 0: it takes what waits.
        lanes: calls at once, a thread each; null: 2 for Playloop's own networks on the CPU, else 1.
        queue: requests that may wait; one more is answered at once that the server is busy.
        connections: WebSockets at a time.
        message_megabytes: most of one message.
        resize: lanczos, border, area or pad: how pictures of another size get the policy's, see
            `policies.resize.RESIZE`; null: they are refused.
    """

    max_batch: Count | None = 4
    max_wait: Magnitude = 0.0
    lanes: Count | None = None
    queue: Count = 256
    connections: Count = 64
    message_megabytes: Positive = 16
    resize: Resize | None = None


def contract_of(agent: Any, given: Contract | None) -> Contract:
    """The contract that an agent acts under: the environment's, or the one that its policy was made for.

    Raises:
        ValueError: it does not fit, or nothing says what it is.
    """
    own = getattr(getattr(agent, "policy", None), "contract", None)
    if given is None and own is None:
        raise ValueError("this agent does not say what it was made for; give the environment: env=NAME")
    contract = own if given is None else given
    assert isinstance(contract, Contract)
    agent.prepare(contract)
    return contract


def whole_chunks(agent: Any) -> Any:
    """The agent, answering with whole chunks: whoever asks executes as much of one as they like."""
    if hasattr(agent, "policy") and getattr(agent, "ensemble", 0) is None:
        agent.execute = agent.policy.chunk
    return agent


def share_encoder(agent: Any) -> None:
    """Bound what a policy remembers of the texts that strangers send."""
    policy: Any = getattr(agent, "policy", None)
    if hasattr(getattr(policy, "encoder", None), "known"):
        policy.encoder = SharedEncoder(policy.encoder)


def open_app(given: Any, contract: Contract | None, serving: Serving, access: ServeAccess) -> ServeApp:
    """The application for an agent, a policy, or settings whose `make()` gives either."""
    agent = as_agent(given)
    share_encoder(agent)
    contract = contract_of(agent, contract)
    whole_chunks(agent)
    lanes = serving.lanes or _lanes(agent)
    batcher = Batcher(
        agent,
        len(contract.action_names),
        serving.max_batch,
        lanes,
        serving.max_wait / 1000,
        serving.queue,
        _one_thread if lanes > 1 else lambda: None,
    )
    service = Service(agent, contract, batcher, serving.resize)
    return ServeApp(service, access, serving.connections, int(serving.message_megabytes * 1_000_000))


def _lanes(agent: Any) -> int:
    """Two where it is known that two threads may call at once, and that it is worth it."""
    from playloop.policies.vla_policy import VLAPolicy

    policy = getattr(agent, "policy", None)
    own = isinstance(policy, VLAPolicy) and policy.device.type == "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, cores) if own else 1


def _one_thread() -> None:
    """A lane's own share of PyTorch's threads."""
    import torch

    torch.set_num_threads(1)
