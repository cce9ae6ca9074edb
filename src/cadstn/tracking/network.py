"""A network and what it is asked, frame by frame: the tracker's side of the exported file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.skeleton import KNUCKLES, Skeleton

Float32 = NDArray[np.float32]
_COMPACT_OUTPUTS = [
    "joints", "w1", "h_next", "c_next", "before_next", "spatial", "spread", "present", "left",
]  # fmt: skip


class StreamState(NamedTuple):
    """Memory of the temporal network for a batch of streams.

    Attributes:
        h, c: (B, hidden) of the LSTM.
        before: (B, 3K + 1) what a compact network said last; (B, 0) of the paper's.
    """

    h: Float32
    c: Float32
    before: Float32


class Step(NamedTuple):
    """What the network says of a batch of crops.

    Attributes:
        joints: (B, K, 3) relative to each crop's centre, in half cubes: where they lie, or where
            they are seen if `Network.uvd`.
        w1: (B, K, 3) weight of the temporal prediction (eq. 6).
        state: to be handed to the next step.
        spatial: (B, K, 3) the spatial network's prediction alone. This and what follows is None of
            the paper's networks, which do not say it.
        spread: (B, K) within which each joint lies two times in three, in half cubes.
        present: (B,) probability that there is a hand in the middle of the crop.
        left: (B,) probability that it is a left one.
    """

    joints: Float32
    w1: Float32
    state: StreamState
    spatial: Float32 | None = None
    spread: Float32 | None = None
    present: Float32 | None = None
    left: Float32 | None = None


class Asked(NamedTuple):
    """One stream's crop to look at.

    Attributes:
        crop: (M, M).
        state: the stream's memory, batch 1.
        shift: (3,) how far the crop's centre has moved since the memory's last frame, see
            `cadstn.tracking.turn.shift_seen`.
        first: whether no hand is followed yet.
    """

    crop: Float32
    state: StreamState
    shift: Float32
    first: bool = False


@dataclass(frozen=True)
class Network:
    """A loaded network and what its file says of itself.

    Attributes:
        session: onnxruntime's, or anything with its ``run``.
        skeleton: joint convention of its output.
        cube_mm: edge of the cube it was trained on.
        size: M, pixels along a crop's edge.
        hidden: length of the recurrent state.
        about: everything in the file's metadata.
        provider: one of `cadstn.tracking.runtime.PROVIDERS`.
        compact: whether it is one of `cadstn.models.compact`, which read how far the crop moved
            and say more than joints.
        upright: whether it knows right hands that point up best, see `cadstn.tracking.turn`.
        looks_first: whether it holds another network, which looks where no hand is followed yet and
            remembers nothing.
        follows_knuckles: whether it learned from cubes around followed hands' knuckles
            (``followed``), not around the mean of all joints, see
            `cadstn.synth.scene.sample_centers`.
    """

    session: Any
    skeleton: Skeleton
    cube_mm: float
    size: int
    hidden: int
    about: dict[str, str]
    provider: str = "cpu"
    compact: bool = False
    upright: bool = False
    looks_first: bool = False
    follows_knuckles: bool = False

    @property
    def uvd(self) -> bool:
        """Whether it says where joints are seen, not where they lie: see `turn_back`."""
        return self.compact

    @property
    def precision(self) -> str:
        """Precision of its arithmetic: ``float32`` or ``int8``."""
        return self.about.get("precision", "float32")

    def initial_state(self, batch: int = 1) -> StreamState:
        """Return the state of streams that have seen nothing."""
        zeros = np.zeros((batch, self.hidden), np.float32)
        said = 3 * len(self.skeleton) + 1 if self.compact else 0
        return StreamState(zeros, zeros, np.zeros((batch, said), np.float32))

    def center_of(self, joints_mm: NDArray[Any], *, first: bool = False) -> NDArray[np.float64]:
        """Where it wants the cube around joints (..., K, 3) mm: (..., 3).

        Args:
            joints_mm: of the frame before, or of the look before.
            first: whether no hand is followed yet.
        """
        around = joints_mm[..., KNUCKLES, :] if self.follows_knuckles and not first else joints_mm
        center: NDArray[np.float64] = around.sum(-2, dtype=np.float64) / around.shape[-2]
        return center

    def step(
        self,
        crops: Float32,
        state: StreamState,
        shift: Float32 | None = None,
        *,
        first: bool = False,
    ) -> Step:
        """Run one frame of every stream.

        Args:
            crops: (B, M, M).
            state: what the frames before left.
            shift: (B, 3) how far each crop's centre has moved since, in half cubes; None for not
                at all.
            first: whether the network that looks first is to look, if there is one.
        """
        feed = {"crops": crops, "h": state.h, "c": state.c}
        if not self.compact:
            joints, w1, h, c = self.session.run(["joints", "w1", "h_next", "c_next"], feed)
            return Step(joints, w1, StreamState(h, c, state.before))
        feed["shift"] = np.zeros((len(crops), 3), np.float32) if shift is None else shift
        feed["before"] = state.before
        if self.looks_first:
            feed["first"] = np.array(first)
        joints, w1, h, c, before, *said = self.session.run(_COMPACT_OUTPUTS, feed)
        return Step(joints, w1, StreamState(h, c, before), *said)

    def look(self, asked: Sequence[Asked]) -> list[Step]:
        """Run crops of several streams, each with its own memory, in one call.

        An int8 network scales its activations by the largest of the whole batch; there each stream
        runs by itself, so that none feels another. So it does where some follow and some do not.
        """
        if len({a.first for a in asked}) > 1 or len(asked) == 1 or self.precision == "int8":
            return [self.step(a.crop[None], a.state, a.shift[None], first=a.first) for a in asked]
        states = zip(*(a.state for a in asked), strict=True)
        out = self.step(
            np.stack([a.crop for a in asked]),
            StreamState(*(np.concatenate(part) for part in states)),
            np.stack([a.shift for a in asked]),
            first=asked[0].first,
        )
        return [_row(out, slice(i, i + 1)) for i in range(len(asked))]


def _row(out: Step, row: slice) -> Step:
    """One stream's part of what was said of a batch."""
    state = StreamState(*(part[row] for part in out.state))
    spatial, spread, present, left = (said if said is None else said[row] for said in out[3:])
    return Step(out.joints[row], out.w1[row], state, spatial, spread, present, left)
