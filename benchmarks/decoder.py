"""What the decoder's parts are worth in closed loop: rounds, order and re-masking on the same episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from playloop.agents.policy import PolicyAgentConfig
from playloop.core.fields import make, plain, recorded
from playloop.core.statistics import mcnemar_exact
from playloop.policies.checkpoint import load
from playloop.policies.diffusion import active_rounds
from playloop.rollouts.compare import compare
from playloop.rollouts.evaluate import evaluate
from playloop.rollouts.progress import new_console
from playloop.rollouts.store import read_results

ROUNDS = 12
"""Rounds of the variants that differ in something else."""
VARIANTS: dict[str, dict[str, Any]] = {
    **{f"rounds-{rounds}": {"rounds": rounds} for rounds in (ROUNDS, 1, 2, 4, 8)},
    "order-gap": {"rounds": ROUNDS, "order": "gap"},
    "order-random": {"rounds": ROUNDS, "order": "random"},
    "remask-threshold": {"rounds": ROUNDS, "remask_threshold": 0.3},
    "remask-drop": {"rounds": ROUNDS, "remask_drop": 0.2},
    "multinomial": {"rounds": ROUNDS, "sample": "multinomial"},
}
"""Name → fields of `DecoderConfig`; the first is what the others are compared with."""


def bench_decoder(config: DictConfig) -> list[dict[str, Any]]:
    """Evaluate every variant on the same episodes; a repeat with the same folder continues.

    Args:
        config: `env`, `seed`, `workers`, and `decoder` with `checkpoint`, `tasks`, `inits` and `folder`.

    Returns:
        A row a variant, with the paired test against the first.
    """
    env, console = make(config.env), new_console(stderr=False)
    tasks = OmegaConf.to_container(config.decoder.tasks) if config.decoder.tasks is not None else None
    episodes = env.episodes(tasks, config.decoder.inits, config.seed)
    rows: list[dict[str, Any]] = []
    for name, decoder in VARIANTS.items():
        console.print(f"{name}: {decoder}")
        agent = PolicyAgentConfig(config.decoder.checkpoint, decoder=decoder)
        folder = Path(config.decoder.folder) / name
        settings = {"env": recorded(plain(config.env)), "decoder": decoder}
        summary = evaluate(env, agent, episodes, folder, config.workers, config=settings, console=console)
        rows.append({"name": name, **_row(summary, folder, agent)} | _paired(rows, folder, config))
        console.print(_table(rows))
    return rows


def _row(summary: dict[str, Any], folder: Path, agent: PolicyAgentConfig) -> dict[str, Any]:
    results, overall = read_results(folder), summary["result"]["overall"]
    seconds = sum(result.seconds.get("agent", 0.0) for result in results)
    policy, overall = load(agent.checkpoint, decoder=agent.decoder), summary["result"]["overall"]
    return {
        **{name: overall[name] for name in ("episodes", "successes", "rate", "wilson95")},
        "ms": 1000 * seconds / sum(result.decisions for result in results),
        "evaluations": len(active_rounds(policy.decoder, policy.model.length)),
    }


def _paired(rows: list[dict[str, Any]], folder: Path, config: DictConfig) -> dict[str, Any]:
    if not rows:
        return {"only_first": 0, "only_this": 0, "p": 1.0}
    pairs = compare(Path(config.decoder.folder) / rows[0]["name"], folder).overall
    p = mcnemar_exact(pairs.only_first, pairs.only_second)
    return {"only_first": pairs.only_first, "only_this": pairs.only_second, "p": p}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("decoder", "success", "95 %", "ms a chunk", "evaluations", "won / lost to the first", "p")
    for row in rows:
        low, high = row["wilson95"]
        table.add_row(
            row["name"],
            f"{row['successes']}/{row['episodes']} = {100 * row['rate']:.1f} %",
            f"{100 * low:.0f} - {100 * high:.0f}",
            f"{row['ms']:.0f}",
            str(row["evaluations"]),
            f"{row['only_this']} / {row['only_first']}",
            f"{row['p']:.2f}",
        )
    return table
