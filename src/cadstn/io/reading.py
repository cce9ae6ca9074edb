"""A recording as its readers see it, and how it is opened."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, DepthMm, parse_camera
from cadstn.geometry.skeleton import Skeleton
from cadstn.io.files import load_npz, read_png, to_mm, told_of
from cadstn.io.labels import LABEL_KEYS, Labels, checked_labels, read_labels

_ReadFrame = Callable[[int, Camera], DepthMm]
_RECORDING_MEND = "give a folder of 16-bit depth PNGs, or an .npz file that write_recording wrote"


@dataclass(frozen=True, eq=False)
class Frame:
    """One readable frame.

    Attributes:
        index: position in the recording, unreadable frames counted.
        name: its file, below the recording's folder; the number as text in an ``.npz`` file.
        time_s: index / fps.
        depth: (H, W) float32 mm, 0 where nothing was measured.
        camera: the recording's camera, with its size.
        cut: whether a shot begins here: a tracker must forget the hand it followed.
        truth_xyz_mm: (K, 3) joints in mm, all NaN without a hand; None if the recording has none.
    """

    index: int
    name: str
    time_s: float
    depth: DepthMm
    camera: Camera
    cut: bool
    truth_xyz_mm: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class BadFrame:
    """A frame that cannot be read, and the one line that says why."""

    index: int
    name: str
    error: CadstnError


class BadFrameWarning(UserWarning):
    """Told of each unreadable frame to those who did not ask to be told otherwise."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Depth frames in order; made by `open_recording`.

    Attributes:
        path: the folder or file.
        camera: with its size.
        names: of all N frames, in order, unreadable ones counted.
        skeleton: the convention of the truth; None if the file does not say.
        truth_xyz_mm: (N, K, 3) float32 mm, all NaN in frames without a hand; None if unknown.
        cuts: indices of the first frames of all shots but the first.
    """

    path: Path
    camera: Camera
    names: tuple[str, ...]
    skeleton: Skeleton | None
    truth_xyz_mm: NDArray[np.float32] | None
    cuts: tuple[int, ...]
    _read: _ReadFrame

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, on_bad: Callable[[BadFrame], None] | None = None) -> Iterator[Frame]:
        """Read one frame after the other, leaving out those that cannot be read.

        Args:
            on_bad: told of each frame left out; without it each is a `BadFrameWarning`.

        Raises:
            CadstnError: the first bad frame's, at the end, if there was no good one.
        """
        starts = {0, *self.cuts}
        cut, good, first = False, False, None
        for index, name in enumerate(self.names):
            # A shot whose first frame is bad begins at its first good one.
            cut = cut or index in starts
            try:
                depth = self._read(index, self.camera)
            except CadstnError as error:
                first = first or error
                if on_bad is None:
                    warnings.warn(f"frame left out: {error}", BadFrameWarning, stacklevel=2)
                else:
                    on_bad(BadFrame(index, name, error))
                continue
            truth = None if self.truth_xyz_mm is None else self.truth_xyz_mm[index]
            yield Frame(
                index, name, index / self.camera.fps, depth, self.camera.pinhole, cut, truth
            )
            cut, good = False, True
        if first is not None and not good:
            raise first


def open_recording(path: str | Path, camera: Camera | str | None = None) -> Recording:
    """Open a folder of PNGs, a folder of such folders (its shots), or an ``.npz`` file.

    Args:
        path: as `write_recording` leaves it, or any folder of PNGs, taken in the order of the
            numbers in their names. With NYU's camera only ``depth_1_*.png`` counts, if there.
        camera: instead of ``camera.json``: a camera, or text for `parse_camera`.

    Raises:
        CadstnError: naming the file, if it is missing, empty or no recording, its camera is
            unknown, its truth has another number of frames or joints, or its size must be taken
            from the frames and none can be read.
    """
    path = Path(path)
    given = parse_camera(camera) if isinstance(camera, str) else camera
    with told_of(path):
        if path.is_dir():
            return _open_folder(path, given)
        if not path.exists():
            raise CadstnError("no such recording", mend=_RECORDING_MEND)
        if path.suffix != ".npz":
            raise CadstnError("a file, but not an .npz file", mend=_RECORDING_MEND)
        return _open_npz(path, given)


def _open_folder(path: Path, given: Camera | None) -> Recording:
    shots = [path] if _pngs(path) else [s for s in _in_order(path) if s.is_dir() and _pngs(s)]
    if not shots:
        held = next((f", but '{file.name}'" for file in _in_order(path)), "")
        raise CadstnError(f"holds no PNG{held}", mend=_RECORDING_MEND)
    camera = given or _folder_camera(path, shots)
    files_of = [_depth_files(_pngs(shot), camera) for shot in shots]
    files = [file for shot in files_of for file in shot]
    labels = _folder_labels(path, shots, [len(shot) for shot in files_of])

    def read(index: int, camera: Camera) -> DepthMm:
        return read_png(files[index], camera)

    names = tuple(file.relative_to(path).as_posix() for file in files)
    return Recording(path, _sized(camera, len(files), read), names, *labels, read)


def _open_npz(path: Path, given: Camera | None) -> Recording:
    arrays = load_npz(path, ("depth", "camera", *LABEL_KEYS))
    if "depth" not in arrays:
        raise CadstnError("lacks the array 'depth'", mend=_RECORDING_MEND)
    units = arrays["depth"]
    if units.ndim != 3 or units.size == 0 or units.dtype != np.uint16:
        raise CadstnError(
            f"depth is {units.dtype} of shape {units.shape}",
            mend="store (frames, height, width) uint16",
        )
    if given is None and "camera" not in arrays:
        raise _no_camera(path, "the array 'camera'")
    camera = given or Camera.from_json(str(arrays["camera"]), where=f"{path}, array 'camera'")
    labels = checked_labels(arrays, len(units))

    def read(index: int, camera: Camera) -> DepthMm:
        # Raw units are stored as they are, whatever a PNG of this camera looks like.
        with told_of(f"{path}, frame {index}"):
            return to_mm(units[index], replace(camera, encoding="depth16"))

    names = tuple(f"{index:06d}" for index in range(len(units)))
    return Recording(path, _sized(camera, len(units), read), names, *labels, read)


def _sized(camera: Camera, frames: int, read: _ReadFrame) -> Camera:
    """Take what the camera lacks of its size from the first frame that can be read."""
    if camera.width and camera.height:
        return camera
    errors = []
    for index in range(frames):
        try:
            height, width = read(index, camera).shape
        except CadstnError as error:
            errors.append(error)
        else:
            return camera.sized(width, height)
    raise errors[0]


def _in_order(folder: Path) -> list[Path]:
    """Visible entries, numbers within names compared as numbers: 0, 20, 100."""

    def key(path: Path) -> tuple[list[str | int], str]:
        parts = re.split(r"(\d+)", path.name)
        return [int(p) if i % 2 else p for i, p in enumerate(parts)], path.name

    with told_of(folder):
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=key)


def _pngs(folder: Path) -> list[Path]:
    # A link that leads nowhere is a bad frame, not a missing one: it must keep its place.
    return [p for p in _in_order(folder) if p.suffix.lower() == ".png" and not p.is_dir()]


def _depth_files(files: list[Path], camera: Camera) -> list[Path]:
    """NYU's folders hold colour and rendered images as well, and three cameras."""
    if camera.encoding == "nyu":
        for start in ("depth_1_", "depth_"):
            if chosen := [file for file in files if file.name.startswith(start)]:
                return chosen
    return files


def _folder_camera(path: Path, shots: list[Path]) -> Camera:
    """``camera.json`` of the folder, or else of its shots, which must agree."""
    own = path / "camera.json"
    if own.is_file():
        return parse_camera(str(own))
    files = [file for file in (shot / "camera.json" for shot in shots) if file.is_file()]
    if not files:
        raise _no_camera(path, "camera.json")
    cameras = [parse_camera(str(file)) for file in files]
    for file, camera in zip(files, cameras, strict=True):
        if camera != cameras[0]:
            raise CadstnError(
                f"differs from {files[0]}", where=file, mend="open each camera's folder by itself"
            )
    return cameras[0]


def _folder_labels(path: Path, shots: list[Path], counts: list[int]) -> Labels:
    """``truth.npz`` of the folder, or else those of its shots put together."""
    *starts, total = accumulate(counts, initial=0)
    own = path / "truth.npz"
    if own.is_file():
        labels = read_labels(own, total)
        return labels._replace(cuts=tuple(sorted({*labels.cuts, *starts} - {0})))
    files = [shot / "truth.npz" for shot in shots]
    if not any(file.is_file() for file in files):
        return Labels(cuts=tuple(starts[1:]))
    parts = [read_labels(file, count) for file, count in zip(files, counts, strict=True)]
    for file, part in zip(files, parts, strict=True):
        if part.kind != parts[0].kind:
            raise CadstnError(
                f"has other joints than {files[0]}", where=file, mend="give all shots the same"
            )
    rows = [part.truth_xyz_mm for part in parts if part.truth_xyz_mm is not None]
    cuts = [start + cut for start, p in zip(starts, parts, strict=True) for cut in (0, *p.cuts)]
    return Labels(parts[0].skeleton, np.concatenate(rows) if rows else None, tuple(cuts[1:]))


def _no_camera(path: Path, lacking: str) -> CadstnError:
    return CadstnError(
        f"lacks {lacking}",
        where=path,
        mend=f"name the camera: cadstn track {shlex.quote(str(path))} --camera kinect2 "
        f"(known: {', '.join(sorted(KNOWN_CAMERAS))}), or --camera fx,fy,cx,cy",
    )
