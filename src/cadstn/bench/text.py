"""Numbers and tables of the benchmarks' reports, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def percent(share: float | None) -> float | None:
    """A share as percent."""
    return None if share is None else 100 * share


def number(value: float | None, digits: int = 3) -> str:
    """A number in few digits; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:.1f}"


def table(header: str, rows: Iterable[Iterable[object]]) -> list[str]:
    """Lines of a table: the header as it is written, its rule, and a line of each row's cells."""
    rule = "|" + "---|" * (header.count("|") - 1)
    return [header, rule, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]
