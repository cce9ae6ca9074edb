"""The exported network on onnxruntime: one ONNX file that carries its own configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.skeleton import Skeleton, skeleton

Float32 = NDArray[np.float32]
SHIPPED = "hand21.onnx"
_MEND = "give a file made by 'cadstn export', or leave --weights out to use the shipped ones"


class StreamState(NamedTuple):
    """Memory of the temporal network for a batch of streams: ``h``, ``c`` (B, hidden)."""

    h: Float32
    c: Float32


class Step(NamedTuple):
    """What the network says of a batch of crops.

    Attributes:
        joints: (B, K, 3) relative to each crop's centre, in half cubes.
        w1: (B, K, 3) weight of the temporal prediction (eq. 6).
        state: to be handed to the next step.
    """

    joints: Float32
    w1: Float32
    state: StreamState


@dataclass(frozen=True)
class Network:
    """A loaded network and what its file says of itself.

    Attributes:
        session: onnxruntime's.
        skeleton: joint convention of its output.
        cube_mm: edge of the cube it was trained on.
        size: M, pixels along a crop's edge.
        hidden: length of the recurrent state.
        about: everything in the file's metadata.
    """

    session: Any
    skeleton: Skeleton
    cube_mm: float
    size: int
    hidden: int
    about: dict[str, str]

    def initial_state(self, batch: int = 1) -> StreamState:
        """Return the state of streams that have seen nothing."""
        zeros = np.zeros((batch, self.hidden), np.float32)
        return StreamState(zeros, zeros)

    def step(self, crops: Float32, state: StreamState) -> Step:
        """Run one frame of every stream: crops (B, M, M) and the state before them."""
        joints, w1, h, c = self.session.run(
            ["joints", "w1", "h_next", "c_next"], {"crops": crops, "h": state.h, "c": state.c}
        )
        return Step(joints, w1, StreamState(h, c))


def load_network(path: str | Path | None = None) -> Network:
    """Load an exported network; without a path, the one that ships with the package.

    Raises:
        CadstnError: if the file is missing, is not ONNX, was not exported by this project, or
            its number of joints is not that of the skeleton it names.
    """
    if path is None:
        with resources.as_file(resources.files("cadstn") / "weights" / SHIPPED) as shipped:
            return _load(shipped)
    return _load(Path(path))


def _load(path: Path) -> Network:
    import onnxruntime as ort

    if not path.is_file():
        raise CadstnError("no such weights file", where=path, mend=_MEND)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own errors share no public base class
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CadstnError(f"not an ONNX network ({first})", where=path, mend=_MEND) from None
    about = dict(session.get_modelmeta().custom_metadata_map)
    try:
        config = json.loads(about["config"])
        joints = skeleton(about["skeleton"])
        network = Network(
            session,
            joints,
            float(about["cube_mm"]),
            int(config["size"]),
            int(config["hidden"]),
            about,
        )
        count = int(config["joints"])
    except (KeyError, ValueError, TypeError, CadstnError) as error:
        raise CadstnError(
            f"an ONNX file, but its metadata is not cadstn's ({error})", where=path, mend=_MEND
        ) from None
    if count != len(joints):
        raise CadstnError(
            f"network has {count} joints, skeleton {joints.name} has {len(joints)}",
            where=path,
            mend="export it again with the skeleton that it was trained on",
        )
    return network
