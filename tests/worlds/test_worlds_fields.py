"""Every field of every JSON file of a world model's folder, with values that cannot be: one sentence each."""

import json
import math
import shutil

import numpy as np
import pytest
from mineworld_release import write_synthetic
from rewriting import change_record, unbind

from playloop.cli.main import main
from playloop.configs.checkpoints import find_checkpoint
from playloop.core.contract import CONVENTIONS
from playloop.nn.manifest import write_manifest
from playloop.rollouts.play.uploads import read_starts
from playloop.worlds.checkpoint import load_inverse, load_tokenizer
from playloop.worlds.mineworld.convert import ConvertConfig, convert
from playloop.worlds.mineworld.folder import load_vq
from playloop.worlds.open import load_playable, outline

WRONG = [None, "x", -1, 10**12, 1e300, [], ["x"], {"a": {"b": []}}, math.nan, True]
TEXTS = {"kind", "weights_sha256"}
"""Fields of text that mean something; any other text is for people."""


@pytest.fixture(scope="module")
def bound(tmp_path_factory):
    """A folder of each kind."""
    root = tmp_path_factory.mktemp("fields")
    settings = ConvertConfig(rows=2, columns=4, frames=2)
    convert(write_synthetic(root / "release"), root / "mineworld", settings, read_starts)
    shutil.copytree(find_checkpoint("craft"), root / "craft")
    shutil.copytree(find_checkpoint("craft-inverse"), root / "inverse")
    return root


@pytest.fixture(scope="module")
def older(bound, tmp_path_factory):
    """The same as they were before there were manifests: nothing else notices a change."""
    root = shutil.copytree(bound, tmp_path_factory.mktemp("older") / "folders")
    for name in ("mineworld", "craft", "inverse"):
        unbind(root / name)
    return root


def places(value, path=()):
    """Every field of a JSON value, at any depth."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield (*path, key), item
        yield from places(item, (*path, key))


def put(record, path, value):
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = value


def is_wrong(path, old, new):
    """Whether a value can never stand there."""
    if "shares" in path:  # none, or one of any size for each window
        return new != [] and (not isinstance(new, float | int) or new is True or not new >= 0)
    if path[-1] in ("state_names", "partial"):
        return new not in ([], ["x"])
    if path[-1] in CONVENTIONS:  # any text is one of its own
        return not isinstance(new, str) and (path[-1], new) != ("gripper", None)
    if isinstance(old, str):
        return not isinstance(new, str) or path[-1] in TEXTS or "action_names" in path
    return not (isinstance(old, bool) or old is None) or not (isinstance(new, bool) or new is None)


KINDS = [
    ("craft", "config.json", load_playable),
    ("craft", "contract.json", outline),
    ("craft/tokenizer", "config.json", load_tokenizer),
    ("inverse", "config.json", load_inverse),
    ("mineworld", "config.json", load_playable),
    ("mineworld", "contract.json", outline),
    ("mineworld/tokenizer", "config.json", load_vq),
]


@pytest.mark.parametrize(("folder", "name", "load"), KINDS, ids=["-".join(kind[:2]) for kind in KINDS])
def test_a_wrong_field_is_one_sentence(older, folder, name, load):
    place = older / folder
    text = (place / name).read_text()
    tried, passed = 0, []
    for path, old in places(json.loads(text)):
        for value in WRONG:
            if not is_wrong(path, old, value):
                continue
            record = json.loads(text)
            put(record, path, value)
            (place / name).write_text(json.dumps(record))
            tried += 1
            try:
                load(place)
            except ValueError as error:
                said = str(error)
                assert str(place) in said and "\n" not in said and len(said) < 1000, (path, value, said)
            else:
                passed.append((path, value))
    (place / name).write_text(text)
    assert not passed and tried > 20


LOADS = {"craft": load_playable, "inverse": load_inverse, "mineworld": load_playable}


def other(path):
    """Another content of a file that is as valid: one number or letter is another."""
    if path.suffix == ".json":
        record = json.loads(path.read_text())
        if "sha256" in record:  # a manifest
            name = min(record["sha256"])
            record["sha256"][name] = record["sha256"][name][::-1]
        elif "success" in record:
            record["success"]["id"] += "."
        else:
            record["note"] = "changed"
        return json.dumps(record).encode()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    return bytes(data)


@pytest.mark.parametrize("kind", LOADS)
def test_no_file_of_a_folder_can_be_another(bound, kind, tmp_path):
    """Altered, missing, empty, torn or a pointer of Git LFS."""
    folder = shutil.copytree(bound / kind, tmp_path / kind)
    LOADS[kind](folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) >= 5
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for path in files:
        kept = path.read_bytes()
        for content in (other(path), None, b"", kept[: len(kept) // 2], pointer):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            with pytest.raises((ValueError, FileNotFoundError), match=path.name) as caught:
                LOADS[kind](folder)
            assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
            path.write_bytes(kept)


def test_a_golden_file_notices_what_the_hashes_do_not(bound, tmp_path):
    """Settings that no weight tells, changed by somebody who writes the manifest again."""
    folder = shutil.copytree(bound / "craft", tmp_path / "craft")
    for inner, change, what in (
        (folder / "tokenizer", {"levels": [5, 8, 5, 5]}, "pixels"),
        (folder, {"windows": [1, 3]}, "logits"),
        (folder, {"windows": [8, 1]}, "logits"),
    ):
        kept = json.loads((inner / "config.json").read_text())["model"]
        change_record(inner, lambda record, change=change: record["model"].update(change))
        write_manifest(folder)
        with pytest.raises(ValueError, match=f"its {what} are not those that it was written with"):
            load_playable(folder)
        change_record(inner, lambda record, kept=kept: record.update(model=kept))
    write_manifest(folder)
    load_playable(folder)


@pytest.mark.parametrize("kind", ["craft", "mineworld"])
def test_beginnings_that_cannot_be_are_refused(older, kind, tmp_path):
    folder = shutil.copytree(older / kind, tmp_path / kind)
    with np.load(folder / "starts.npz") as stored:
        tokens, actions = stored["tokens"], stored["actions"]
    cases = [
        ({"tokens": tokens}, "lacks actions"),
        ({"tokens": tokens[:, :, :-1], "actions": actions}, "not beginnings of frames of"),
        ({"tokens": tokens[:0], "actions": actions[:0]}, "not beginnings"),
        ({"tokens": tokens - 9999, "actions": actions}, "tokens from -9"),
        ({"tokens": tokens + 9999, "actions": actions}, "the tokenizer has"),
        ({"tokens": tokens.astype(float), "actions": actions}, "not whole numbers"),
    ]
    if actions.size:
        huge = np.zeros((33_000_000, 1, 8), np.int8)
        cases += [
            ({"tokens": tokens, "actions": actions[:, 1:]}, "not those between frames"),
            ({"tokens": huge, "actions": actions}, "unpacks to"),
        ]
        cases += [({"tokens": tokens, "actions": actions + k}, "does not have|actions") for k in (-1, 500)]
    for arrays, sentence in cases:
        np.savez_compressed(folder / "starts.npz", **arrays)
        for reads in (load_playable, outline):
            with pytest.raises(ValueError, match=rf"starts\.npz.*({sentence})"):
                reads(folder)


def test_a_configuration_takes_no_memory_before_it_fits(older, tmp_path):
    """Ten million layers, a vocabulary, frames and a context of any size."""
    changes = {
        "craft": [{"layers": 10_000_000}, {"codes": 10**9}, {"context": 10**6}, {"rows": 10**5}],
        "mineworld": [{"layers": 10_000_000}, {"vocabulary": 10**9}, {"context": 10**6}, {"width": 2**20}],
        "inverse": [{"height": 2**30}, {"features": 10**6}, {"before": 10**6}, {"channels": [8] * 10**5}],
    }
    for kind, cases in changes.items():
        folder = shutil.copytree(older / kind, tmp_path / kind)
        text = (folder / "config.json").read_text()
        for change in cases:
            record = json.loads(text)
            record["model"].update(change)
            (folder / "config.json").write_text(json.dumps(record))
            with pytest.raises(ValueError, match=r"config\.json"):
                LOADS[kind](folder)


def test_the_command_line_says_it_in_one_sentence(older, tmp_path, capsys):
    folder = shutil.copytree(older / "craft", tmp_path / "craft")
    change_record(folder, lambda record: record["model"].update(layers="five"))
    (folder / "manifest.json").unlink()
    for words in (
        ["play", f"world={folder}", "browser=false"],
        ["inspect", str(folder)],
        ["eval", f"world={folder}", f"data={tmp_path}"],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "config.json" in said and "layers" in said and len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("verb", ["eval", "record"])
@pytest.mark.parametrize("env", ["world", "mineworld"])
def test_a_bad_sampler_is_refused_before_anything_is_built(bound, verb, env, tmp_path, capsys):
    folder = bound / ("craft" if env == "world" else env)
    words = [verb, f"env={env}", f"env.checkpoint={folder}", "agent=explorer", f"out={tmp_path / 'out'}"]
    for word, said in (("top_k=5", "top_k=5 and top_p="), ("window=99", "window=99")):
        assert main([*words, f"env.sampler.{word}"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"playloop {verb}: {said}") and not (tmp_path / "out").exists()
