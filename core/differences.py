"""In what two configurations differ, as sentences for the user."""

from __future__ import annotations

from typing import Any

_MISSING = "(absent)"


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Sentences for the keys in which two configurations differ, nested keys joined by dots."""
    left, right = _flat(before), _flat(now)
    return [
        f"{key}: it was {left.get(key, _MISSING)}, now it is {right.get(key, _MISSING)}"
        for key in sorted(left.keys() | right.keys())
        if left.get(key, _MISSING) != right.get(key, _MISSING)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }
