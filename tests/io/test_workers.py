"""Workers end with whoever started them, on every signal, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cadstn.errors import CadstnError
from cadstn.io.workers import ENDING, interrupt_once, signals_end_it, worker_pool

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
_WORK = """
import os, sys, time
from pathlib import Path
from cadstn.io.whole import whole_file
from cadstn.io.workers import ENDING, interrupt_once, signals_end_it, worker_pool

def work(folder):
    Path(folder, f"worker-{os.getpid()}").touch()
    time.sleep(60)

if __name__ == "__main__":
    folder = sys.argv[1]
    with worker_pool(2) as pool, whole_file(Path(folder) / "a.bank") as temporary:
        temporary.write_bytes(bytes(1000))
        for job in [pool.submit(work, folder) for _ in range(9)]:
            job.result()
"""


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_for(seconds: float, done: object) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.05)
    assert done()  # type: ignore[operator]


def _usual_signals() -> None:
    for kind in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)


@pytest.mark.parametrize("kind", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_workers_end(tmp_path: Path, kind: str) -> None:
    script = tmp_path / "work.py"
    script.write_text(_WORK)
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, str(script), str(folder)]
    # Under nohup, as CI may run, SIGHUP is ignored and children inherit that.
    with subprocess.Popen(command, preexec_fn=_usual_signals) as process:
        try:
            wait_for(60, lambda: len(list(folder.glob("worker-*"))) == 2)
            workers = [int(p.name.partition("-")[2]) for p in folder.glob("worker-*")]
            process.send_signal(getattr(signal, kind))
            code = process.wait(30)
        finally:
            process.kill()
    assert code == (-signal.SIGKILL if kind == "SIGKILL" else 128 + getattr(signal, kind))
    wait_for(20, lambda: not any(map(runs, workers)))
    left = [p.name for p in folder.iterdir() if not p.name.startswith("worker")]
    assert len(left) == (1 if kind == "SIGKILL" else 0)
    # What SIGKILL leaves goes when the file is written the next time.
    from cadstn.io.whole import write_bytes

    write_bytes(folder / "a.bank", b"whole")
    assert [p.name for p in folder.iterdir() if not p.name.startswith("worker")] == ["a.bank"]


def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(CadstnError, match=r"a\.bank: a process .* perhaps for want of memory; the"),
        worker_pool(1, where=tmp_path / "a.bank") as pool,
    ):
        pool.submit(os._exit, 1).result()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_ends_well_ignores_a_second_signal_to_its_end(kind: int) -> None:
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
        with pytest.raises(KeyboardInterrupt), signals_end_it(interrupt_once):
            signal.raise_signal(kind)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} == {
            signal.SIG_IGN
        }
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_signals_are_handled_as_before_after_a_block_without_one() -> None:
    before = {number: signal.getsignal(number) for number in ENDING}
    with signals_end_it(interrupt_once):
        pass
    assert {number: signal.getsignal(number) for number in ENDING} == before
