"""Text of strangers inside files that other programs read."""

from __future__ import annotations

from cadstn.errors import printable


def csv_cell(text: str) -> str:
    r"""Return text that no spreadsheet takes for a formula.

    >>> csv_cell("=cmd|' /C calc'!A0"), csv_cell("-1.png"), csv_cell("000001.png")
    ("'=cmd|' /C calc'!A0", "'-1.png", '000001.png')
    """
    text = printable(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
