"""The tables that an evaluation leaves on the screen."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from playloop.rollouts.formatting import estimate, estimate_interval, number, percent

DIGITS = {"psnr": 2, "psnr_of_mean": 2, "ssim": 3, "lpips": 3, "accuracy": 3}
UNITS = {
    "psnr": "PSNR, dB",
    "psnr_of_mean": "PSNR of the mean error, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "accuracy": "right tokens",
}


def result_tables(result: dict[str, Any]) -> list[Table]:
    """Quality by horizon, and a line for each of the other figures."""
    return [quality_table(result), facts_table(result)]


def quality_table(result: dict[str, Any]) -> Table:
    """Below each measure a row a kind of frames: the mean, its interval, and some horizons."""
    horizons = [h for h in chosen_horizons(result["horizon"]) if h in (1, 4, 16, result["horizon"])]
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("mean", "95 % interval", *(f"at {horizon}" for horizon in horizons)):
        table.add_column(name, justify="right", no_wrap=True)
    for measure, kinds in by_measure(result).items():
        digits = DIGITS[measure]
        table.add_row(UNITS[measure], style="bold")
        for kind, found in kinds.items():
            shown = [number(found["frames"][h - 1]["value"], digits) for h in horizons]
            mean = found["mean"]
            table.add_row(f"  {kind}", number(mean["value"], digits), estimate_interval(mean, digits), *shown)
        table.add_section()
    return table


def facts_table(result: dict[str, Any]) -> Table:
    """What is no distance to the true frames."""
    table = Table(show_edge=False, pad_edge=False, show_header=False)
    for name in ("what", "value"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for what, value in facts(result):
        table.add_row(what, value)
    return table


def facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the single figures."""
    own = result["windows"][0]
    gain = result["quality"]["over_persistence"]["psnr"]
    found = [("PSNR minus persistence, dB", estimate(gain, 2))]
    for other, measures in result["quality"]["over_other_windows"].items():
        text = estimate(measures["psnr"], 2)
        found.append((f"PSNR of window {own} minus window {other}, dB", text))
    for kind, distances in result["quality"]["videos"].items():
        found.append((f"FVD, {kind}", number(distances["fvd"], 1)))
    found += _following(result)
    control = result["control"]
    if "left_out" in control:
        return [*found, ("controllability", f"left out: {control['left_out']}")]
    low, high = control["all"]["wilson95"]
    counted = f"{control['all']['right']} / {control['all']['told']}"
    share = f"{counted} = {percent(control['all']['rate'])} ({percent(low)} – {percent(high)})"
    ceiling, chance = percent(control["all"]["ceiling"]["rate"]), percent(control["chance"])
    return [*found, (f"branches nearest to their own truth (chance {chance}, tokenizer {ceiling})", share)]


def _following(result: dict[str, Any]) -> list[tuple[str, str]]:
    if "following" not in result:
        return []
    kinds = result["following"]["kinds"]
    found = [(f"F1 of actions read back, {kind}", estimate(k["mean"]["f1"], 3)) for kind, k in kinds.items()]
    own = kinds[f"window {result['windows'][0]}"]["mean"]
    found.append(("share of the true frames' F1", estimate(own["share_of_ceiling"], 3)))
    found.append(("error of an angle read back, degrees", estimate(own["degrees"], 2)))
    return found


def by_measure(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Measure → kind → figures."""
    kinds = result["quality"]["kinds"]
    names = [name for name in DIGITS if any(name in found for found in kinds.values())]
    return {name: {kind: found[name] for kind, found in kinds.items() if name in found} for name in names}


def chosen_horizons(horizon: int) -> list[int]:
    """1, 2, 4, … and the last."""
    return sorted({h for h in (1, 2, 4, 8, 16, 32) if h < horizon} | {horizon})
