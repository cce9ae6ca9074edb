"""A process that decodes TIFF and EXR images of strangers: if it dies, nothing else does.

Run as a script by `cadstn.io.decoder`. It reads, again and again, one line of JSON (``kind`` and
``bytes``) and so many bytes, and answers with one line (``dtype`` and ``shape``, or ``error``) and
the pixels. It imports nothing of this package, so that it starts at once.
"""

import json
import os
import sys
from typing import Any

_MEMORY = 3 << 30


def _tiff(data: bytes) -> Any:
    import cv2
    import numpy as np

    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _exr(data: bytes) -> Any:
    """The one channel of depth: named Z or depth, or the only one, or the first of equal ones."""
    import tempfile

    import OpenEXR

    with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # the library reads paths alone
        file.write(data)
        file.flush()
        with OpenEXR.File(file.name, separate_channels=True) as image:
            channels = {name: channel.pixels for name, channel in image.channels().items()}
    for name in channels:
        if name.lower().rpartition(".")[2] in ("z", "depth", "y"):
            return channels[name]
    first, *others = channels.values()
    if any((first != other).any() for other in others):
        raise ValueError(f"channels {', '.join(sorted(channels))}, none of them named Z or depth")
    return first


def main() -> None:
    """Answer until the input ends."""
    if os.name != "nt":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not stand between the pixels
    while line := source.readline():
        wish = json.loads(line)
        data = source.read(wish["bytes"])
        try:
            image = {"tiff": _tiff, "exr": _exr}[wish["kind"]](data)
            if image is None:
                raise ValueError("without readable pixels")
            answer, pixels = {"dtype": image.dtype.str, "shape": image.shape}, image.tobytes()
        except Exception as error:
            text = type(error).__name__ if isinstance(error, MemoryError) else str(error)
            missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
            answer, pixels = {"error": text[:200], "missing": missing}, b""
        target.write(json.dumps(answer).encode() + b"\n" + pixels)
        target.flush()


if __name__ == "__main__":
    main()
