"""A headless Chromium at a page of ours: for `playloop bench play` and the tests."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """The browser's path; None without it or without playwright, which drives it."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A playwright `Browser` with a fresh profile.

    Raises:
        RuntimeError: there is none; says how to get it.
    """
    path = find_chromium()
    if path is None:
        raise RuntimeError("there is no Chromium: apt-get install chromium; pip install playwright.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Any, address: str, width: int = 1280, height: int = 800, **options: Any) -> Any:
    """A page whose session is ready; what goes wrong in its scripts is collected in `page.problems`."""
    page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#veil", state="hidden", timeout=120_000)
    return page


def numbers(page: Any) -> dict[str, float]:
    """What the page measured.

    Keys: of `interval`, `latency` and `cost`, in milliseconds, the quantiles of the last 200 values (`…P50`,
    `…P99`), those of the whole session (`…EverP50`, `…EverP99`) and their number (`…Count`); `fps` of the
    last two seconds and `everFps`; `frames`.
    """
    found = page.evaluate("({...document.getElementById('hud').dataset})")
    return {name: float(value) for name, value in found.items() if value != "undefined"}
