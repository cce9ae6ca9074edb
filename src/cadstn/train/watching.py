"""What can be seen of a run: a JSON line a step, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cadstn.geometry.skeleton import skeleton
from cadstn.io.whole import write_text, writing
from cadstn.train.source import Batch
from cadstn.train.uvd import to_pixels

_SHEET = 8  # crops on a sheet of predictions
_SCALE = 2  # pixels of the sheet a crop's pixel
_CURVE_EVERY = 10  # steps between points of a curve


@dataclass(frozen=True)
class Progress:
    """The state of a training after a step."""

    stage: str  # ``spatial``, ``temporal``, ...
    # step, steps: how far it is, and how far it goes
    step: int
    steps: int
    loss: float  # of this step, in units of half a cube
    learning_rate: float  # Adam's
    # mean joint error on held-out clips, when it was measured last; None before, and where nothing
    # is held out
    error_mm: float | None
    images_per_s: float  # images of the last steps over the time they took, data included
    measured: bool  # whether ``error_mm`` was measured after this very step


class Log:
    """Writes ``log.jsonl`` and TensorBoard's files into a run's folder.

    Args:
        out: the folder.
        stage: the stage that begins or goes on.
        start: its step; lines of steps after it, left by a killed run, are dropped.
    """

    def __init__(self, out: Path, stage: str, start: int) -> None:
        self._path = out / "log.jsonl"
        self._board: Any = None
        with writing(self._path):
            self._board = _board(out / "tensorboard" / stage, start)
        if self._path.is_file():
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _before(line, stage, start)]
            if len(kept) < len(lines):
                write_text(self._path, "".join(kept))

    def write(self, progress: Progress) -> None:
        """Add a step.

        Raises:
            CadstnError: if the disk is full.
        """
        line: dict[str, object] = {
            "stage": progress.stage,
            "step": progress.step,
            "loss": round(progress.loss, 6),
            "lr": float(f"{progress.learning_rate:.4g}"),
            "images_per_s": round(progress.images_per_s, 1),
        }
        if progress.measured and progress.error_mm is not None:
            line["error_mm"] = round(progress.error_mm, 3)
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board and (progress.measured or progress.step % _CURVE_EVERY == 0):
            values = asdict(progress)
            names = ["loss", "learning_rate", "images_per_s"]
            names += ["error_mm"] if progress.measured and progress.error_mm is not None else []
            with writing(self._path.with_name("tensorboard")):
                for name in names:
                    self._board.add_scalar(name, values[name], progress.step)

    def sheet(self, batch: Batch, predicted: Tensor, skeleton_name: str, step: int) -> None:
        """Add a sheet of predictions over depth, where TensorBoard is installed."""
        if self._board:
            image = prediction_sheet(batch, predicted, skeleton_name)
            with writing(self._path.with_name("tensorboard")):
                self._board.add_image("predictions", image, step, dataformats="HWC")

    def close(self) -> None:
        """Finish TensorBoard's files."""
        if self._board:
            with writing(self._path.with_name("tensorboard")):
                self._board.close()


def prediction_sheet(batch: Batch, predicted: Tensor, skeleton_name: str) -> NDArray[np.uint8]:
    """Draw crops in grey with the true skeleton (green) and the predicted one (red) over them.

    Args:
        batch: clips; of each the first frames are shown, until there are eight.
        predicted: (B, T, K, 3) joints relative to the crop's centre, in half cubes.
        skeleton_name: names their bones.

    Returns:
        (H, W, 3) RGB.
    """
    size = batch.crops.shape[-1]
    middle = (size - 1) / 2
    tiles = []
    sets = [
        to_pixels(joints, batch.centers_mm, batch.cube_mm, size).flatten(0, 1).cpu().numpy()
        for joints in (batch.joints, predicted)
    ]
    # One frame a clip first: neighbours in time are alike.
    frames = batch.crops.shape[1]
    order = sorted(range(batch.crops.shape[0] * frames), key=lambda i: (i % frames, i))[:_SHEET]
    crops = batch.crops.flatten(0, 1).cpu().numpy()
    for index in order:
        near = np.where(crops[index] < 1, 0.9 - 0.35 * (crops[index] + 1), 0.0)
        gray = cv2.resize(
            (255 * near).astype(np.uint8), None, fx=_SCALE, fy=_SCALE,
            interpolation=cv2.INTER_NEAREST,
        )  # fmt: skip
        tile = np.repeat(gray[..., None], 3, -1)
        for pixels, color in zip(sets, ((60, 220, 60), (255, 70, 70)), strict=True):
            # A pixel's middle lies half a pixel from its corner.
            points = (pixels[index] + middle + 0.5) * _SCALE
            for a, b in skeleton(skeleton_name).bones:
                ends = [tuple(int(v) for v in np.clip(points[i], -9999, 9999)) for i in (a, b)]
                cv2.line(tile, ends[0], ends[1], color, 1, cv2.LINE_AA)
        tiles.append(tile)
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % 4)
    rows = [np.concatenate(tiles[i : i + 4], 1) for i in range(0, len(tiles), 4)]
    return np.concatenate(rows, 0)


def _before(line: str, stage: str, start: int) -> bool:
    if not line.endswith("\n"):  # cut short by a kill, though perhaps whole JSON
        return False
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:  # a line that a kill cut short
        return False
    return bool(entry["stage"] != stage or entry["step"] <= start)


def _one_line(thrown: threading.ExceptHookArgs, default: Any = threading.excepthook) -> None:
    """Print no trace of a full disk in TensorBoard's thread: the next call raises it again."""
    if type(thrown.thread).__name__ != "_AsyncWriterThread" or thrown.exc_type is not OSError:
        default(thrown)


def _board(folder: Path, start: int) -> Any:
    """TensorBoard's writer, or none where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    threading.excepthook = _one_line
    # Points of a killed run beyond the checkpoint are dropped, as in the log.
    return SummaryWriter(str(folder), purge_step=start + 1)
