"""``cadstn doctor``: what is installed and how it does here; to be pasted into a bug report."""

from __future__ import annotations

import platform
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cadstn._version import __version__
from cadstn.errors import CadstnError

#: What brings each camera's library.
_LIBRARIES = {"realsense": "pyrealsense2", "orbbec": "pyorbbecsdk2", "luxonis": "depthai"}
#: What the base install needs, and what its extras bring.
PACKAGES = (
    "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino",
    "click", "jinja2", "tabulate", "torch", "onnx", "onnxscript", "safetensors", "scipy", "anny",
    "matplotlib", "tensorboard", "pandas", "distributed", "pyarrow", "cryptography", "rosbags",
    "dexi-rs", "python-osc", "OpenEXR", "av", "rerun-sdk", "websockets", "pyrealsense2",
    "pyorbbecsdk2", "depthai",
)  # fmt: skip


def examine(seconds: float = 10.0, weights: Path | None = None) -> dict[str, Any]:
    """Examine this machine and test the package on it.

    Args:
        seconds: how long to track the recording in the package; 0 leaves the test out.
        weights: the network to examine and test; None for the one that ships.

    Returns:
        Plain values, fit for JSON; whatever fails is there as a line of text.
    """
    from cadstn.tracking.runtime import available_providers, load_network, processors

    report: dict[str, Any] = {
        "cadstn": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{processor_name()}, {processors()} to use",
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "providers": available_providers(),
        "cameras": _cameras(),
    }
    try:
        network = load_network(weights)
        report["weights"] = (
            f"{network.skeleton.name}, {network.precision}, on {network.provider}, made by cadstn "
            f"{network.about.get('cadstn', 'unknown')}"
        )
        if network.lacks:
            report["weights"] += f"; lacks {', '.join(network.lacks)}"
        if seconds > 0:
            report["self_test"] = _self_test(network, seconds)
    except CadstnError as error:
        report["self_test"] = f"failed: {error}"
    return report


def report_lines(report: dict[str, Any]) -> list[str]:
    """Lay a report out for reading."""
    lines = []
    for name, value in report.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
        elif isinstance(value, list):
            value = ", ".join(value) or "none"
        lines.append(f"{name:>10}  {value}")
    return lines


def _self_test(network: Any, seconds: float) -> str:
    """Track the recording in the package, again and again, against its own truth."""
    from cadstn.tracking.cameras import open_source
    from cadstn.tracking.live import Tally, track_source
    from cadstn.tracking.tracker import Tracker

    tally, began = Tally(), time.perf_counter()
    errors = []
    source = open_source("demo", loop=True)
    truth = source._recording.truth_xyz_mm  # type: ignore[attr-defined]
    for seen in track_source(source, Tracker(network), seconds=seconds, tally=tally):
        if seen.hand.found:
            joints = seen.hand.joints_mm - truth[seen.frame.index % len(truth)]
            errors.append(float(np.linalg.norm(joints, axis=1).mean()))
    if not errors:
        return f"failed: no hand in {tally.frames} frames"
    passed = time.perf_counter() - began
    return f"{tally.line()} in {passed:.1f} s; mean joint error {np.mean(errors):.1f} mm"


def _cameras() -> list[str]:
    """Name the cameras that are plugged in, by each library that is installed."""
    from cadstn.tracking.cameras import CAMERAS

    cameras = []
    for name, (module, _) in CAMERAS.items():
        try:
            cameras += import_module(f"cadstn.tracking.cameras.{module}").found()
        except CadstnError as error:
            # A library that is not installed is no news; one that does not load is.
            if _version(_LIBRARIES[name]) is not None:
                cameras.append(f"{name}: {error}")
        except Exception as error:  # a broken driver is what a report is for
            cameras.append(f"{name}: {type(error).__name__} {' '.join(str(error).split())}")
    return cameras


def processor_name() -> str:
    """Name of this machine's processor, as far as the system tells it."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(s.split(":", 1)[1].strip() for s in file if s.startswith("model name"))
    except (OSError, StopIteration):  # not Linux
        pass
    return name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
