"""Rendered test sets on disk: recordings with a hand, without one, or of a named scene.

Recording ``index`` is a function of (seed, index): a hand, a motion, a scene and a sensor of its
own, that no training, validation, crop cache or recording of `cadstn synth` shares. They are
rendered one by one into a folder, so that a second run on other weights reads what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn._version import __version__
from cadstn.bench.accuracy.picture import other_hand_mm, without_hand
from cadstn.bench.accuracy.scenes import SCENES, choose_clips, clip
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS
from cadstn.geometry.skeleton import HAND21
from cadstn.io import Recording, open_recording, write_recording
from cadstn.io.files import error_context
from cadstn.io.whole import write_json, write_text
from cadstn.io.workers import worker_pool

#: Second word of the seed, by kind: far from those of training and its crop caches
#: (`train.source`, `train.stream_bank`, `train.prepared`), recordings (2), live hands (3) and whole
#: sets (3, 4); named scenes have their own.
SPLITS = {"hands": 10_001, "empty": 10_002}
_ABOUT = "set.json"


class Setup(NamedTuple):
    """What records: a camera, a sensor by name (one at random if none), and how far the hand is."""

    camera: str
    sensor: str | None
    distance_mm: tuple[float, float]


_OWN = Setup("synth", None, (350.0, 1200.0))
#: Recording after recording in turn: half by the simulator's camera with random sensors, half by
#: known cameras and sensors, with the hand where these measure. Nearer than this a hand is out of
#: the picture in part too often.
SETUPS = (
    _OWN, Setup("icvl", "ds325", (300.0, 600.0)),
    _OWN, Setup("kinect2", "kinect2", (500.0, 1000.0)),
    _OWN, Setup("nyu", "nyu_primesense", (500.0, 1000.0)),
    _OWN, Setup("sr305", "sr305", (350.0, 900.0)),
)  # fmt: skip


class Order(NamedTuple):
    """What a set is a function of, besides the code: its seed and the frames of a recording."""

    seed: int
    frames: int


@dataclass(frozen=True, eq=False)
class Rendered:
    """One recording and what its file does not hold."""

    recording: Recording  # with the labelled hand's joints as its truth; NaN where there is no hand
    setup: str  # name of its camera, or of its scene
    left: bool  # whether the labelled hand is a left one
    arm: bool  # whether an arm reaches out of the picture; only in recordings without a hand
    # (T, 3) middle of the second hand, which has no labels; NaN where there is none
    other_mm: NDArray[np.float64]


def rendered(
    folder: Path,
    kind: str,
    indices: Sequence[int],
    order: Order,
    *,
    workers: int = 1,
    forget: bool = False,
) -> Iterator[Rendered]:
    """Yield recordings in order, rendering those that the folder lacks.

    Args:
        folder: where they are; made if it is not there.
        kind: ``hands``, ``empty`` or one of `cadstn.bench.accuracy.scenes.SCENES`.
        indices: which.
        order: of the set.
        workers: processes that render side by side; 1 renders here, when a recording is due.
        forget: delete each when the next is due.

    Raises:
        CadstnError: if the folder holds another set or cannot be written to, PyTorch is missing
            where something must be rendered, or a process that renders dies.
    """
    _begin(folder, kind, order)
    todo = [index for index in indices if not _file(folder, kind, index).exists()]
    jobs: dict[int, Future[None]] = {}
    with ExitStack() as running:
        if min(workers, len(todo)) > 1:
            pool = running.enter_context(worker_pool(min(workers, len(todo)), where=folder))
            jobs = {index: pool.submit(render, folder, kind, index, order) for index in todo}
        for index in indices:
            if index in jobs:
                jobs[index].result()
            elif index in todo:
                render(folder, kind, index, order)
            yield _open(folder, kind, index)
            if forget:
                _file(folder, kind, index).unlink()


def render(folder: Path, kind: str, index: int, order: Order) -> None:
    """Render one recording into its two files, in one thread; the ``.npz`` comes last, and whole.

    Raises:
        CadstnError: if PyTorch is missing, or the folder cannot be written to.
    """
    with _rendering():
        _render(_file(folder, kind, index), kind, index, order)


def _render(path: Path, kind: str, index: int, order: Order) -> None:
    from cadstn.synth.frames import Sequence
    from cadstn.synth.sensors import sensor
    from cadstn.synth.write import SYNTH_CAMERA

    if kind in SCENES:
        name = kind
        moving, camera = clip(kind, order.seed, index, order.frames)
    else:
        setup = SETUPS[index % len(SETUPS)]
        name = setup.camera
        camera = SYNTH_CAMERA if name == "synth" else KNOWN_CAMERAS[name]
        moving = Sequence(
            (order.seed, SPLITS[kind]),
            index,
            camera,
            order.frames,
            sensor=sensor(setup.sensor) if setup.sensor else None,
            distance_mm=setup.distance_mm,
        )
    empty, truth, other_mm = kind == "empty", moving.joints_xyz_mm, other_hand_mm(moving)
    arm = empty and (index + index // len(SETUPS)) % 2 == 0
    if empty:
        moving, truth = without_hand(moving, arm=arm), np.full_like(truth, np.nan)
    about = {
        "setup": name, "left": moving.left, "arm": arm,
        "other_mm": None if empty or other_mm is None else other_mm.tolist(),
    }  # fmt: skip
    write_json(path.with_suffix(".json"), about)
    write_recording(path, moving.render(), camera, truth_xyz_mm=truth, skeleton=HAND21)


def scene_clips(folder: Path, name: str, count: int, order: Order) -> list[int]:
    """The clips of a scene, see `choose_clips`; the folder keeps the list.

    Raises:
        CadstnError: as `rendered`.
    """
    _begin(folder, name, order)
    file = folder / f"{name}.clips.json"
    if file.is_file():
        with error_context(file):
            known = [int(index) for index in json.loads(file.read_text(encoding="utf-8"))]
        if len(known) >= count:
            return known[:count]
    with _rendering():
        chosen = choose_clips(name, order.seed, count, order.frames)
    write_json(file, chosen)
    return chosen


def _begin(folder: Path, kind: str, order: Order) -> None:
    """Make the folder, or check that it holds this set.

    Raises:
        CadstnError: if it holds another one, or something else.
    """
    about = folder / _ABOUT
    setups = SCENES if kind in SCENES else SETUPS
    text = json.dumps({"version": __version__, **order._asdict(), "setups": setups})
    with error_context(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            write_text(about, text)
        if not about.is_file() or about.read_text(encoding="utf-8") != text:
            raise CadstnError(
                "does not hold this test set",
                hint="give another folder, or the seed and frames that it was made with",
            )


def _file(folder: Path, kind: str, index: int) -> Path:
    return folder / f"{kind}-{index:06d}.npz"


def _open(folder: Path, kind: str, index: int) -> Rendered:
    path = _file(folder, kind, index)
    recording = open_recording(path)
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        setup, left, arm = str(about["setup"]), bool(about["left"]), bool(about["arm"])
        other = about["other_mm"]
        other_mm = np.full((len(recording), 3), np.nan)
        if other is not None:
            other_mm[:] = other
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CadstnError(
            f"cannot be read ({error})", where=path.with_suffix(".json"), hint=f"delete {path}"
        ) from None
    return Rendered(recording, setup, left, arm, other_mm)


@contextmanager
def _rendering() -> Iterator[None]:
    """Render in one thread: those of one process hinder each other, processes do not (LOG.md)."""
    try:
        import torch
    except ImportError:
        raise CadstnError(
            "rendering needs PyTorch",
            hint="pip install 'cadstn[train]', or give --keep a folder that holds the set",
        ) from None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
