"""Jobs on Dask's workers: of this machine, or of a cluster that is running."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from cadstn._version import __version__
from cadstn.errors import CadstnError, library
from cadstn.tracking.runtime import processors

Job = TypeVar("Job")
Result = TypeVar("Result")
_PATIENCE_S = 60.0
#: Seconds between two looks at the results, and at the workers where there is no result.
_POLL_S, _CHECK_S = 0.02, 2.0
#: A job that its worker dies of so often is the reason of it.
_DEATHS = 3


@contextmanager
def dask_client(workers: int | None = None, scheduler: str | None = None) -> Iterator[Any]:
    """Give a client of new workers on this machine, or of a scheduler that is running.

    Workers of this machine have a thread each, listen on 127.0.0.1 alone and take tasks over TLS
    with a certificate of this run: a Dask worker runs whatever it is sent. One that dies is started
    again.

    Args:
        workers: how many; one for each processor that this process may use if None.
        scheduler: address of a scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises:
        CadstnError: if Dask is missing, no worker answers within a minute, or one of them has
            another release of this package, or none.
    """
    with library("work by many processes needs Dask and pyarrow", "many"):
        import cryptography  # noqa: F401  # for TLS
        import dask
        import pyarrow  # noqa: F401  # for the table of results
        from distributed import Client, LocalCluster
        from distributed.security import Security
        from distributed.utils import silence_logging_cmgr

    with dask.config.set({
        "distributed.scheduler.allowed-failures": _DEATHS - 1,
        # One job a worker: one that waits there would be blamed for the death of the one before.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.admin.system-monitor.gil.enabled": False,
    }):  # fmt: skip
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout=_PATIENCE_S, set_as_default=False)
                client.wait_for_workers(1, timeout=_PATIENCE_S)
            except (OSError, TimeoutError, ValueError) as error:
                raise CadstnError(
                    f"no scheduler with workers answers ({type(error).__name__})",
                    where=scheduler,
                    hint="start 'dask scheduler' and 'dask worker ADDRESS', give its address",
                ) from None
            with silence_logging_cmgr(logging.CRITICAL), client:  # a lost scheduler is logged too
                _check_workers(client, scheduler)
                yield client
            return
        with (
            LocalCluster(
                n_workers=workers or processors(), threads_per_worker=1, host="127.0.0.1",
                protocol="tls://", security=Security.temporary(),
                # None would be port 8787 of every address.
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL, memory_limit=0,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):  # fmt: skip
            yield client


def _version() -> str:
    """The release on a worker."""
    return __version__


def _check_workers(client: Any, scheduler: str) -> None:
    hint = f"install cadstn {__version__} on every machine"
    try:
        found = client.run(_version)
    except Exception as error:  # whatever the workers' Python makes of it
        raise CadstnError(
            f"its workers cannot run cadstn ({type(error).__name__}: {error})",
            where=scheduler, hint=hint,
        ) from None  # fmt: skip
    for worker, version in found.items():
        if version != __version__:
            raise CadstnError(f"has cadstn {version}", where=worker, hint=hint)


def run_jobs(
    client: Any, work: Callable[[Job], Result], jobs: Sequence[Job]
) -> Iterator[tuple[Job, Result | str]]:
    """Run a job after the other on whichever worker is free; yield each with its result.

    A job whose worker dies is done again by another; one that three workers died of is given up.

    Args:
        client: see `dask_client`.
        work: an importable function of one job; what it raises ends the run.
        jobs: values that can be sent.

    Yields:
        Jobs as they end, with their result, or one line on why there is none.

    Raises:
        CadstnError: if there has been no worker for a minute, or the scheduler is gone. Dask does
            not start a worker again that died while it was starting.
    """
    from distributed import as_completed
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    futures = client.map(work, jobs, pure=False, batch_size=1000)
    job_of = dict(zip((future.key for future in futures), jobs, strict=True))
    pending = as_completed(futures, loop=client.loop)
    del futures  # so that a result is forgotten by the cluster once it has been taken
    while not pending.is_empty():
        try:
            _wait_for_a_result(client, pending)
            future = next(pending)
            result = future.result()
        except KilledWorker:
            result = f"its worker died {_DEATHS} times; does it need more memory than there is?"
        except (CancelledError, CommClosedError):  # nobody here cancels anything
            raise CadstnError(
                "the connection to the scheduler is lost",
                hint="start it again; the same command goes on with what is done",
            ) from None
        yield job_of.pop(future.key), result


def _wait_for_a_result(client: Any, pending: Any) -> None:
    """Wait while there are workers; raise CadstnError where there has been none for a minute."""
    seen = time.monotonic()
    while not pending.has_ready():
        time.sleep(_POLL_S)
        now = time.monotonic()
        with suppress(OSError):  # a scheduler that is gone cancels what is waited for
            if now - seen > _CHECK_S and client.nthreads():
                seen = now
        if now - seen > _PATIENCE_S:
            raise CadstnError(
                "no worker is left", hint="the same command goes on with what is done"
            )


class Progress:
    """Writes how far a run is: done, failed, rate, time left.

    On a terminal once a second over the line before; elsewhere a line every 30 seconds.

    Args:
        stream: to write to.
        total: how many jobs there are.
        noun: of what, in the plural.
    """

    def __init__(self, stream: Any, total: int, noun: str) -> None:
        self._stream, self._total, self._noun = stream, total, noun
        self._terminal = stream.isatty()
        self._every_s = 1.0 if self._terminal else 30.0
        self._began = self._last = time.monotonic()
        self._done = self._worked = self._failed = self._frames = 0

    def __call__(self, frames: int, *, skipped: bool = False, failed: bool = False) -> None:
        """Count a job that ended."""
        self._done += 1
        self._worked += not skipped
        self._failed += failed
        self._frames += 0 if skipped else frames
        now = time.monotonic()
        if now - self._last >= self._every_s or self._done == self._total:
            self._last = now
            text = self.line(now - self._began)
            end = "\r" if self._terminal and self._done < self._total else "\n"
            self._stream.write(f"{text[:119]:<119}{end}" if self._terminal else f"{text}{end}")
            self._stream.flush()

    def line(self, passed_s: float) -> str:
        """Describe the state after so many seconds."""
        text = f"{self._done} of {self._total} {self._noun}"
        if self._failed:
            text += f", {self._failed} failed"
        if self._worked and passed_s > 0:
            left_s = round(passed_s / self._worked * (self._total - self._done))
            clock = f"{left_s // 3600}:{left_s // 60 % 60:02d}:{left_s % 60:02d}"
            text += f", {self._frames / passed_s:.0f} frames a second, {clock} left"
        return text
