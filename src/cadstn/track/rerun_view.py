"""Sight through rerun (the extra ``view``): depth, the hand in 3D, confidence, weights, timings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cadstn.errors import CadstnError
from cadstn.skeleton import Skeleton
from cadstn.track.live import Tracked
from cadstn.track.tracker import Hand

WAYS = ("window", "browser", "file")
_NEAR_MM, _FAR_MM = 200.0, 1500.0


class RerunView:
    """Shows what is tracked, live or later.

    Args:
        skeleton: of the tracker.
        way: ``window`` opens rerun's viewer, ``browser`` serves one, ``file`` writes ``path``.
        path: an ``.rrd`` file, for ``file``; open it with ``rerun FILE``.

    Raises:
        CadstnError: if rerun is missing, or its viewer does not start.
    """

    def __init__(self, skeleton: Skeleton, way: str = "window", path: Path | None = None) -> None:
        try:
            import rerun as rr
        except ImportError as cause:
            raise CadstnError(
                f"a view needs rerun ({cause})",
                mend="pip install 'cadstn[view]', or --out DIR for a video",
            ) from None
        self._rr, self._skeleton = rr, skeleton
        self._stream = rr.RecordingStream("cadstn")
        self._camera: Any = None
        try:
            if way == "file":
                if path is None:
                    raise CadstnError("no file to write the view to", mend="give a path")
                self._stream.save(str(path))
            elif way == "browser":
                url = self._stream.serve_grpc()
                rr.serve_web_viewer(open_browser=True, connect_to=url)
            else:
                self._stream.spawn()
        except (OSError, RuntimeError) as error:
            raise CadstnError(
                f"rerun does not start ({error})", mend="--view browser, or --view file"
            ) from None
        # OpenCV's frame, and rerun's name for it: x right, y down, z forward.
        self._stream.log("world", rr.ViewCoordinates.RDF, static=True)

    def __call__(self, seen: Tracked) -> None:
        """Show one frame."""
        rr, log = self._rr, self._stream.log
        frame = seen.frame
        self._stream.set_time("frame", sequence=frame.index)
        self._stream.set_time("time", duration=frame.time_s)
        if frame.camera != self._camera:
            self._camera = camera = frame.camera
            lens = rr.Pinhole(
                focal_length=(camera.fx, camera.fy),
                principal_point=(camera.cx, camera.cy),
                resolution=(camera.width, camera.height),
            )
            log("world/camera", lens)
        log(
            "world/camera/depth",
            rr.DepthImage(
                np.nan_to_num(frame.depth_mm).clip(0, 65535).astype(np.uint16),
                meter=1000.0,
                depth_range=(_NEAR_MM, _FAR_MM),
            ),
        )
        for place, hand in enumerate(seen.hands):
            self._show_hand(f"hand_{place}", hand)
        log("numbers/took_ms", rr.Scalars(seen.took_ms))
        log("numbers/dropped", rr.Scalars(frame.dropped))

    def _show_hand(self, name: str, hand: Hand) -> None:
        rr, log = self._rr, self._stream.log
        if hand.found:
            joints = hand.joints_mm / 1000
            bones = [joints[list(bone)] for bone in self._skeleton.bones]
            red = np.round((1 - hand.confidence) * 255)
            colours = np.stack([red, 255 - red, np.full_like(red, 80)], -1).astype(np.uint8)
            log(
                f"world/{name}/bones", rr.LineStrips3D(bones, colors=[[230, 230, 230]], radii=0.002)
            )
            log(
                f"world/{name}/joints",
                rr.Points3D(joints, colors=colours, radii=0.005, labels=self._skeleton.joints,
                            show_labels=False),
            )  # fmt: skip
            log(f"{name}/confidence", rr.BarChart(hand.confidence))
            log(f"{name}/weight_of_temporal", rr.BarChart(hand.temporal_weight))
        else:
            log(f"world/{name}", rr.Clear(recursive=True))
        log(f"{name}/agreement", rr.Scalars(hand.agreement))

    def close(self) -> None:
        """Write out what is still waiting."""
        self._stream.flush()
        self._stream.disconnect()
