"""Processes beside the main one that end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cadstn.errors import CadstnError, end_with_signal

#: The signals by which users, systems and terminals ask a program to end.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def worker_pool(
    workers: int, begin: Callable[[], None] | None = None, *, where: Path | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes; SIGTERM, SIGHUP and Ctrl-C end it, and the block, at once.

    A worker whose parent dies, even by SIGKILL, ends itself. Jobs that have not begun are dropped
    on an error. Each worker calls ``begin`` first.

    Raises:
        CadstnError: in place of BrokenProcessPool, with ``where``, if a worker is killed.
    """
    with signals_end_it():
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (begin,))
        try:
            with ignored(signal.SIGINT):  # a process takes a second to begin
                for _ in range(workers):
                    pool.submit(_begun)
            yield pool
        except BaseException as error:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise CadstnError(
                    "a process that works for this one was ended, perhaps for want of memory",
                    where=where,
                    hint="the same command goes on with what is kept",
                ) from None
            raise
        pool.shutdown(wait=True)


def _begun() -> None:
    """What makes a pool start its processes."""


@contextmanager
def ignored(*numbers: int) -> Iterator[None]:
    """Ignore signals in the block; processes begun there do so from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal as Ctrl-C, and no other one after it: it would cut off what is written."""
    for kind in ENDING:
        signal.signal(kind, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def signals_end_it(
    handler: Callable[[int, FrameType | None], Any] | None = None,
) -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that what was begun is tidied up.

    Signals that are ignored, as under nohup, stay so, and so do those that another program handles;
    the command line's own handler is replaced.

    Args:
        handler: raises another exception instead, of Ctrl-C as well. Signals that it has set to be
            ignored stay ignored: a second one must not end a program that is ending well.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are its alone
        yield
        return
    usual = (signal.SIG_DFL, end_with_signal, signal.default_int_handler)
    kinds = [kind for kind in ENDING if handler is not None or kind != signal.SIGINT]
    before = {kind: held for kind in kinds if (held := signal.getsignal(kind)) in usual}
    try:
        for kind in before:
            signal.signal(kind, handler or end_with_signal)
        yield
    finally:
        for kind, held in before.items():
            if signal.getsignal(kind) != signal.SIG_IGN:
                signal.signal(kind, held)


def _begin(begin: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
