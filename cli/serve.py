"""playloop serve: give a policy to other harnesses, over the protocols of the field.

Usage: playloop serve [key=value …]

One port speaks openpi's websocket (any path), vla-eval's (it says hello first), RoboArena's (path /roboarena)
and OpenVLA-OFT's POST /act; zmq_port=… adds GR00T's ZeroMQ. GET /healthz, /health and /metrics say how it is.
Requests of many clients are gathered into one call of the policy; nobody's answer depends on who else asks.
It listens to this machine only; host=… elsewhere prints a token that clients have to send. Ctrl-C or SIGTERM:
no new requests are taken, those in flight are answered.

Examples:
  playloop serve checkpoint=libero port=8000
  playloop serve checkpoint=libero max_batch=8 zmq_port=5555
  playloop serve policy=my_pkg.MyPolicy
  playloop serve env=toy agent=expert
  playloop serve checkpoint=libero host=0.0.0.0 token=SECRET"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import sys
from typing import Any

from omegaconf import DictConfig

from playloop.cli.arguments import Arguments
from playloop.configs.checkpoints import FITTING, find_checkpoints, make_env
from playloop.core.fields import make


def adapted(words: list[str]) -> list[str]:
    """The words; one's own policy stands for the agent."""
    policy = any(word.startswith("policy=") and word != "policy=null" for word in words)
    return [*(["~agent"] if policy else []), *words]


def run(arguments: Arguments, config: DictConfig) -> int:
    """Serve until told to stop; returns the exit status."""
    from playloop.rollouts.play.access import is_loopback
    from playloop.rollouts.play.serving import listen
    from playloop.serving.access import ServeAccess
    from playloop.serving.groot import GrootServer
    from playloop.serving.open import open_app
    from playloop.serving.run import server_of

    if not config.host:
        raise ValueError("host= names no address; give host=127.0.0.1, or 0.0.0.0 for all of this machine's.")
    loopback = is_loopback(config.host)
    token = config.token or (None if loopback else secrets.token_urlsafe(24))
    access = ServeAccess(loopback, token, tuple(config.origins))
    listener = listen(config.host, config.port)
    given, contract = who_acts(config)
    app = open_app(given, contract, make(config.serving), access)
    port = listener.getsockname()[1]
    if config.zmq_port is not None:
        app.groot = GrootServer(app.service, access.fits, config.host, config.zmq_port, app.message_bytes)
        print(f"GR00T's protocol at tcp://{config.host}:{app.groot.port}", flush=True)
    said = "" if token is None or config.token else f"  token: {token}"
    print(f"Serving {app.service.name} at ws://{config.host}:{port}{said}  (Ctrl-C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server_of(app).run(sockets=[listener])
    app.service.batcher.close()
    return 0


def who_acts(config: DictConfig) -> tuple[Any, Any]:
    """An agent or policy, or its settings, and the environment's contract if one is named.

    Raises:
        ValueError: nothing says which, or it cannot be made.
    """
    contract = make_env(config.env).contract() if config.get("env") is not None else None
    if config.policy is not None:
        return own_policy(config.policy), contract
    if contract is None and config.agent.get("checkpoint") == FITTING:
        raise ValueError("say what to serve: checkpoint=libero, a folder, policy=my_pkg.MyPolicy, or env=…")
    if config.serving.max_batch is not None and "batch" in config.agent:
        config.agent.batch = config.serving.max_batch
    find_checkpoints(config.agent, contract)
    return make(config.agent), contract


def own_policy(name: str) -> Any:
    """What `module.Class` is, made without arguments; the working folder's modules are found, too.

    Raises:
        ValueError: there is no such class.
    """
    module, _, attribute = name.replace(":", ".").rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"policy={name}: there is no such class ({error}); write module.Class") from error
    return found() if isinstance(found, type) else found
