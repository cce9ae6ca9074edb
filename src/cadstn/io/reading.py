"""How recordings are opened: folders, single images, arrays, ROS bags."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, printable
from cadstn.geometry.arrays import factor_mm
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, DepthMm, parse_camera
from cadstn.geometry.encoding import COARSEST_MM, FINEST_MM
from cadstn.io.arrays import load_npy, load_npz, npz_names
from cadstn.io.azure import AzureDepth, open_azure
from cadstn.io.bags import Bag, is_bag, open_bag
from cadstn.io.files import error_context, read_png, to_mm
from cadstn.io.images import IMAGES
from cadstn.io.labels import LABEL_KEYS, Labels, checked_labels, checked_times, read_labels
from cadstn.io.layouts import check_inside, in_order, layout_camera, shots_of, times_of
from cadstn.io.recording import ReadFrame, Recording

_RECORDING_HINT = (
    "give a folder of 16-bit depth images (PNG, TIFF, PGM, NPY, EXR), one of these, an .npz file "
    "of depth frames, a ROS bag, or Azure Kinect's .mkv"
)


def open_recording(
    path: str | Path,
    camera: Camera | str | None = None,
    *,
    pattern: str | None = None,
    unit: str | float | None = None,
) -> Recording:
    """Open depth frames on disk.

    Args:
        path: as `write_recording` leaves it; a folder of images (`cadstn.io.images.IMAGES`), taken
            in the order of the numbers in their names; a folder of such folders, its shots, also as
            `cadstn.io.layouts` knows them; one image; an ``.npz`` file of a numeric array; a
            ROS bag; or Azure Kinect's ``.mkv``. With NYU's camera only ``depth_1_*.png`` counts,
            if there. ``demo`` is the recording that ships, where no file has that name.
        camera: instead of ``camera.json``: a camera, or text for `parse_camera`.
        pattern: which files of a folder are depth images, such as ``*/depth/*.png``, or which
            topic of a bag.
        unit: of the numbers in it, instead of the camera's: ``mm``, ``cm``, ``m``, ``um``, or the
            millimetres of a step. Without it whole numbers are the camera's steps, floats mm, and
            a bag's own unit counts where the camera has the usual one, 1 mm.

    Raises:
        CadstnError: naming the file, if it is missing, empty or no recording, its camera or unit is
            unknown, its truth has another number of frames or joints, or its size must be taken
            from the frames and none can be read.
    """
    path = Path(path)
    given = parse_camera(camera) if isinstance(camera, str) else camera
    if str(path) == "demo" and not path.exists():
        with resources.as_file(resources.files("cadstn") / "demo") as folder:
            return open_recording(folder, given, pattern=pattern, unit=unit)
    with error_context(path):
        if unit is None:
            return _open(path, given, pattern, None)
        unit_mm = factor_mm(unit)
        recording = _open(path, given, pattern, unit_mm)
        if not FINEST_MM <= unit_mm <= COARSEST_MM:  # no camera's, but of floats
            return recording
        return replace(recording, camera=replace(recording.camera, depth_unit_mm=unit_mm))


def _open(
    path: Path, given: Camera | None, pattern: str | None, unit_mm: float | None
) -> Recording:
    if is_bag(path):
        return _open_bag(path, given, pattern, unit_mm)
    if path.is_dir():
        return _open_folder(path, given, pattern, unit_mm)
    if not path.exists():
        raise CadstnError("no such recording", hint=_why_none(path))
    if pattern is not None:
        raise CadstnError("a file, which has no --pattern", hint="give a folder")
    if path.suffix.lower() in IMAGES:
        return _open_image(path, given, unit_mm)
    if path.suffix.lower() == ".mkv":
        return _open_azure(path, given, unit_mm)
    if path.suffix.lower() != ".npz":
        raise CadstnError("a file, but not an .npz file", hint=_RECORDING_HINT)
    return _open_npz(path, given, unit_mm)


def _why_none(path: Path) -> str:
    """What may be wrong with a path where nothing is."""
    if any(part.startswith("~") for part in path.parts):
        return "'~' is the shell's, which leaves it as it is within quotes and lists: write it out"
    if "\\" in str(path) and os.sep == "/":
        return "folders are parted by '/' here, not by '\\'"
    return _RECORDING_HINT


def _open_folder(
    path: Path, given: Camera | None, pattern: str | None, unit_mm: float | None
) -> Recording:
    shots = shots_of(path, pattern)
    if not shots:
        held = next((f", but '{file.name}'" for file in in_order(path)), "")
        raise CadstnError(f"holds no depth images{held}", hint=_RECORDING_HINT)
    folders = [folder for folder, _ in shots]
    camera = given or _folder_camera(path, shots)
    files_of = [_depth_files(files, camera) for _, files in shots]
    files = [file for shot in files_of for file in shot]
    labels = _folder_labels(path, folders, [len(shot) for shot in files_of])

    def read(index: int, camera: Camera) -> DepthMm:
        with error_context(files[index]):
            check_inside(files[index], path)
        return read_png(files[index], camera, unit_mm)

    places = tuple(file.relative_to(path).as_posix() for file in files)
    names = tuple(map(printable, places))
    sized = _sized(camera, len(files), read)
    return Recording(path, sized, names, *labels, read, times_of(files), places)


def _open_image(path: Path, given: Camera | None, unit_mm: float | None) -> Recording:
    """One image is a recording of one frame; a NumPy array of three dimensions one of many."""
    beside = path.parent / "camera.json"
    if given is None and not beside.is_file():
        raise _no_camera(path, "camera.json beside it")
    camera = given or parse_camera(str(beside))
    if path.suffix.lower() == ".npy":
        return _of_array(path, _as_frames(load_npy(path)), camera, Labels(), unit_mm)

    def read(index: int, camera: Camera) -> DepthMm:
        return read_png(path, camera, unit_mm)

    return Recording(path, _sized(camera, 1, read), (printable(path.name),), *Labels(), read)


def _open_npz(path: Path, given: Camera | None, unit_mm: float | None) -> Recording:
    names = npz_names(path)
    own = [name for name in names if name not in ("camera", "time_s", *LABEL_KEYS)]
    key = "depth" if "depth" in own else own[0] if len(own) == 1 else ""
    if not key:
        held = f", holds {', '.join(own[:5])}" if own else ""
        raise CadstnError(f"lacks the array 'depth'{held}", hint=_RECORDING_HINT)
    arrays = load_npz(path, (key, "camera", "time_s", *LABEL_KEYS))
    if given is None and "camera" not in arrays:
        raise _no_camera(path, "the array 'camera'")
    camera = given or Camera.from_json(str(arrays["camera"]), where=f"{path}, array 'camera'")
    units = _as_frames(arrays[key])
    recording = _of_array(path, units, camera, checked_labels(arrays, len(units)), unit_mm)
    return replace(recording, times_s=checked_times(arrays, len(units)))


def _as_frames(array: NDArray[Any]) -> NDArray[Any]:
    frames = array[None] if array.ndim == 2 else array
    frames = frames[..., 0] if frames.ndim == 4 and frames.shape[3] == 1 else frames
    if frames.ndim != 3 or frames.size == 0 or frames.dtype.kind not in "iuf":
        raise CadstnError(
            f"depth is {array.dtype} of shape {array.shape}",
            hint="store (frames, height, width) numbers, best uint16",
        )
    return frames


def _of_array(
    path: Path, units: NDArray[Any], camera: Camera, labels: Labels, unit_mm: float | None
) -> Recording:
    units = units if units.dtype.isnative else units.astype(units.dtype.newbyteorder("="))

    def read(index: int, camera: Camera) -> DepthMm:
        # Raw units are stored as they are, whatever a PNG of this camera holds.
        with error_context(f"{path}, frame {index}"):
            return to_mm(units[index], _unpacked(camera), unit_mm)

    names = tuple(f"{index:06d}" for index in range(len(units)))
    return Recording(path, _sized(camera, len(units), read), names, *labels, read)


def _open_bag(
    path: Path, given: Camera | None, pattern: str | None, unit_mm: float | None
) -> Recording:
    bag = open_bag(path, pattern, own_camera=given is None)
    camera = given or bag.camera
    if camera is None:
        raise _no_camera(path, f"a CameraInfo for {bag.topic}")
    # A camera given for its lens has the default unit; another unit was chosen, and counts.
    if camera.depth_unit_mm == 1.0:
        camera = replace(camera, depth_unit_mm=bag.unit_mm)
    return _streamed(path, bag, camera, unit_mm)


def _open_azure(path: Path, given: Camera | None, unit_mm: float | None) -> Recording:
    depth = open_azure(path)
    if given is None:
        raise _no_camera(path, "the mode's camera, such as --camera azure-kinect-nfov")
    return _streamed(path, depth, given, unit_mm)


def _streamed(
    path: Path, bag: Bag | AzureDepth, camera: Camera, unit_mm: float | None
) -> Recording:
    """A recording of frames that are best read in order."""
    place, stream = 0, bag.frames()

    def read(index: int, camera: Camera) -> DepthMm:
        nonlocal place, stream
        if index != place:  # frames come in order; going back begins anew
            stream = bag.frames(index)
        place = index + 1
        with error_context(f"{path}, frame {index}"):
            raw = next(stream, None)
            if raw is None:
                raise CadstnError("missing", hint="record or copy it again")
            if isinstance(raw, CadstnError):
                raise raw
            # By ROS's convention, REP 118, floats are metres.
            encoding = "metres" if raw.dtype.kind == "f" else "depth16"
            return to_mm(raw, replace(camera, encoding=encoding), unit_mm)

    names = tuple(f"{index:06d}" for index in range(len(bag.times_s)))
    return Recording(path, _sized(camera, len(names), read), names, *Labels(), read, bag.times_s)


def _unpacked(camera: Camera) -> Camera:
    """The camera of arrays that another one's 8-bit images were unpacked to."""
    return replace(camera, encoding="depth16") if camera.encoding == "nyu" else camera


def _sized(camera: Camera, frames: int, read: ReadFrame) -> Camera:
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


def _depth_files(files: list[Path], camera: Camera) -> list[Path]:
    """NYU's folders hold colour and rendered images as well, and three cameras."""
    if camera.encoding == "nyu":
        for start in ("depth_1_", "depth_"):
            if chosen := [file for file in files if file.name.startswith(start)]:
                return chosen
    return files


def _folder_camera(path: Path, shots: list[tuple[Path, list[Path]]]) -> Camera:
    """``camera.json`` of the folder, or else of its shots, which must agree, or by the layout."""
    own = path / "camera.json"
    if own.is_file():
        return parse_camera(str(own))
    files = [file for file in (shot / "camera.json" for shot, _ in shots) if file.is_file()]
    if not files:
        known = {shot: layout_camera(path, images) for shot, images in shots}
        cameras = {shot: camera for shot, camera in known.items() if camera is not None}
        if len(cameras) == len(shots):
            return _the_same(cameras)
        if (path / "joints.npz").is_file():
            raise CadstnError(
                "holds the results of a tracking, not a recording",
                where=path,
                hint="it hides the packaged recording: give it another name"
                if str(path) == "demo"
                else "give the recording itself; 'cadstn retarget' and 'score' take joints.npz",
            )
        raise _no_camera(path, "camera.json")
    return _the_same({file: parse_camera(str(file)) for file in files})


def _the_same(cameras: dict[Path, Camera]) -> Camera:
    """The one camera of several files or folders."""
    first, *others = cameras
    for other in others:
        if cameras[other] != cameras[first]:
            what = "differs from" if other.is_file() else "is of another camera than"
            raise CadstnError(
                f"{what} {first}", where=other, hint="open each camera's folder by itself"
            )
    return cameras[first]


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
                f"has other joints than {files[0]}", where=file, hint="give all shots the same"
            )
    rows = [part.truth_xyz_mm for part in parts if part.truth_xyz_mm is not None]
    cuts = [start + cut for start, p in zip(starts, parts, strict=True) for cut in (0, *p.cuts)]
    return Labels(parts[0].skeleton, np.concatenate(rows) if rows else None, tuple(cuts[1:]))


def _no_camera(path: Path, lacking: str) -> CadstnError:
    import shlex

    return CadstnError(
        f"lacks {lacking}",
        where=path,
        hint=f"name the camera: cadstn track {shlex.quote(str(path))} --camera kinect2 "
        f"(known: {', '.join(sorted(KNOWN_CAMERAS))}), or --camera fx,fy,cx,cy",
    )
