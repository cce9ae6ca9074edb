"""Text for others: strangers' names in files that other programs read, numbers, spans of time."""

from __future__ import annotations

from cadstn.errors import printable


def csv_cell(text: str) -> str:
    r"""Return text that no spreadsheet takes for a formula.

    >>> csv_cell("=cmd|' /C calc'!A0"), csv_cell("-1.png"), csv_cell("000001.png")
    ("'=cmd|' /C calc'!A0", "'-1.png", '000001.png')
    """
    text = printable(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def counted(number: int, thing: str) -> str:
    """A number of things: 1 frame, 2 frames."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds in words of two digits: 40 s, 12 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
