"""Files of a folder are bound together by their hashes."""

from __future__ import annotations

import json

import pytest

from playloop.core.files import file_hash
from playloop.nn.manifest import MANIFEST, RECORDS, check_manifest, write_manifest

MATTERS = ("*.json", "adapter/*.json")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "adapter").mkdir()
    for name in ("config.json", "weights", "adapter/settings.json"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path)
    check_manifest(tmp_path, MATTERS, required=True)
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", "weights", "adapter/settings.json"])
def test_altered_and_missing_files_are_named(folder, name):
    (folder / name).write_text("other")
    with pytest.raises(ValueError, match=f"{name} is not the file that was written with the others"):
        check_manifest(folder, MATTERS)
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid 1\n")
    with pytest.raises(ValueError, match=f"{name} is a Git LFS pointer"):
        check_manifest(folder, MATTERS)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} missing; copy it again"):
        check_manifest(folder, MATTERS)


def test_how_it_came_about_may_be_edited(folder):
    (folder / "training.json").write_text("{}")
    write_manifest(folder, RECORDS)
    (folder / "training.json").write_text("[]")
    check_manifest(folder, MATTERS)


def test_only_added_files_that_would_be_read_are_refused(folder):
    (folder / "README.md").write_text("hello")
    check_manifest(folder, MATTERS)
    (folder / "added_tokens.json").write_text("{}")
    with pytest.raises(ValueError, match=r"added_tokens\.json was added .*; remove it"):
        check_manifest(folder, MATTERS)


def test_a_missing_manifest_matters_where_there_was_one(folder):
    (folder / MANIFEST).unlink()
    check_manifest(folder, MATTERS)
    with pytest.raises(FileNotFoundError, match=r"manifest\.json missing"):
        check_manifest(folder, MATTERS, required=True)


@pytest.mark.parametrize("listed", [None, [], {}, {"../weights": "0"}, {"/etc/passwd": "0"}, {"weights": 1}])
def test_a_damaged_manifest_is_refused(folder, listed):
    (folder / MANIFEST).write_text(json.dumps({"sha256": listed}))
    with pytest.raises(ValueError, match=r"manifest\.json lists"):
        check_manifest(folder)


def test_known_hashes_are_not_computed_again(folder):
    check_manifest(folder, hashes={"weights": file_hash(folder / "weights")})
    with pytest.raises(ValueError, match="weights is not the file"):
        check_manifest(folder, hashes={"weights": "0"})
