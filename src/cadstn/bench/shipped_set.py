"""The rendered test set of the weights that ship: recordings with a hand, and ones without.

Recording ``index`` is a function of (seed, index): a hand, a motion, a scene and a sensor of its
own, that no training, validation, bank or recording of `cadstn synth` shares. They are rendered one
by one into a folder, so that a second run on other weights reads what is there.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io import Recording, open_recording, write_recording
from cadstn.io.files import told_of
from cadstn.io.whole import write_json, write_text

if TYPE_CHECKING:
    import torch

    from cadstn.synth.frames import Sequence
    from cadstn.synth.surface import Cones

#: Second word of the seed, by kind: far from those of training and its banks (`train.source`,
#: `train.stream_bank`, `train.prepared`), recordings (2), live hands (3) and whole sets (3, 4).
SPLITS = {"hands": 10_001, "empty": 10_002}
_ABOUT = "set.json"
_OUT_MM = 5.0  # so far outside of the picture is a hand that is not in it


class Setup(NamedTuple):
    """What records: a camera, a sensor by name (one at random if none), and how far the hand is."""

    camera: str
    sensor: str | None
    distance_mm: tuple[float, float]


_OWN = Setup("synth", None, (350.0, 1200.0))
#: Recording after recording in turn: half by the simulator's camera with sensors at random, half by
#: cameras and sensors of the field, with the hand where these measure. Nearer than this a hand is
#: out of the picture in part too often.
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
    """One recording and what its file does not hold.

    Attributes:
        recording: with the labelled hand's joints as its truth; NaN where there is no hand.
        setup: name of its camera.
        left: whether the labelled hand is a left one.
        arm: whether an arm reaches out of the picture; only in recordings without a hand.
        other_mm: (T, 3) middle of the second hand, which has no labels; NaN where there is none.
    """

    recording: Recording
    setup: str
    left: bool
    arm: bool
    other_mm: NDArray[np.float64]


def rendered(
    folder: Path,
    kind: str,
    count: int,
    order: Order,
    *,
    workers: int = 1,
    forget: bool = False,
) -> Iterator[Rendered]:
    """Yield recordings in order, rendering those that the folder lacks.

    Args:
        folder: where they are; made if it is not there.
        kind: ``hands`` or ``empty``.
        count: how many.
        order: of the set.
        workers: processes that render side by side; 1 renders here, when a recording is asked for.
        forget: delete each when the next is asked for.

    Raises:
        CadstnError: if the folder holds another set or cannot be written to, or PyTorch is missing
            where something must be rendered.
    """
    _begin(folder, order)
    todo = [index for index in range(count) if not _file(folder, kind, index).exists()]
    pool = _Pool(min(workers, len(todo)))
    try:
        jobs = {index: pool.start(folder, kind, index, order) for index in todo}
        for index in range(count):
            if index in jobs:
                jobs.pop(index).result()
            yield _open(folder, kind, index)
            if forget:
                _file(folder, kind, index).unlink()
    finally:
        pool.close()


def render(folder: Path, kind: str, index: int, order: Order) -> None:
    """Render one recording into its two files, in one thread; the ``.npz`` comes last, and whole.

    Raises:
        CadstnError: if PyTorch is missing, or the folder cannot be written to.
    """
    try:
        with _one_thread():
            _render(_file(folder, kind, index), kind, index, order)
    except ImportError:
        raise CadstnError(
            "rendering needs PyTorch",
            mend="pip install 'cadstn[train]', or give --keep a folder that holds the set",
        ) from None


def _render(path: Path, kind: str, index: int, order: Order) -> None:
    from cadstn.synth.frames import Sequence
    from cadstn.synth.sensors import sensor
    from cadstn.synth.write import SYNTH_CAMERA

    setup = SETUPS[index % len(SETUPS)]
    camera = SYNTH_CAMERA if setup.camera == "synth" else KNOWN_CAMERAS[setup.camera]
    moving = Sequence(
        (order.seed, SPLITS[kind]),
        index,
        camera,
        order.frames,
        sensor=sensor(setup.sensor) if setup.sensor else None,
        distance_mm=setup.distance_mm,
    )
    empty, truth, other_mm = kind == "empty", moving.joints_xyz_mm, _other_hand(moving)
    arm = empty and (index + index // len(SETUPS)) % 2 == 0
    if empty:
        moving, truth = without_hand(moving, arm=arm), np.full_like(truth, np.nan)
    about = {
        "setup": setup.camera, "left": moving.left, "arm": arm,
        "other_mm": None if empty or other_mm is None else other_mm.tolist(),
    }  # fmt: skip
    write_json(path.with_suffix(".json"), about)
    write_recording(path, moving.render(), camera, truth_xyz_mm=truth, skeleton=HAND21)


def without_hand(moving: Sequence, *, arm: bool) -> Sequence:
    """Return the same scene and moments without a hand in the picture.

    The second hand goes. Of the labelled one, either hand and arm go and what was held stays in the
    air; or both are pushed, along the forearm and across the line of sight, until the hand is out
    of the picture in every frame: what is left is an arm that reaches out of it.

    Args:
        moving: a scene with a hand.
        arm: whether the arm stays.
    """
    import torch

    from cadstn.synth.scene import OTHER, OWN
    from cadstn.synth.surroundings import hide

    scene, other = moving._scene, copy.copy(moving)
    there = torch.ones_like(scene.cones.ra, dtype=torch.bool)
    there[:, OTHER] = False
    there[:, OWN] = arm
    cones = _pushed(scene.cones, scene.joints_xyz_mm[:, 0], moving.camera) if arm else scene.cones
    other._scene = scene._replace(cones=hide(cones, there))
    return other


def _pushed(cones: Cones, wrist: torch.Tensor, camera: Camera) -> Cones:
    """Push hand, forearm and what is held out of the picture; the shoulder stays where it is."""
    import torch
    from torch.nn.functional import normalize

    from cadstn.synth.scene import ARM, HAND_CONES, PERSON

    elbow = cones.a[:, ARM.stop - 1]
    along = (wrist - elbow).mean(0)
    # Across the line of sight; an arm that lies straight along it goes up.
    along = normalize(along * along.new_tensor([1, 1, 0]) - along.new_tensor([0, 1e-3, 0]), dim=0)
    right, low = camera.width - 1 - camera.cx, camera.height - 1 - camera.cy
    outward = normalize(
        along.new_tensor([
            [-1, 0, -camera.cx / camera.fx], [1, 0, -right / camera.fx],
            [0, -1, -camera.cy / camera.fy], [0, 1, -low / camera.fy],
        ]), dim=1,
    )  # fmt: skip
    hand = slice(HAND_CONES)
    places = torch.cat([cones.a[:, hand], cones.b[:, hand]], 1)
    radii = torch.cat([cones.ra[:, hand], cones.rb[:, hand]], 1)
    inside = (radii[..., None] - places @ outward.T).flatten(0, 1).amax(0)  # of each edge
    lacking = inside + _OUT_MM
    speed = outward @ along
    way = torch.where(speed > 0.1, lacking / speed.clamp(min=0.1), torch.inf).amin().clamp(min=0)
    starts, ends = (torch.zeros_like(cones.ra[..., None]) for _ in range(2))
    starts[:, : PERSON.start] = ends[:, : PERSON.start] = 1
    ends[:, ARM.stop - 1] = 0
    push = way * along
    return cones._replace(a=cones.a + starts * push, b=cones.b + ends * push)


def _other_hand(moving: Sequence) -> NDArray[np.float64] | None:
    """Middle of the second hand's cones (T, 3) mm, None if there is none."""
    from cadstn.synth.scene import HAND_CONES, OTHER

    cones = moving._scene.cones
    middle = (cones.a[:, OTHER] + cones.b[:, OTHER])[:, :HAND_CONES].mean(1) / 2
    return middle.double().numpy() if bool((middle[:, 2] > 0).all()) else None


def _begin(folder: Path, order: Order) -> None:
    """Make the folder, or see that it holds this set.

    Raises:
        CadstnError: if it holds another one, or something else.
    """
    about = folder / _ABOUT
    text = json.dumps({"version": __version__, **order._asdict(), "setups": SETUPS})
    with told_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            write_text(about, text)
        if not about.is_file() or about.read_text(encoding="utf-8") != text:
            raise CadstnError(
                "holds something else than this test set",
                mend="give another folder, or the seed and frames that this one was made with",
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
            f"cannot be read ({error})", where=path.with_suffix(".json"), mend=f"delete {path}"
        ) from None
    return Rendered(recording, setup, left, arm, other_mm)


class _Later(NamedTuple):
    """A job that is done when its result is asked for."""

    job: tuple[Path, str, int, Order]

    def result(self) -> None:
        """Do it."""
        render(*self.job)


class _Pool:
    """Processes that render; none of them if one is enough."""

    def __init__(self, workers: int) -> None:
        fresh = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, fresh) if workers > 1 else None

    def start(self, *job: *tuple[Path, str, int, Order]) -> _Later | Future[None]:
        """Begin a job, or put it off."""
        return self._pool.submit(render, *job) if self._pool else _Later(job)

    def close(self) -> None:
        """Stop; what has not begun is not done."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads of one process hinder each other in rendering; processes do not (LOG.md)."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
