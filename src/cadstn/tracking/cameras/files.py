"""Sources that need no device: recordings, published data sets, rendered hands."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cadstn.errors import CadstnError, library
from cadstn.io import BadFrame, Recording
from cadstn.io.times import UNITS_S, unit_of_times
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame
from cadstn.tracking.cameras.playing import Played

_MOTION = 300  # frames after which the rendered hand begins another motion, with a cut
_SPLIT = 3  # shares no random stream with training (0), validation (1) or recordings (2)


class RecordingSource(Played):
    """A recording's frames, as fast as they are taken, or in its own time.

    Args:
        recording: what to play; unreadable frames are reported and counted as dropped.
        real_time: see `Played`.
        loop: see `Played`.
        on_bad: called with each frame that cannot be read.
        on_wait: see `Played`.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        real_time: bool = False,
        loop: bool = False,
        on_bad: Callable[[BadFrame], None] = lambda bad: None,
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        name = str(recording.path)
        super().__init__(name, real_time=real_time, loop=loop, on_wait=on_wait)
        self._recording, self._on_bad = recording, on_bad
        times, fps = recording.times_s, recording.camera.fps
        if times is not None and (unit := unit_of_times(times, fps)) is not None:
            self._unit_s = UNITS_S[unit]

    def _once(self) -> Iterator[LiveFrame]:
        for frame in self._recording.frames(self._on_bad):
            yield LiveFrame(frame.depth, frame.camera, frame.time_s, frame.index, cut=frame.cut)

    def _length(self) -> int:
        return len(self._recording)


class DatasetSource(Played):
    """The frames of a published data set, in order, at 30 a second; cuts are the set's shots.

    Of the split ``test`` where there is one, and else of all there is.

    Args:
        path: its folder, see `cadstn.data.open_dataset`.
        real_time: see `Played`.
        loop: see `Played`.
        on_bad: called with each frame that cannot be read.

    Raises:
        CadstnError: if it is no data set.
    """

    def __init__(
        self,
        path: Path,
        *,
        real_time: bool = False,
        loop: bool = False,
        on_bad: Callable[[BadFrame], None] = lambda bad: None,
    ) -> None:
        from cadstn.data import find_dataset, open_dataset

        whole = find_dataset(path).whole()
        split = "test" if "test" in whole else whole[0]
        super().__init__(f"{path} ({split})", real_time=real_time, loop=loop)
        self._data, self._on_bad = open_dataset(path, split), on_bad

    def _once(self) -> Iterator[LiveFrame]:
        cut, given, first = False, False, None
        for index in range(len(self._data)):
            sample = self._data[index]
            # A shot whose first frame is bad begins at its first good one.
            cut = cut or sample.starts_shot
            try:
                depth_mm = sample.depth_mm
            except CadstnError as error:
                first = first or error
                self._on_bad(BadFrame(index, sample.name, error))
                continue
            height, width = depth_mm.shape
            camera = sample.camera.sized(width, height)
            yield LiveFrame(depth_mm, camera, index / camera.fps, index, cut=cut)
            cut, given = False, True
        if first is not None and not given:
            raise first

    def _length(self) -> int:
        return len(self._data)


class SyntheticSource(BaseSource):
    """A rendered hand, made while it is watched; needs PyTorch.

    Live like a camera: a processor that renders slower than 30 frames a second makes fewer.

    Args:
        seed: what is seen is a function of it.

    Raises:
        CadstnError: if PyTorch is missing.
    """

    live = True
    patience_s = 60.0  # the first frame waits for PyTorch

    def __init__(self, seed: int = 0) -> None:
        with library("the rendered hand needs PyTorch", "train"):
            from cadstn.synth.frames import Sequence
            from cadstn.synth.write import SYNTH_CAMERA
        self.name = f"synthetic {seed}"
        self._motion, self._seed, self._camera = Sequence, seed, SYNTH_CAMERA

    def __iter__(self) -> Iterator[LiveFrame]:
        began, fps = time.monotonic(), self._camera.fps
        given = late = 0
        for shot in itertools.count():
            moving = self._motion((self._seed, _SPLIT), shot, self._camera, _MOTION)
            for frame in range(_MOTION):
                (units,) = moving.render(range(frame, frame + 1))
                # The hand moves in its own time; what matters to a tracker is a steady clock.
                when = (given + late) / fps
                time.sleep(max(0.0, began + when - time.monotonic()))
                depth_mm = self._camera.depth_mm(units)
                yield LiveFrame(depth_mm, self._camera, when, given, 0, cut=frame == 0)
                given += 1
                late = max(0, int((time.monotonic() - began) * fps) - given)
