"""Whether sizes fit together."""

from __future__ import annotations


def check_squares(height: int, width: int, side: int) -> None:
    """Refuse a frame that cannot be divided into squares of so many pixels a side.

    Raises:
        ValueError: with the sizes.
    """
    if height % side or width % side:
        raise ValueError(f"{height} x {width} pixels cannot be divided into squares of {side}; use multiples")


def check_heads(width: int, heads: int, groups: int, even: bool = False) -> None:
    """Refuse an attention whose heads do not divide its width, or whose groups do not divide its heads.

    Args:
        width: of the stream.
        heads: of queries.
        groups: heads of keys and values.
        even: a head's width must be an even number, too.

    Raises:
        ValueError: with the sizes.
    """
    if width % (heads * (1 + even)) or heads % groups:
        raise ValueError(
            f"width={width} must be {'an even' if even else 'a'} multiple of heads={heads}, and they a "
            f"multiple of groups={groups}"
        )
