"""Run commands in forked children that fail or die at their N-th step on the disk.

Started by `test_faults.py`; speaks lines of JSON. A step is an event of Python's audit hooks that
changes a disk (an open for writing, a rename, a removal, a folder made), an fsync, or a write of
Python's own files, of which the first half still reaches the disk. What C libraries write by
themselves is met by a real small disk instead.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

_EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
_STATE = {"on": False, "seen": 0, "at": -1, "kill": False}
_HEAVY = {"cadstn", "matplotlib", "pyarrow", "scipy", "tensorboard", "onnx", "jinja2", "dexi_rs"}
#: Where steps count: what libraries do in folders of their own is not ours.
_ROOT = [""]


def _is_step(path: object) -> bool:
    """Count a step below the root; whether it is the one to fail at, if it does not kill."""
    name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    if not _STATE["on"] or not name.startswith(_ROOT[0]):
        return False
    seen = _STATE["seen"]
    _STATE["seen"] = seen + 1
    return seen == _STATE["at"]


def _fail() -> None:
    if _STATE["kill"]:
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _step(path: object) -> None:
    if _is_step(path):
        _fail()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes:
            _step(arguments[0])
    elif event in _EVENTS:
        _step(os.fspath(arguments[0]) if not isinstance(arguments[0], int) else "")


class _Raw(io.FileIO):
    """A file whose writes are steps."""

    def write(self, data: Any) -> int:
        if _is_step(self.name):
            super().write(memoryview(data)[: len(data) // 2])
            _fail()
        return super().write(data)


def _open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    *others: Any,
    **more: Any,
) -> Any:
    """`open` whose files below the root count their writes."""
    plain = isinstance(file, int) or not set(mode) & set("wax+") or buffering == 0
    if plain or others or more or not os.fsdecode(file).startswith(_ROOT[0]):
        return _OPEN(file, mode, buffering, encoding, errors, newline, *others, **more)
    raw = _Raw(os.fspath(file), mode.replace("b", "").replace("t", ""))
    binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return binary
    return io.TextIOWrapper(binary, encoding, errors, newline, buffering == 1)


_OPEN = io.open


def _child(order: dict[str, Any], real: Any) -> None:
    from cadstn.cli import main

    null = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(null, 1)
    os.dup2(null, 2)
    _ROOT[0] = order["root"]
    _STATE.update(on=True, seen=0, at=order["at"], kill=order["kill"])

    def fsync(handle: Any) -> None:
        _step(_ROOT[0])
        real(handle)

    os.__dict__["fsync"] = fsync
    io.__dict__["open"] = builtins.__dict__["open"] = _open
    sys.argv = ["cadstn", *order["command"]]
    code = 99
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 99
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    _STATE["on"] = False
    used = [name for name in sys.modules if name.split(".")[0] in _HEAVY]
    Path(order["count"]).write_text(json.dumps([_STATE["seen"], used]))
    os._exit(code)


def _import(names: list[str]) -> None:
    for name in names:
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)


def main() -> None:
    for name in ("cv2", "onnxruntime", "cadstn.cli", *sys.argv[1:]):  # once, not in every child
        importlib.import_module(name)
    sys.addaudithook(_hook)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(order, os.fsync)
        _, status = os.waitpid(pid, 0)
        if os.path.exists(order["count"]):  # what one command imports the next ones need as well
            _import(json.loads(Path(order["count"]).read_text())[1])
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
