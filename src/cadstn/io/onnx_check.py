"""Run an exported network once before it is used: what would fail later fails here, in one line."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError

_HINT = "give a file made by 'cadstn export'; where none is given, the shipped weights are used"
PAPER_OUTPUTS = ("joints", "w1", "h_next", "c_next")
# What the code calls otherwise than a file: files of 0.1.0 have these names, and so do all others,
# for the programs that read them.
NAMES_IN_FILE = {"error_scale": "spread", "presence": "present", "handedness": "left"}
COMPACT_OUTPUTS = (*PAPER_OUTPUTS, "before_next", "spatial", *NAMES_IN_FILE.values())
_PATIENCE_S = 20.0


def check_network(session: Any, size: int, hidden: int, joints: int, compact: bool) -> None:
    """Check names, shapes and values of a network's inputs and outputs on an empty crop.

    Args:
        session: onnxruntime's, of a file of `cadstn export`.
        size: M, pixels along a crop's edge, by its metadata.
        hidden: length of the recurrent state, likewise.
        joints: K, likewise.
        compact: whether it is a compact network.

    Raises:
        CadstnError: if an input or output is missing or of another shape, it fails or takes over
            20 s, or predicts something that is not finite.
    """
    feed = _feed(size, hidden, joints, compact, {item.name for item in session.get_inputs()})
    names = list(COMPACT_OUTPUTS if compact else PAPER_OUTPUTS)
    missing = sorted(set(names) - {item.name for item in session.get_outputs()})
    if missing:
        raise CadstnError(f"network without the output '{missing[0]}'", hint=_HINT)
    shapes = _shapes(joints, hidden)
    for name, value in zip(names, _run(session, names, feed), strict=True):
        value = np.asarray(value)
        if value.dtype != np.float32 or value.shape != shapes[name]:
            raise CadstnError(
                f"network's {name} is {value.dtype} of shape {value.shape}, not float32 of "
                f"shape {shapes[name]}",
                hint=_HINT,
            )
        if not np.isfinite(value).all():
            raise CadstnError(f"network's {name} of an empty crop is not finite", hint=_HINT)
    # A hand's first frame is run in two views at once.
    _run(session, names, {n: np.repeat(v, 2, axis=0) if v.ndim else v for n, v in feed.items()})


def check_detector(session: Any) -> None:
    """Check inputs, outputs and values of a detector on an empty frame.

    Args:
        session: onnxruntime's, of the detector that a file of `cadstn export` holds.

    Raises:
        CadstnError: if an input or output is missing or of another shape, it fails or takes over
            20 s, or finds what is not finite.
    """
    feed = {"depth": np.zeros((1, 32, 32), np.float32), "focal": np.array([40], np.float32)}
    names = {item.name for item in session.get_inputs()}
    if names != set(feed) or "hands" not in {item.name for item in session.get_outputs()}:
        raise CadstnError("network whose detector has other inputs or outputs", hint=_HINT)
    (hands,) = _run(session, ["hands"], feed)
    if hands.dtype != np.float32 or hands.ndim != 3 or hands.shape[::2] != (1, 8):
        raise CadstnError(f"detector's hands are {hands.dtype} of {hands.shape}", hint=_HINT)
    if not np.isfinite(hands).all():
        raise CadstnError("detector's hands of an empty frame are not finite", hint=_HINT)


def run_network(session: Any, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> Any:
    """Run a session; raises CadstnError where onnxruntime fails, as a damaged network may."""
    try:
        return session.run(list(names), feed)
    except Exception as error:  # onnxruntime's own errors share no public base class
        raise _failed(error) from None


def _failed(error: Exception) -> CadstnError:
    why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return CadstnError(f"network does not run ({why})", hint=_HINT)


def _feed(
    size: int, hidden: int, joints: int, compact: bool, names: set[str]
) -> dict[str, NDArray[Any]]:
    zeros = np.zeros((1, hidden), np.float32)
    feed: dict[str, NDArray[Any]] = {
        "crops": np.ones((1, size, size), np.float32),
        "h": zeros,
        "c": zeros,
    }
    if compact:
        feed["shift"] = np.zeros((1, 3), np.float32)
        feed["before"] = np.zeros((1, 3 * joints + 1), np.float32)
    if "first" in names:
        feed["first"] = np.array(False)
    if set(feed) != names:
        (name, *_) = sorted(set(feed) ^ names)
        kind = "without the input" if name in feed else "with the unknown input"
        raise CadstnError(f"network {kind} '{name}'", hint=_HINT)
    return feed


def _shapes(k: int, hidden: int) -> dict[str, tuple[int, ...]]:
    state = (1, hidden)
    return {
        "joints": (1, k, 3), "w1": (1, k, 3), "h_next": state, "c_next": state,
        "before_next": (1, 3 * k + 1), "spatial": (1, k, 3), "spread": (1, k), "present": (1,),
        "left": (1,),
    }  # fmt: skip


def _run(session: Any, names: list[str], feed: dict[str, NDArray[Any]]) -> Any:
    import onnxruntime as ort

    options = ort.RunOptions()
    options.log_severity_level = 4
    late = threading.Timer(_PATIENCE_S, setattr, (options, "terminate", True))
    late.daemon = True
    late.start()
    try:
        return session.run(names, feed, options)
    except Exception as error:  # onnxruntime's own errors share no public base class
        raise _failed(error) from None
    finally:
        late.cancel()
