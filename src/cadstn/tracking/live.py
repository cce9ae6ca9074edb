"""Track a source as it comes: every frame to every listener, whatever the source does."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

import numpy as np

from cadstn.errors import CadstnError
from cadstn.geometry.arrays import quantiles
from cadstn.geometry.camera import DepthMm
from cadstn.geometry.plausible import StreamCheck, describe_scene
from cadstn.geometry.skeleton import HAND21, Skeleton
from cadstn.tracking.cameras import LiveFrame, Newest, Source
from cadstn.tracking.clock import Clock
from cadstn.tracking.conventions import CONVENTIONS, to_convention
from cadstn.tracking.filters import Filter, Unfiltered
from cadstn.tracking.gestures import describe_pose
from cadstn.tracking.hand import Hand, refusals
from cadstn.tracking.records import Identities, hand_record, rounded
from cadstn.tracking.tracker import Tracker

_LATEST = 10_000


@dataclass(frozen=True)
class Tracked:
    """One frame and what was seen in it."""

    frame: LiveFrame  # as the source gave it
    # one a place, lost or found; their joints smoothed, if a filter is in use
    hands: tuple[Hand, ...]
    took_ms: float  # from the frame to millimetres
    bad: int  # how many frames were left out before it, because they made no sense
    refused: str = ""  # how many places were refused and why, where there is no hand

    @property
    def hand(self) -> Hand:
        """The first hand."""
        return self.hands[0]


@dataclass
class Tally:
    """What a run of `track_source` came to."""

    frames: int = 0  # tracked
    found: int = 0  # of them with a hand
    dropped: int = 0  # that the source made and nobody saw
    bad: int = 0  # that made no sense
    # of the latest frames
    took_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))
    # (H, W) mm, the latest frame without a hand; None if every frame has one
    without: DepthMm | None = None
    refused: str = ""  # why its candidates were refused, if the tracker reports it

    def no_hand(self) -> str | None:
        """Describe the scene in one line if no frame had a hand; None if one had."""
        if self.found or self.without is None:
            return None
        return f"no hand found: {describe_scene(self.without, self.refused)}"

    def line(self) -> str:
        """Sum up in one line."""
        took = ""
        if self.took_ms:
            p50, p99 = quantiles(self.took_ms, (0.5, 0.99))
            took = f"; {p50:.1f} ms a frame (p50), {p99:.1f} ms (p99)"
        return (
            f"{self.frames} frames, hand in {self.found}, {self.dropped} dropped, "
            f"{self.bad} bad{took}"
        )


def track_source(
    source: Source,
    tracker: Tracker,
    *,
    smooth: Callable[[], Filter] = Unfiltered,
    seconds: float | None = None,
    on_bad: Callable[[CadstnError], None] = lambda error: None,
    on_warning: Callable[[str], None] = lambda line: None,
    tally: Tally | None = None,
) -> Iterator[Tracked]:
    """Track a source frame by frame until it ends.

    A live source is read by a thread and its newest frame tracked; what is missed is counted. A
    frame that makes no sense (another size than its camera's, a time before the last one) is
    reported and left out; tracking goes on. Times that are absent, stand still or are in a finer
    unit than seconds are corrected, see `Clock`.

    Args:
        source: see `cadstn.tracking.cameras.open_source`.
        tracker: holds the network; begins anew.
        smooth: makes a filter, one for each hand; see `cadstn.tracking.filters`.
        seconds: stop after so long, also while a live source gives no frame.
        on_bad: called with each frame that is left out.
        on_warning: called once with a line on depth, cameras, hands or times that cannot be right.
        tally: counts, kept up to date.

    Yields:
        What was seen, frame by frame.

    Raises:
        CadstnError: if the source stops in mid-stream.
    """
    tally = Tally() if tally is None else tally
    tracker.reset()
    filters: list[Filter] = []
    clock, check = Clock(), StreamCheck()
    began = time.monotonic()

    def over() -> bool:
        return seconds is not None and time.monotonic() - began >= seconds

    until = None if seconds is None else began + seconds
    with Newest(source, until) if source.live else source as frames:
        for frame in frames:
            tally.dropped = frame.dropped
            try:
                if frame.cut:
                    clock.cut()
                seconds_now, note = clock(frame.time_s, frame.camera.fps)
                start = time.perf_counter()
                if frame.cut:
                    tracker.reset()
                    filters.clear()
                hands = tracker.update_all(
                    frame.depth_mm, frame.camera, seconds_now, unit="mm", check=False
                )
            except CadstnError as error:
                tally.bad += 1
                on_bad(_placed(error, source, frame))
                if over():
                    return
                continue
            if seconds_now != frame.time_s:
                frame = replace(frame, time_s=seconds_now)
            filters += [smooth() for _ in hands[len(filters) :]]
            hands = tuple(
                _smoothed(hand, one, frame.time_s) for hand, one in zip(hands, filters, strict=True)
            )
            took_ms = (time.perf_counter() - start) * 1000
            lines = [] if note is None else [note]
            lines += check.depth(frame.depth_mm, frame.camera)
            for hand in hands:
                lines += check.hand(hand.joints_mm) if hand.found else []
            for line in lines:
                on_warning(f"{source.name}: {line}")
            refused = ""
            if not any(hand.found for hand in hands):
                refused = refusals(tracker.state)
                tally.without, tally.refused = frame.depth_mm, refused
            tally.frames += 1
            tally.found += any(hand.found for hand in hands)
            tally.took_ms.append(took_ms)
            yield Tracked(frame, hands, took_ms, tally.bad, refused)
            if over():
                return


def _placed(error: CadstnError, source: Source, frame: LiveFrame) -> CadstnError:
    if error.where is not None:
        return error
    return CadstnError(error.what, where=f"{source.name}, frame {frame.index}", hint=error.hint)


def _smoothed(hand: Hand, smooth: Filter, time_s: float) -> Hand:
    if hand.how == "found":  # another hand than before, or the same one elsewhere
        smooth.reset()
    joints = smooth(hand.joints_mm, time_s)
    return hand if joints is hand.joints_mm else replace(hand, joints_mm=joints.astype(np.float32))


class JsonLines:
    """Write one JSON object a frame and hand to a stream: for other programs.

    Fields: ``frame``, ``hand`` (its place, from 0), ``identity`` (a number that a hand keeps while
    it is followed, null where lost), those of `cadstn.tracking.records.hand_record`, ``dropped``
    and ``took_ms``. The first line holds ``skeleton`` and ``joints``, their names in order.

    Args:
        stream: to write to; flushed after each frame.
        skeleton: of the tracker.
        convention: see `cadstn.tracking.conventions`; other orders have no ``confidence`` and no
            ``uncertainty_mm``.
        pose: add ``pose``, see `cadstn.tracking.gestures.describe_pose`; null where lost.

    Raises:
        CadstnError: if this skeleton cannot be put into that order, or a line cannot be written.
    """

    def __init__(
        self,
        stream: TextIO,
        skeleton: Skeleton,
        convention: str = "hand21",
        *,
        pose: bool = False,
    ) -> None:
        self._stream, self._skeleton, self._convention = stream, skeleton, convention
        self._pose = pose
        if pose and skeleton != HAND21:
            raise CadstnError(f"joints are {skeleton.name}", hint="angles need those of hand21")
        own = convention == "hand21"
        if not own:  # an error before the first hand
            to_convention(np.zeros((len(skeleton), 3)), skeleton, convention)
        self._own, self._identities = own, Identities()
        names = skeleton.joints if own else CONVENTIONS[convention]
        self._write({"skeleton": skeleton.name if own else convention, "joints": list(names)})

    def __call__(self, seen: Tracked) -> None:
        """Write a frame."""
        for place, hand in enumerate(seen.hands):
            self._write_hand(seen, place, hand)

    def _write_hand(self, seen: Tracked, place: int, hand: Hand) -> None:
        record = hand_record(hand)
        if not self._own:
            record |= {"confidence": None, "uncertainty_mm": None}
            if hand.found:
                joints = to_convention(hand.joints_mm, self._skeleton, self._convention)
                record["joints_mm"] = rounded(joints, 2)
        if self._pose:
            record["pose"] = describe_pose(hand.joints_mm, hand.side) if hand.found else None
        self._write(
            {
                "frame": seen.frame.index,
                "hand": place,
                "identity": self._identities(place, hand),
                **record,
                "time_s": round(seen.frame.time_s, 4),
                "dropped": seen.frame.dropped,
                "took_ms": round(seen.took_ms, 2),
            }
        )

    def _write(self, value: dict[str, Any]) -> None:
        # NaN is no JSON: better an error here than a line that others cannot read.
        line = json.dumps(value, allow_nan=False) + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except BrokenPipeError:  # whoever read the lines has enough of them
            raise
        except OSError as error:
            name = getattr(self._stream, "name", None)
            raise CadstnError(
                f"cannot write ({error.strerror or error})",
                where=name if isinstance(name, str) else "standard output",
                hint="make room, or write elsewhere",
            ) from None
