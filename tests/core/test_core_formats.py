"""One sentence for files of another version."""

from __future__ import annotations

import pytest

from playloop.core.formats import FORMAT, check_format, format_of


def test_the_present_format_passes():
    check_format({"format": FORMAT}, "x.json")
    assert format_of({}, "x.json") == 1 and format_of({"format": FORMAT}, "x.json") == FORMAT


@pytest.mark.parametrize("record", [{}, {"format": 1}])
def test_an_older_file_says_what_to_do(record):
    with pytest.raises(ValueError, match=r"^x\.json has the format 1 of an older .*; make it again, or use"):
        check_format(record, "x.json")


@pytest.mark.parametrize("read", [check_format, format_of])
def test_a_newer_file_says_what_to_do(read):
    with pytest.raises(ValueError, match=rf"^x\.json has the format {FORMAT + 1}, .*; install the version"):
        read({"format": FORMAT + 1}, "x.json")


@pytest.mark.parametrize("found", ["2", 0, -1, 1.5, True, None, [2]])
def test_what_is_no_format_is_refused(found):
    with pytest.raises(ValueError, match="is no format of Playloop; copy the file again"):
        format_of({"format": found}, "x.json")
