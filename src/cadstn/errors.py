"""The one error type that users are meant to read: what is wrong, where, and a hint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

#: Longer lines are cut in the middle: a value of a damaged file may be megabytes long.
_LONGEST = 2000


def printable(text: str) -> str:
    r"""Return text that a terminal can show as it is: one line, no control characters.

    Escape sequences in a file's name or contents would otherwise move the cursor, change colours
    or set a window's title. Bytes of a file name that are not UTF-8 become the mark U+FFFD.

    >>> printable("a\x1b[31mb\n c")
    'a\\x1b[31mb c'
    """
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    r"""Return a line of text with its control characters escaped; its spaces stay.

    >>> escaped("a  b\x1b[31m")
    'a  b\\x1b[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable()
        else "\ufffd" if "\ud800" <= c <= "\udfff"  # a byte of a file's name, or half of a pair
        else c.encode("unicode_escape").decode("ascii")
        for c in text
    )  # fmt: skip


class CadstnError(Exception):
    """A mistake in what the user gave, reported in one line.

    Args:
        what: what is wrong, with the offending value in it.
        where: the file, frame or argument it was found in, if there is one.
        hint: what to do about it.

    The command line prints it as ``error: WHERE: WHAT; HINT`` and exits with 2. The line holds no
    control characters, whatever the file's name and contents are, see `printable`.
    """

    def __init__(self, what: str, *, where: object = None, hint: str = "") -> None:
        self.what = printable(what)
        self.where = where
        self.hint = hint
        head = "" if where is None else f"{where}: "
        tail = f"; {hint}" if hint else ""
        line = printable(f"{head}{what}{tail}")
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
        super().__init__(line)


@contextmanager
def library(what: str, extra: str, *, otherwise: str = "", where: object = None) -> Iterator[None]:
    """Report in one line that an import in the block fails: what needs it, and what to install.

    Args:
        what: which feature needs which library, such as ``a ROS bag needs rosbags``.
        extra: its name.
        otherwise: what else can be done, after the hint to install the extra.
        where: see `CadstnError`.
    """
    try:
        yield
    except ImportError as cause:
        hint = f"pip install 'cadstn[{extra}]'{otherwise}"
        if not isinstance(cause, ModuleNotFoundError):
            hint = "it is installed and does not load: install the system library that it names, "
            hint += "such as libusb-1.0"
        raise CadstnError(f"{what} ({cause})", where=where, hint=hint) from None


#: Of more known names the nearest alone is a hint, or so many where none is near.
_MANY = 30


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the nearest known name as the hint of an unknown one.

    >>> nearest_name("widht", ["width", "hidden"])
    "did you mean 'width'? known: hidden, width"
    """
    import difflib

    names = sorted(known)
    # Longer names resemble none, and comparing them takes seconds.
    close = difflib.get_close_matches(name[:200], names, n=1)
    if close and len(names) > _MANY:
        return f"did you mean '{close[0]}'?"
    guess = f"did you mean '{close[0]}'? " if close else ""
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"{guess}known: {', '.join(names[:_MANY])}{more}"


class Stopped(Exception):  # noqa: N818  # not an error: SIGTERM was obeyed
    """Training received a request to stop; its state is saved and it can resume."""

    def __init__(self, stage: str, step: int) -> None:
        self.stage, self.step = stage, step
        super().__init__(f"stopped after step {step} of the {stage} stage")

    def __reduce__(self) -> tuple[type[Stopped], tuple[str, int]]:
        """Come whole out of a worker process: by default its text alone would be the arguments."""
        return type(self), (self.stage, self.step)


def end_with_signal(number: int, frame: object) -> NoReturn:
    """End as a shell counts it, by SystemExit, so that what was begun is tidied up.

    The handler of SIGTERM of whoever has no other; what needs another replaces it.
    """
    raise SystemExit(128 + number)


class CadstnWarning(UserWarning):
    """Input that is tracked and cannot be right, in one line."""
