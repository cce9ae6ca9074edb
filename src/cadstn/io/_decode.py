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
    """The one channel of depth: by its name, or the only one, or the first of equal ones."""
    import tempfile

    import numpy as np
    import OpenEXR

    with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # the library reads paths alone
        file.write(data)
        file.flush()
        with OpenEXR.File(file.name, separate_channels=True) as image:
            channels = {name: channel.pixels for name, channel in image.channels().items()}
    name = _depth_channel(list(channels))
    if name is not None:
        return channels[name]
    first, *others = channels.values()
    if not all(np.array_equal(first, other, equal_nan=True) for other in others):
        raise ValueError(f"channels {', '.join(sorted(channels))}, not one of them Z or depth")
    return first


def _depth_channel(names: list[str]) -> str | None:
    """The one channel named as depth is: ``Z``, ``ViewLayer.Depth.Z``, a gray image's ``Y``.

    None where several have such a name, or none has.
    """
    parts = {name: name.lower().split(".") for name in names}
    # Normals, positions and speeds have an X beside their Z.
    vectors = [part[:-1] for part in parts.values() if part[-1] == "x"]
    ranks = (
        [name for name, part in parts.items() if part in (["z"], ["depth"])],
        [name for name, part in parts.items() if "depth" in part],
        [name for name, part in parts.items() if part[-1] == "z" and part[:-1] not in vectors],
        [name for name, part in parts.items() if part == ["y"]],
    )
    found = next(filter(None, ranks), [])
    return found[0] if len(found) == 1 else None


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
