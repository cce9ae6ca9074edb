"""Decoding of TIFF and EXR images in a process of its own, see `cadstn.io._decode`."""

from __future__ import annotations

import atexit
import json
import math
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.io.png import MAX_PIXELS

_SCRIPT = Path(__file__).with_name("_decode.py")
_PATIENCE_S = 20.0
_HINT = "convert it to a 16-bit PNG"


class _Decoder:
    """The process, started at the first image and again after its death."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def decode(self, kind: str, data: bytes) -> NDArray[Any]:
        """Decode a ``tiff`` or ``exr`` image as it is stored.

        Raises:
            CadstnError: if it cannot be decoded, the decoder dies or takes over 20 s, or the
                library for EXR is missing.
        """
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                self.close()
                process = self._process = subprocess.Popen(
                    [sys.executable, "-E", "-s", "-P", str(_SCRIPT)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            late = threading.Timer(_PATIENCE_S, process.kill)
            try:
                late.start()
                answer, pixels = _exchange(process, kind, data)
            except BaseException as error:
                # An answer left in the pipe, at Ctrl-C for instance, would be the next image's.
                process.kill()
                self.close()
                if isinstance(error, OSError | ValueError | EOFError):
                    what = f"no {kind} image: its decoder failed"
                    raise CadstnError(what, hint=_HINT) from None
                raise
            finally:
                late.cancel()
        if answer.get("missing"):
            raise CadstnError(f"needs {answer['missing']}", hint=f"pip install 'cadstn[{kind}]'")
        if "error" in answer:
            raise CadstnError(f"not a readable {kind} image ({answer['error']})", hint=_HINT)
        return pixels

    def close(self) -> None:
        """End the process; the next image starts another."""
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what a dead process did not take
                    if pipe is not None:
                        pipe.close()
            process.wait()


def _exchange(
    process: subprocess.Popen[bytes], kind: str, data: bytes
) -> tuple[dict[str, Any], NDArray[Any]]:
    """Send one image and read the whole answer: its line, and the pixels unless it is an error."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"kind": kind, "bytes": len(data)}).encode() + b"\n" + data)
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    if "error" in answer:
        return answer, np.empty(0)
    dtype, shape = np.dtype(answer["dtype"]), tuple(answer["shape"])
    if not 0 < math.prod(shape) <= 4 * MAX_PIXELS:
        raise ValueError("too large")
    pixels = bytearray(math.prod(shape) * dtype.itemsize)
    if process.stdout.readinto(pixels) != len(pixels):  # type: ignore[attr-defined]
        raise EOFError
    return answer, np.frombuffer(pixels, dtype).reshape(shape)


_DECODER = _Decoder()
atexit.register(_DECODER.close)

decode = _DECODER.decode
