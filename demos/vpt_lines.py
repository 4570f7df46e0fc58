"""Lines of VPT's recordings as a reader from outside knows them."""

from playloop.demos.vpt.lines import Lines, read_lines

__all__ = ["Lines", "read_lines"]
