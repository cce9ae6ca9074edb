"""What can end a training early: SIGTERM, a loss that is not finite, memory that runs out."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.train.recipes import Recipe

#: Handlers that `stoppable` has put aside, the innermost last.
_outer: list[dict[signal.Signals, Any]] = []


class Losses:
    """Checks losses some steps after they were made, so that a GPU need not be waited for.

    Args:
        out: the run's folder, for the message.
        stage: its name.
        lag: how many steps may pass.
    """

    def __init__(self, out: Path, stage: str, lag: int) -> None:
        self._out, self._stage, self._lag = out, stage, lag
        self._waiting: deque[tuple[int, Tensor]] = deque()
        self.last = math.nan

    def check(self, step: int, loss: Tensor) -> None:
        """Add a step's loss, and check that of ``lag`` steps before; raises CadstnError."""
        self._waiting.append((step, loss))
        while len(self._waiting) > self._lag:
            self._check_oldest()

    def check_all(self) -> None:
        """Check all that wait; raises CadstnError, naming the step."""
        while self._waiting:
            self._check_oldest()

    def _check_oldest(self) -> None:
        step, loss = self._waiting.popleft()
        self.last = float(loss)
        if not math.isfinite(self.last):
            raise CadstnError(
                f"loss is {self.last} at step {step} of the {self._stage} stage",
                where=self._out,
                hint=f"lower {self._stage}.learning_rate; the last checkpoint is still good",
            )


@contextlib.contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Turn SIGTERM, and the first Ctrl-C, into an event that is checked after every step.

    A second Ctrl-C interrupts at once.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return

    def handle(number: int, frame: object) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    _outer.append(before)
    try:
        yield stop
    finally:
        _outer.pop()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let signals end work of minutes between two steps at once, as outside of `stoppable`."""
    if not _outer or threading.current_thread() is not threading.main_thread():
        yield
        return
    inside = {number: signal.signal(number, handler) for number, handler in _outer[-1].items()}
    try:
        yield
    finally:
        for number, handler in inside.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def memory_errors(recipe: Recipe, stage: str) -> Iterator[None]:
    """Report in one line a batch that does not fit in memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        short = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not short and "allocate memory" not in str(error):
            raise
        batch, frames = recipe.plan(stage).batch, recipe.frames(stage)
        smaller = batch // frames // 2 * frames  # whole clips
        more = ", or train on more ranks" if recipe.traits.shared else ""
        raise CadstnError(
            f"a batch of {batch} images does not fit in memory",
            where=f"{stage} stage",
            hint=f"--set {stage}.batch={smaller}{more}"
            if smaller
            else "it is one sample already: end what else takes memory, or train smaller networks",
        ) from None
