"""The one error type that users are meant to read: what is wrong, where, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CadstnError(Exception):
    """A mistake in what the user gave, told in one line.

    Args:
        what: what is wrong, with the offending value in it.
        where: the file, frame or argument it was found in, if there is one.
        mend: what to do about it.

    The command line prints it as ``error: WHERE: WHAT; MEND`` and exits with 2.
    """

    def __init__(self, what: str, *, where: object = None, mend: str = "") -> None:
        self.what = what
        self.where = where
        self.mend = mend
        head = "" if where is None else f"{where}: "
        tail = f"; {mend}" if mend else ""
        super().__init__(" ".join(f"{head}{what}{tail}".split()))


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Say which known name comes nearest, as the mend of an unknown one.

    >>> nearest_name("widht", ["width", "hidden"])
    "did you mean 'width'? known: hidden, width"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return f"{guess}known: {', '.join(names)}"


class Stopped(Exception):  # noqa: N818  # not an error: SIGTERM was obeyed
    """Training was asked to stop, has saved its state and can go on."""

    def __init__(self, stage: str, step: int) -> None:
        super().__init__(f"stopped after step {step} of the {stage} stage")


class CadstnWarning(UserWarning):
    """Input that is tracked and cannot be right, in one line."""
