"""Processes beside the main one that end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn


@contextmanager
def worker_pool(
    workers: int, begin: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes; SIGTERM, SIGHUP and Ctrl-C end it, and the block, at once.

    A worker whose parent dies, even by SIGKILL, ends itself. Jobs that have not begun are dropped
    on an error. Each worker calls ``begin`` first.
    """
    with signals_end_it():
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (begin,))
        try:
            with ignored(signal.SIGINT):  # a process takes a second to begin
                for _ in range(workers):
                    pool.submit(_begun)
            yield pool
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        pool.shutdown(wait=True)


def _begun() -> None:
    """What makes a pool start its processes."""


@contextmanager
def ignored(number: int) -> Iterator[None]:
    """Ignore a signal in the block; processes begun there do so from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before or signal.SIG_DFL)


@contextmanager
def signals_end_it(
    handler: Callable[[int, FrameType | None], Any] | None = None,
) -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that what was begun is tidied up.

    Signals that are ignored, as under nohup, or handled already stay so.

    Args:
        handler: raises another exception instead.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are its alone
        yield
        return
    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    plain = [kind for kind in kinds if signal.getsignal(kind) == signal.SIG_DFL]
    try:
        for kind in plain:
            signal.signal(kind, handler or _end)
        yield
    finally:
        for kind in plain:
            signal.signal(kind, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


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
