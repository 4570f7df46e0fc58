"""`playloop convert` takes the place of nothing that it did not make itself."""

from __future__ import annotations

from mineworld_release import write_synthetic

from playloop.cli.main import main


def test_other_things_and_the_source_stay(tmp_path, capsys):
    source, grid = write_synthetic(tmp_path / "release"), ["rows=2", "columns=4"]
    before = set(source.parent.rglob("*"))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/diary.txt").write_text("dear diary")
    for out in (tmp_path / "precious", source.parent, source, tmp_path):
        assert main(["convert", str(source), f"out={out}", *grid]) == 2
        assert "name a new folder" in capsys.readouterr().err
    assert (tmp_path / "precious/diary.txt").is_file() and before <= set(source.parent.rglob("*"))
    for _ in range(2):
        assert main(["convert", str(source), f"out={tmp_path / 'new'}", *grid]) == 0
