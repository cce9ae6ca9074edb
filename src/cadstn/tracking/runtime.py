"""The exported network on onnxruntime: one ONNX file that carries its own configuration."""

from __future__ import annotations

import base64
import json
import os
from contextlib import AbstractContextManager
from importlib import resources
from numbers import Integral
from pathlib import Path
from typing import Any

from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.skeleton import skeleton
from cadstn.io.files import error_context
from cadstn.io.hashes import check_stamp, file_sha256
from cadstn.io.onnx_check import check_detector, check_network
from cadstn.io.whole import no_file
from cadstn.tracking.detector import DETECTOR_KEY, Detector
from cadstn.tracking.network import Network, Wants
from cadstn.tracking.weights import path_of

SHIPPED = "hand21.onnx"
#: What can run a network, the fastest first: a name for people, and onnxruntime's own.
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
#: More threads than this do not make one small network faster.
_MOST_THREADS = 4
_LARGEST_THREADS = 1024
_HINT = "give a file made by 'cadstn export'; where none is given, the shipped weights are used"


def available_providers() -> list[str]:
    """Name those of `PROVIDERS` that this onnxruntime has, the fastest first."""
    import onnxruntime as ort

    have = set(ort.get_available_providers())
    return [name for name, long in PROVIDERS.items() if long in have]


def shipped_weights() -> AbstractContextManager[Path]:
    """Where the weights of the package lie, as a file for as long as the context lasts."""
    return resources.as_file(resources.files("cadstn") / "weights" / SHIPPED)


def load_network(
    path: str | Path | None = None, *, provider: str | None = None, threads: int | None = None
) -> Network:
    """Load an exported network; without a path, the one that ships with the package.

    Args:
        path: an ONNX file of `cadstn export`, or ``NAME@VERSION`` (`cadstn.tracking.weights`).
        provider: one of `PROVIDERS`; None takes the first that is installed and can run it.
        threads: for the CPU; None takes what this process may use, four at most.

    Raises:
        CadstnError: if the file is missing, is not ONNX, was not exported by this project, its
            number of joints is not that of the skeleton it names, the provider is not there, or
            threads are not 1 or more.
    """
    chosen = _providers(provider)
    if threads is not None:
        check_count("threads", threads, _LARGEST_THREADS)
    if not (path is None or isinstance(path, str | os.PathLike)):
        raise CadstnError(f"weights are a {type(path).__name__}", hint="give the path of a file")
    if path is None:
        with shipped_weights() as shipped:
            return _load(shipped, chosen, threads)
    return _load(path_of(path), chosen, threads)


def check_count(name: str, value: object, most: int = 2**31) -> None:
    """Raise CadstnError for what is no whole number from 1 to ``most``."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (whole and 1 <= value <= most):  # type: ignore[operator]
        limit = "1 or more" if most == 2**31 else f"1 to {most}"
        raise CadstnError(f"{name} is {value!r}", hint=f"give a whole number, {limit}")


def _providers(name: str | None) -> list[str]:
    if name is None:
        return available_providers()
    if name not in PROVIDERS:
        raise CadstnError(f"no provider '{name}'", hint=nearest_name(name, PROVIDERS))
    if name not in available_providers():
        raise CadstnError(
            f"onnxruntime has no {PROVIDERS[name]}",
            hint=f"it has {', '.join(available_providers())}; see 'cadstn doctor'",
        )
    return [name]


def _session(source: Path | bytes, providers: list[str], threads: int | None) -> tuple[Any, str]:
    """Open a session on the first provider that takes the network."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or min(_MOST_THREADS, processors())
    # Threads that spin between two frames take the processor from whoever makes the frames.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    errors = []
    for name in providers:
        try:
            chain = [PROVIDERS[name]] + ([] if name == "cpu" else [PROVIDERS["cpu"]])
            # Bytes: onnxruntime takes no path that is not UTF-8.
            model = source if isinstance(source, bytes) else source.read_bytes()
            session = ort.InferenceSession(model, sess_options=options, providers=chain)
        except Exception as error:  # onnxruntime's own errors share no public base class
            errors.append(str(error).splitlines()[0] if str(error) else type(error).__name__)
            continue
        if session.get_providers()[0] == PROVIDERS[name]:
            return session, name
        # A provider whose library is missing is silently left out by onnxruntime.
        if len(providers) == 1:
            raise CadstnError(
                f"onnxruntime cannot start {PROVIDERS[name]}",
                hint="its libraries are missing; without 'provider' the CPU runs the network",
            )
    if isinstance(source, bytes):
        raise CadstnError(f"its detector is not an ONNX network ({errors[-1]})", hint=_HINT)
    raise CadstnError(f"not an ONNX network ({errors[-1]})", where=source, hint=_HINT)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load(path: Path, providers: list[str], threads: int | None) -> Network:
    if not path.is_file():
        raise CadstnError(no_file(path, "no such weights file"), where=path, hint=_HINT)
    check_stamp(path, hint=_HINT)
    session, provider = _session(path, providers, threads)
    about = dict(session.get_modelmeta().custom_metadata_map)
    detector = about.pop(DETECTOR_KEY, None)
    try:
        wants = Wants.of_file(about, {item.name for item in session.get_inputs()})
        joints = skeleton(about["skeleton"])
        config = json.loads(about["config"])
        count = int(config["joints"])
        wants.check(config)
        data = None if detector is None else base64.b64decode(detector, validate=True)
    except (
        LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError,
        CadstnError,
    ) as error:  # fmt: skip
        raise CadstnError(
            f"an ONNX file, but its metadata is not cadstn's ({error})", where=path, hint=_HINT
        ) from None
    if count != len(joints):
        raise CadstnError(
            f"network has {count} joints, skeleton {joints.name} has {len(joints)}",
            where=path,
            hint="export it again with the skeleton that it was trained on",
        )
    with error_context(path):
        check_network(session, wants.size, wants.hidden, count, wants.compact)
        found = _shipped_detector(threads) if data is None else _detector(data, threads)
        sha256 = file_sha256(path)
    return Network(
        session, joints, wants, about, provider, found, detector is not None, path.name, sha256
    )


def _detector(data: bytes, threads: int | None) -> Detector:
    """The detector of a file; on the CPU, where so small a network is fastest."""
    session = _session(data, ["cpu"], threads)[0]
    check_detector(session)
    return Detector(session)


def _shipped_detector(threads: int | None) -> Detector:
    """The detector of the weights that ship, for files of 0.1.0, which have none."""
    with shipped_weights() as path:
        return _detector(carried_detector(path), threads)


def carried_detector(path: Path) -> bytes:
    """The ONNX file of the detector that exported weights carry.

    Raises:
        CadstnError: if they are no exported network, or carry none.
    """
    if not path.is_file():
        raise CadstnError(no_file(path, "no such weights file"), where=path, hint=_HINT)
    about = _session(path, ["cpu"], 1)[0].get_modelmeta().custom_metadata_map
    if DETECTOR_KEY not in about:
        raise CadstnError("carries no detector", where=path, hint="give a run, or 'shipped'")
    return base64.b64decode(about[DETECTOR_KEY])
