"""Run commands in forked children that fail or die at their N-th step on the disk.

Started by `conftest.py`; speaks lines of JSON. A step is an event of Python's audit hooks that
changes a disk (an open for writing, a rename, a removal, a folder made) or an fsync.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

_EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
_STATE = {"on": False, "seen": 0, "at": -1, "kill": False}
#: Where steps count: what libraries do in folders of their own is not ours.
_ROOT = [""]


def _step(path: object) -> None:
    if not _STATE["on"] or not os.fsdecode(
        path if isinstance(path, (str, bytes)) else ""
    ).startswith(_ROOT[0]):
        return
    seen = _STATE["seen"]
    _STATE["seen"] = seen + 1
    if seen == _STATE["at"]:
        if _STATE["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes:
            _step(arguments[0])
    elif event in _EVENTS:
        _step(os.fspath(arguments[0]) if not isinstance(arguments[0], int) else "")


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
    os._exit(50 if code == 0 and _STATE["at"] >= _STATE["seen"] else code)


def main() -> None:
    for name in ("cv2", "onnxruntime", *sys.argv[1:]):  # once, and not in every child
        importlib.import_module(name)
    sys.addaudithook(_hook)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(order, os.fsync)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
