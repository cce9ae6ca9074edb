"""An exported network, frame by frame, and what its file records of how it wants to be run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import KNUCKLES, Skeleton
from cadstn.io.onnx_check import COMPACT_OUTPUTS, PAPER_OUTPUTS, run_network
from cadstn.tracking.decision import DEFAULT, Decision

if TYPE_CHECKING:
    from cadstn.tracking.detector import Detector

Float32 = NDArray[np.float32]

WANTS_KEY = "wants"
"""Key of a file's metadata that holds `Wants` as JSON."""


class StreamState(NamedTuple):
    """Memory of the temporal network for a batch of streams."""

    # h, c: (B, hidden) of the LSTM
    h: Float32
    c: Float32
    # (B, 3K + 1) the joints a compact network predicted last; (B, 0) of the paper's
    before: Float32


class Step(NamedTuple):
    """What the network predicts of a batch of crops."""

    # (B, K, 3) relative to each crop's centre, in half cubes: where they lie, or where they are
    # seen if `Wants.uvd`
    joints: Float32
    w1: Float32  # (B, K, 3) weight of the temporal prediction (eq. 6)
    state: StreamState  # for the next step
    # (B, K, 3) the spatial network's prediction alone. This and what follows is None of the paper's
    # networks, which do not predict it
    spatial: Float32 | None = None
    # (B, K) error scale of each joint: the 2/3 quantile, in half cubes
    error_scale: Float32 | None = None
    # (B,) probability that there is a hand in the middle of the crop. This and what follows is also
    # None without `Wants.answers`
    presence: Float32 | None = None
    handedness: Float32 | None = None  # (B,) probability that it is a left one


@dataclass(frozen=True)
class Wants:
    """What a network wants of its crops; stands in the file's metadata."""

    size: int  # M, pixels along a crop's edge
    cube_mm: float  # edge of the cube it was trained on
    hidden: int  # length of the recurrent state
    # whether it reads how far the crop moved and what it predicted last, and predicts presence,
    # side and error scales besides joints (`cadstn.models.compact`)
    compact: bool = False
    uvd: bool = False  # whether it predicts where joints are seen, not where they lie
    upright: bool = False  # whether it reads canonical views (`cadstn.tracking.canonical`)
    center: str = "all"  # joints that cubes stand around: ``knuckles`` or ``all``
    # whether the graph has an input ``first`` (files of 0.1.0: it chose another network for a
    # hand's first frame)
    first: bool = False
    decision: Decision = DEFAULT  # whether a new place is a hand
    # whether a compact network has learned presence and side, which no data set teaches; in files
    # that do not name it, it has
    answers: bool = True

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def of_file(about: dict[str, str], inputs: set[str]) -> Wants:
        """Read a file's metadata; those of 0.1.0 hold it in the training recipe.

        Raises:
            KeyError, ValueError, TypeError: if the metadata is not that of an exported network.
        """
        if WANTS_KEY in about:
            wants = Wants(**json.loads(about[WANTS_KEY]))
            return replace(wants, decision=Decision(*wants.decision))
        config, recipe = json.loads(about["config"]), json.loads(about.get("recipe", "{}"))
        compact = config.get("trunk") == "residual"
        return Wants(
            size=int(config["size"]),
            cube_mm=float(about["cube_mm"]),
            hidden=int(config["hidden"]),
            compact=compact,
            uvd=compact,
            upright=compact and bool(recipe.get("augment", {}).get("upright")),
            center="knuckles" if recipe.get("center") == "followed" else "all",
            first="first" in inputs,
        )

    def check(self, config: dict[str, Any]) -> None:
        """Refuse fields of other types than their own, or that contradict the networks' sizes.

        Raises:
            TypeError, ValueError: naming the field.
        """
        for name, like in asdict(Wants(size=1, cube_mm=1.0, hidden=1)).items():
            value = getattr(self, name)
            if type(value) is not type(like) and not (name == "cube_mm" and type(value) is int):
                raise TypeError(f"{name} is {value!r}")
        for name, least, most in (("size", 8, 1024), ("hidden", 1, 65536)):
            value = getattr(self, name)
            if value != config[name] or not least <= value <= most:
                raise ValueError(f"{name} is {value}, and {config[name]}")
        if self.compact != (config.get("trunk") == "residual"):
            raise ValueError(f"compact is {self.compact}")
        if self.upright and not self.answers:
            raise ValueError("upright is True, and answers False")
        if not 1 <= self.cube_mm <= 10_000:
            raise ValueError(f"cube_mm is {self.cube_mm}")
        self.decision.check()


@dataclass(frozen=True)
class Network:
    """A loaded network.

    Attributes:
        session: onnxruntime's, or anything with its ``run``.
        skeleton: joint convention of its output.
        wants: how it is to be run.
        about: everything else in the file's metadata.
        provider: one of `cadstn.tracking.runtime.PROVIDERS`.
        detector: finds hands in whole frames for it.
        own_detector: whether that is of its own file; files of 0.1.0 have none, and take the one
            that ships.
        file: its name, without the folder; empty of one that was not loaded from a file.
        sha256: of that file, as ``sha256sum`` prints it.
    """

    session: Any
    skeleton: Skeleton
    wants: Wants
    about: dict[str, str]
    provider: str = "cpu"
    detector: Detector | None = None
    own_detector: bool = False
    file: str = ""
    sha256: str = ""

    def __deepcopy__(self, memo: object) -> Network:
        """Itself: it has no state, and a session is not copied."""
        return self

    def __reduce__(self) -> NoReturn:
        raise CadstnError(
            "a network is not pickled, nor is a Tracker",
            hint="pickle tracker.state; load_network makes the network again",
        )

    @property
    def lacks(self) -> tuple[str, ...]:
        """What its file does not hold or predict that files of this version do."""
        return (
            *(() if self.own_detector else ("a detector (the package's finds hands for it)",)),
            *self._unpredicted,
            *(() if self.wants.upright else ("canonical views",)),
        )

    @property
    def _unpredicted(self) -> tuple[str, ...]:
        if not self.wants.compact:
            return ("presence, side and error scales",)
        return () if self.wants.answers else ("presence and side",)

    @property
    def precision(self) -> str:
        """Precision of its arithmetic: ``float32`` or ``int8``."""
        return self.about.get("precision", "float32")

    def initial_state(self, batch: int = 1) -> StreamState:
        """Return the state of streams that have seen nothing."""
        zeros = np.zeros((batch, self.wants.hidden), np.float32)
        values = 3 * len(self.skeleton) + 1 if self.wants.compact else 0
        return StreamState(zeros, zeros, np.zeros((batch, values), np.float32))

    def center_of(self, joints_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Where it wants the cube around joints (..., K, 3) mm: (..., 3)."""
        around = joints_mm[..., KNUCKLES, :] if self.wants.center == "knuckles" else joints_mm
        center: NDArray[np.float64] = around.sum(-2, dtype=np.float64) / around.shape[-2]
        return center

    def step(self, crops: Float32, state: StreamState, shift: Float32 | None = None) -> Step:
        """Run one frame of every stream.

        Args:
            crops: (B, M, M).
            state: what the frames before left.
            shift: (B, 3) how far each crop's centre has moved since, in half cubes; None for not
                at all.
        """
        feed = {"crops": crops, "h": state.h, "c": state.c}
        if not self.wants.compact:
            joints, w1, h, c = run_network(self.session, PAPER_OUTPUTS, feed)
            return Step(joints, w1, StreamState(h, c, state.before))
        feed["shift"] = np.zeros((len(crops), 3), np.float32) if shift is None else shift
        feed["before"] = state.before
        if self.wants.first:
            feed["first"] = np.array(False)
        joints, w1, h, c, before, *rest = run_network(self.session, COMPACT_OUTPUTS, feed)
        out = Step(joints, w1, StreamState(h, c, before), *rest)
        return out if self.wants.answers else out._replace(presence=None, handedness=None)
