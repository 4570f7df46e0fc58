"""What every world model must keep: its parts fit, and a player's frames follow from what that player did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from playloop.core.minecraft import ACTION_NAMES, action_vector
from playloop.envs.world import WorldEnvConfig
from playloop.testing.acts import keys
from playloop.testing.environments import check_env
from playloop.worlds.open import load_playable, outline
from playloop.worlds.playable import Playable
from playloop.worlds.players import Players
from playloop.worlds.sampler import SamplerConfig

ACTIONS: tuple[dict[str, float], ...] = ({}, {"forward": 1}, {"attack": 1}, {"back": 1, "jump": 1})
"""What players do to be told apart: nothing, and keys that most games answer; the camera turns as well."""
DREAMS = 8
"""Dreams in which actions may show: in a small model one draw often agrees with another."""


def check_world(
    world: str | Path | Playable[Any, Any],
    steps: int = 4,
    sampler: SamplerConfig | None = None,
    backend: str = "auto",
) -> None:
    """A world model that is to be played: what its folder says, its parts, its players, and `envs.world`.

    The same seed and actions give the same frames to the bit, whoever else plays in the batch; other actions
    can give others.

    Args:
        world: its folder, or one that is open, which has no outline and cannot be played as an environment.
        steps: frames of a dream.
        sampler: how they are drawn; None for the defaults.
        backend: what computes them.

    Raises:
        AssertionError: says what is broken.
        FileNotFoundError, ValueError: the folder cannot be opened; says why.
    """
    sampler = sampler or SamplerConfig()
    if isinstance(world, Playable):
        check_playable(world, steps, sampler, backend)
        return
    playable = load_playable(world)
    check_outline(outline(world), playable, str(world))
    check_playable(playable, steps, sampler, backend)
    starts = len(playable.starts)
    config = WorldEnvConfig(str(world), sampler, inits=starts, threads=0, backend=backend)
    config.check()
    check_env(config.make, max(steps, 6), keys)


def check_outline(outlined: Playable[Any, Any], loaded: Playable[Any, Any], name: str) -> None:
    """What a folder says before its weights are read is what is loaded of it.

    Raises:
        AssertionError: says what differs.
    """
    for part in ("model", "tokenizer"):
        shapes = [_shapes(getattr(playable, part)) for playable in (outlined, loaded)]
        wrong = sorted(key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key))
        assert not wrong, (
            f"{name}: the {part}'s outline has {wrong[0]} of {shapes[0].get(wrong[0])}, its weights of "
            f"{shapes[1].get(wrong[0])}"
        )
    assert outlined.contract == loaded.contract, f"{name}: its outline has another contract than its weights"
    for part in ("starts", "start_actions"):
        assert torch.equal(getattr(outlined, part).cpu(), getattr(loaded, part).cpu()), (
            f"{name}: the {part} of its outline are not those that are loaded"
        )


def _shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def check_playable(
    world: Playable[Any, Any], steps: int = 4, sampler: SamplerConfig | None = None, backend: str = "auto"
) -> None:
    """A world model that is open; see `check_world`.

    Raises:
        AssertionError: says what is broken.
    """
    _check_contract(world)
    _check_starts(world)
    _check_pictures(world)
    sampler = sampler or SamplerConfig()
    world.check(sampler)
    _check_players(world.players(sampler, 3, backend), world, steps)
    _check_reacts(world.players(sampler, 1, backend), world, steps)


def _check_contract(world: Playable[Any, Any]) -> None:
    contract, name = world.contract, type(world).__name__
    assert contract.action_names == ACTION_NAMES, (
        f"the contract of {name} has the actions {list(contract.action_names)}; world models take MineRL's"
    )
    camera, size = next(iter(contract.cameras.items()), ("", None))
    assert size == tuple(world.size), (
        f"the contract of {name} has pictures of {size} of the camera {camera!r}, its tokenizer of "
        f"{world.size}"
    )
    assert contract.control_hz > 0, f"the contract of {name} has {contract.control_hz} actions a second"


def _check_starts(world: Playable[Any, Any]) -> None:
    starts, actions, name = world.starts, world.start_actions, type(world).__name__
    tokens, width = world.tokenizer.tokens, len(_taken(world, {}))
    assert starts.dtype == torch.int64 and starts.ndim == 3 and 0 not in starts.shape, (
        f"the beginnings of {name} are {starts.dtype} {list(starts.shape)}, not int64 [S, T, N]"
    )
    assert starts.shape[2] == tokens, (
        f"the beginnings of {name} have {starts.shape[2]} tokens a frame, its tokenizer {tokens}"
    )
    assert int(starts.min()) >= 0 and int(starts.max()) < world.tokenizer.codes, (
        f"the beginnings of {name} hold tokens from {int(starts.min())} to {int(starts.max())}; there are "
        f"{world.tokenizer.codes}"
    )
    wanted = [len(starts), starts.shape[1] - 1, width]
    assert list(actions.shape) == wanted, (
        f"the actions in the beginnings of {name} are {list(actions.shape)} instead of {wanted}"
    )


def _check_pictures(world: Playable[Any, Any]) -> None:
    name, size = type(world).__name__, tuple(world.size)
    frames = world.tokenizer.decode(world.starts[0, -1:])
    assert frames.dtype == torch.uint8 and tuple(frames.shape) == (1, *size, 3), (
        f"the tokenizer of {name} draws {frames.dtype} {list(frames.shape)}, not uint8 {[1, *size, 3]}"
    )
    again = world.tokenizer.decode(world.starts[0, -1:])
    assert torch.equal(frames, again), f"the tokenizer of {name} draws the same tokens otherwise again"
    fitted = world.resize(np.zeros((2 * size[0], 3 * size[1], 3), np.uint8))
    assert fitted.dtype == np.uint8 and fitted.shape == (*size, 3), (
        f"{name}.resize gives {fitted.dtype} {fitted.shape}, its tokenizer wants uint8 {(*size, 3)}"
    )
    tokens = world.tokenizer.encode(torch.from_numpy(fitted[None].copy()).to(world.starts.device))
    assert tuple(tokens.shape) == (1, world.starts.shape[2]), (
        f"the tokenizer of {name} makes tokens {list(tokens.shape)} of a picture, its beginnings have "
        f"{world.starts.shape[2]}"
    )


def _check_players(players: Players, world: Playable[Any, Any], steps: int) -> None:
    """A player alone in the batch, once more, and among others who come and go."""
    name = type(world).__name__
    first = dream(players, world, {0: (0, 0)}, steps)[0]
    wanted = (steps, world.tokenizer.tokens)
    assert first.dtype == torch.int64 and tuple(first.shape) == wanted, (
        f"{name} gives tokens {first.dtype} {list(first.shape)} in {steps} steps, not int64 {list(wanted)}"
    )
    assert int(first.min()) >= 0 and int(first.max()) < world.tokenizer.codes, (
        f"{name} gives tokens that its tokenizer does not have, up to {int(first.max())}"
    )
    again = dream(players, world, {0: (0, 0)}, steps)[0]
    assert torch.equal(first, again), (
        f"{name} is not deterministic: {_where(first, again)} when the same is dreamt again"
    )
    among = dream(players, world, {0: (0, 0), 1: (1, 1), 2: (2, 2)}, steps)[0]
    assert torch.equal(first, among), (
        f"a player of {name} minds the others of the batch: {_where(first, among)} among two others"
    )


def _check_reacts(players: Players, world: Playable[Any, Any], steps: int) -> None:
    for number in range(DREAMS):
        kinds = [dream(players, world, {0: (number, act)}, steps)[0] for act in range(len(ACTIONS))]
        if any(not torch.equal(kinds[0], other) for other in kinds[1:]):
            return
    raise AssertionError(
        f"{type(world).__name__} does not react to actions: in {DREAMS} dreams of {steps} frames all gave "
        "the same"
    )


def dream(
    players: Players, world: Playable[Any, Any], who: dict[int, tuple[int, int]], steps: int
) -> dict[int, Tensor]:
    """Tokens int64 [steps, N] by player, on the CPU.

    Args:
        players: of the model; those who dream begin anew.
        world: the model.
        who: player → number of a beginning and a seed, and number of what is done, of `ACTIONS`.
        steps: frames.
    """
    rngs = {player: np.random.default_rng([7, number]) for player, (number, _) in who.items()}
    for player, (number, _) in who.items():
        start = number % len(world.starts)
        players.enter(player, world.starts[start], world.start_actions[start])
    seen: dict[int, list[Tensor]] = {player: [] for player in who}
    for step in range(steps):
        taken = {player: _taken(world, ACTIONS[act], 10.0 * act) for player, (_, act) in who.items()}
        draws = {player: rngs[player].random(world.tokenizer.tokens) for player in who}
        for group in _groups(list(who), step):
            made = players.step({p: taken[p] for p in group}, {p: draws[p] for p in group})
            for player, tokens in made.items():
                seen[player].append(tokens.cpu())
    return {player: torch.stack(tokens) for player, tokens in seen.items()}


def _groups(players: Sequence[int], step: int) -> Iterable[Sequence[int]]:
    """Who steps together: all, or in every other step the last one after the others."""
    return [players] if step % 2 == 0 or len(players) < 2 else [players[:-1], players[-1:]]


def _taken(world: Playable[Any, Any], buttons: dict[str, float], turn: float = 0.0) -> Tensor:
    """An action as the model takes it, int64 [A]."""
    vector = action_vector(buttons)
    vector[-1] = turn
    return torch.from_numpy(world.actions.encode(vector))


def _where(one: Tensor, other: Tensor) -> str:
    frame = int((one != other).any(1).nonzero()[0])
    return f"frame {frame + 1} has {int((one[frame] != other[frame]).sum())} other tokens"
