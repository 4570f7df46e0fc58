"""Every field of a checkpoint's JSON replaced by something else: it acts, or one sentence names the file.

No traceback, no hang, no memory: whatever a file says is compared with the weights before it is built.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest
from oft_adapter import write_oft_adapter
from openvla_tiny import write as write_published
from test_policies_checkpoint import write as write_own

from playloop.nn.adapter import read_adapter_config, read_factors
from playloop.nn.manifest import write_manifest
from playloop.policies.checkpoint import describe as describe_own
from playloop.policies.checkpoint import load
from playloop.policies.openvla.open import open_policy
from playloop.policies.openvla.prompt import PromptEncoder

VALUES = (None, "abc", -7, 10**7, 10**400, 1.5, True, [], {}, [[["x"]]], {"kind": "os.system"})
STRIDE = 9
"""Where a file has many fields, each meets every ninth value; all of them meet each."""
MEMORY = 300_000
"""Kilobytes that the process may grow by."""


def paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Places in a JSON value, one of every list."""
    if path:
        yield path
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield from paths(item, (*path, key))


def replaced(record: Any, path: tuple, value: Any) -> Any:
    changed = copy.deepcopy(record)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def own(folder: Path) -> None:
    write_manifest(folder)  # as if it had been written so
    load(folder)


def described(folder: Path) -> None:
    assert describe_own(folder)


def published(folder: Path) -> None:
    open_policy(folder)


def words(folder: Path) -> None:
    PromptEncoder(folder)("pick up the milk")


def adapter(folder: Path) -> None:
    read_adapter_config(folder)
    read_factors(folder)


def make(kind: str, folder: Path) -> Path:
    if kind == "adapter":
        base = write_published(folder / "base", "openvla")
        write_oft_adapter(base, folder / "adapter")
        return folder / "adapter"
    if kind == "own":
        return write_own(folder / "own")
    moments = {"means": [[0.5] * 3] * 2, "stds": [[0.5] * 3] * 2}
    made = write_published(folder / "published", kind)
    (made / "preprocessor_config.json").write_text(json.dumps(moments))
    return made


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {
        kind: make(kind, tmp_path_factory.mktemp(kind)) for kind in ("own", "oft", "diffusion", "adapter")
    }


CASES = [
    ("own", "config.json", own),
    ("own", "statistics.json", own),
    ("own", "contract.json", own),
    ("own", "training.json", described),
    ("own", "contract.json", described),
    ("own", "config.json", described),
    ("oft", "config.json", published),
    ("oft", "dataset_statistics.json", published),
    ("oft", "model.safetensors.index.json", published),
    ("oft", "preprocessor_config.json", published),
    ("diffusion", "config.json", published),
    ("diffusion", "tokenizer.json", words),
    ("adapter", "adapter_config.json", adapter),
]


@pytest.mark.parametrize(("kind", "name", "read"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_replaced_acts_or_is_one_sentence(folders, tmp_path, kind, name, read):
    folder = shutil.copytree(folders[kind], tmp_path / kind)
    record = json.loads((folder / name).read_text())
    many = ("norm_stats", "vocab", "weight_map")  # of these only the whole
    places = [path for path in paths(record) if not any(name in path[:-1] for name in many)]
    if name == "tokenizer.json":  # takes a second to read
        places = [path for path in places if len(path) == 1 or path[:2] == ("model", "merges")]
    read(folder)
    before = getrusage(RUSAGE_SELF).ru_maxrss
    for number, path in enumerate(places):
        for value in VALUES[number % STRIDE :: STRIDE] if len(places) > 8 else VALUES:
            (folder / name).write_text(json.dumps(replaced(record, path, value)))
            try:
                read(folder)
            except (ValueError, FileNotFoundError) as error:
                said = str(error)
                assert str(folder) in said or name in said, (path, value, said)
                assert "\n" not in said.strip() and len(said) < 1200, (path, value, said)
            except Exception as error:
                raise AssertionError((path, str(value)[:20])) from error
            assert getrusage(RUSAGE_SELF).ru_maxrss - before < MEMORY, (path, value)
