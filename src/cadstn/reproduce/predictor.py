"""Networks that turn crops into joints: a folder of `cadstn train`, or an exported file."""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cadstn.data.bank import CropRule
from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.crop import Crop
from cadstn.geometry.skeleton import Skeleton, skeleton
from cadstn.io.files import error_context

if TYPE_CHECKING:
    from cadstn.tracking import Network
    from cadstn.tracking.hand import Track
    from cadstn.tracking.network import Step, StreamState
    from cadstn.train.family import Networks
    from cadstn.train.recipes import Recipe

Float32 = NDArray[np.float32]

_PAPER_CLIP = 16
_RECIPE = "recipe"  # key of a file's metadata that holds the training recipe as JSON
_AHEAD = np.array([0.0, 0.0, 4.0])  # where a cube is before the first frame

#: Which weights of a run's folder give a network's predictions.
STAGE_OF = {
    "cadstn": "fusion", "spatial": "spatial", "temporal": "temporal", "baseline": "baseline",
    "sliced": "sliced",
}  # fmt: skip


class Outputs(NamedTuple):
    """What a network predicts of T frames, relative to each crop's centre, in half cubes.

    Attributes:
        joints: (T, K, 3).
        spatial, temporal: (T, K, 3), the two predictions that fusion mixed; None without fusion.
        w1: (T, K, 3), the weight of the temporal prediction; None without fusion.
    """

    joints: Float32
    spatial: Float32 | None = None
    temporal: Float32 | None = None
    w1: Float32 | None = None


class Predictor(Protocol):
    """A network ready to predict.

    Attributes:
        network: ``cadstn``, ``spatial``, ``temporal``, ``baseline`` or ``sliced``.
        skeleton: joints of its output.
        rule: how its crops are cut.
        clip: T, the window that its temporal network was trained on.
        key: names its weights; other weights have another one.
    """

    network: str
    skeleton: Skeleton
    rule: CropRule
    clip: int
    key: str

    def run(self, crops: Float32, places: Float32, state: Any) -> tuple[Outputs, Any]:
        """Predict frames in order.

        Args:
            crops: (T, M, M) normalised depth.
            places: (T, 3) the crops' centres in half cubes, NaN where there is no crop; the paper's
                networks do not read them.
            state: what the frames before left; None begins afresh.

        Returns:
            The joints, and the state for the frames that follow.
        """


class RunPredictor:
    """Networks of a folder of `cadstn train`, in PyTorch."""

    def __init__(
        self, networks: Networks, recipe: Recipe, network: str, key: str, device: str = "cpu"
    ) -> None:
        from cadstn.train import assemble

        self.network, self.key, self._device = network, key, device
        self.skeleton, self.rule = skeleton(recipe.skeleton), recipe.crop_rule()
        self.clip = recipe.clip
        self._networks = {name: part.to(device).eval() for name, part in networks.items()}
        self._whole = assemble(self._networks, recipe) if network == "cadstn" else None
        self._compact = _Eager(self._networks, recipe, device) if recipe.traits.chained else None

    @property
    def remembers(self) -> bool:
        """Whether a prediction also depends on the frames before."""
        return self._compact is not None or self.network in ("cadstn", "temporal")

    def run(self, crops: Float32, places: Float32, state: Any) -> tuple[Outputs, Any]:
        """See `Predictor`."""
        import torch

        with torch.inference_mode():
            if self._compact is not None:
                return _follow(self._compact, crops, places, state)
            clip = torch.from_numpy(crops)[None].to(self._device)
            if self._whole is not None:
                out = self._whole(clip, state)
                parts = (out.joints, out.spatial, out.temporal, out.w1)
                return Outputs(*(part[0].cpu().numpy() for part in parts)), out.state
            part = self._networks[STAGE_OF[self.network]]
            if self.network == "temporal":
                joints, state = part(clip, state)
                return Outputs(joints[0].cpu().numpy()), state
            return Outputs(part(clip[0]).cpu().numpy()), None


class FilePredictor:
    """An exported network (.onnx), frame after frame.

    Its crops around the truth are cut as its recipe had them cut. A file without a recipe has those
    of a tracker: around the mean of the joints that its cubes stand around.

    Raises:
        CadstnError: if the recipe in its metadata is damaged.
    """

    def __init__(self, network: Network, key: str) -> None:
        self.network, self.key, self.loaded = "cadstn", key, network
        self.skeleton = network.skeleton
        tracked = "followed" if network.wants.center == "knuckles" else "tracked"
        try:
            recipe = json.loads(network.about.get(_RECIPE, "{}"))
            self.clip = operator.index(recipe.get("clip", _PAPER_CLIP))
            self.rule = CropRule(
                network.skeleton.name,
                network.wants.cube_mm,
                {str(who): float(mm) for who, mm in recipe.get("cubes_mm", {}).items()},
                network.wants.size,
                recipe.get("center", tracked),
            )
        except (ValueError, TypeError, AttributeError, RecursionError, CadstnError) as error:
            raise CadstnError(
                f"the recipe in the network's metadata is damaged ({error})",
                hint="export the run again",
            ) from None

    @property
    def names_crops(self) -> bool:
        """Whether the file holds how its crops are cut."""
        return _RECIPE in self.loaded.about

    def run(self, crops: Float32, places: Float32, state: Any) -> tuple[Outputs, Any]:
        """See `Predictor`."""
        return _follow(self.loaded, crops, places, state)


class _Eager:
    """Compact networks in PyTorch, run as an exported network is."""

    def __init__(self, networks: Networks, recipe: Recipe, device: str) -> None:
        self._networks, self._device = networks, device
        self._joints, self.wants = recipe.net.joints, recipe.wanted()

    def initial_state(self, batch: int = 1) -> StreamState:
        """Return the memory of streams that have seen nothing."""
        from cadstn.tracking.network import StreamState

        h = np.zeros((batch, self.wants.hidden), np.float32)
        return StreamState(h, h, np.zeros((batch, 3 * self._joints + 1), np.float32))

    def center_of(self, joints_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Where cubes are is given; the joints' mean serves as well as any."""
        return np.asarray(joints_mm.mean(-2, dtype=np.float64))

    def step(self, crops: Float32, state: StreamState, shift: Float32 | None = None) -> Step:
        """See `cadstn.tracking.Network.step`."""
        import torch

        from cadstn.models import Memory
        from cadstn.tracking.network import Step, StreamState
        from cadstn.train.compact import compact_step

        shift = np.zeros((len(crops), 3), np.float32) if shift is None else shift
        inputs = (torch.from_numpy(a).to(self._device) for a in (crops, shift, *state))
        read, moved, *memory = inputs
        out = compact_step(self._networks, read, moved, Memory(*memory))
        self.temporal = None if out.temporal is None else out.temporal.cpu().numpy()
        after = StreamState(*(part.cpu().numpy() for part in out.memory)) if out.memory else state
        numpy: dict[str, Any] = {
            name: None if value is None else value.cpu().numpy()
            for name, value in out._asdict().items()
            if name in ("joints", "w1", "spatial", "error_scale")
            or (name in ("presence", "handedness") and self.wants.answers)
        }
        return Step(state=after, **numpy)


def _follow(
    network: Network | _Eager, crops: Float32, places: Float32, state: Track | None
) -> tuple[Outputs, Track]:
    """Predict frames one after another; all lengths in half cubes."""
    from cadstn.tracking.canonical import joints_to_mm
    from cadstn.tracking.given import predict_given
    from cadstn.tracking.hand import Track

    track = state or Track(network.initial_state())
    frames: list[dict[str, Float32]] = []
    nothing = np.empty(0, np.intp)
    for image, place in zip(crops, places, strict=True):
        # Nothing moves where there is no crop.
        before = _AHEAD if track.crop_mm is None else track.crop_mm
        center = before if np.isnan(place).any() else np.asarray(place, np.float64)
        crop = Crop(image, center, 2.0, nothing, nothing)
        seen, track = predict_given(network, track, crop)
        parts = {
            "joints": seen.out.joints,
            "spatial": seen.out.spatial,
            "temporal": getattr(network, "temporal", None),
        }
        there_mm = {
            name: joints_to_mm(part[0], crop, seen.view.transform, uvd=network.wants.uvd)
            for name, part in parts.items()
            if part is not None
        }
        frames.append(
            {name: crop.to_normalised(mm).astype(np.float32) for name, mm in there_mm.items()}
        )
        if seen.out.w1 is not None:
            frames[-1]["w1"] = seen.out.w1[0]
    return Outputs(**{name: np.stack([f[name] for f in frames]) for name in frames[0]}), track


def load_predictor(path: Path | None, network: str | None = None, device: str = "cpu") -> Predictor:
    """Load a run's folder or an exported network.

    Args:
        path: a folder of `cadstn train`, an .onnx file, or None for the network that ships.
        network: which of the folder's networks; None for the largest that is there.
        device: ``cpu`` or ``cuda``, for a folder.

    Raises:
        CadstnError: if there is no such network, or it cannot be used.
    """
    if path is not None and not path.exists():
        raise CadstnError("no such run or weights", where=path, hint="cadstn train ... --out RUN")
    if path is None or path.is_file():
        if network not in (None, "cadstn"):
            raise CadstnError(
                f"an exported network is the whole, not '{network}'",
                where=path,
                hint="give the folder of the training run",
            )
        from cadstn.tracking.runtime import load_network

        with error_context(path or Path("shipped")):
            return FilePredictor(
                load_network(path), shipped_key() if path is None else _key([path])
            )
    return _load_run(path, network, device)


def _load_run(path: Path, network: str | None, device: str) -> RunPredictor:
    there = [name for name, stage in STAGE_OF.items() if (path / f"{stage}.safetensors").is_file()]
    if not there:
        raise CadstnError(
            "holds no finished network", where=path, hint="train first: cadstn train ... --out RUN"
        )
    if network is not None and network not in there:
        raise CadstnError(
            f"holds no finished '{network}'", where=path, hint=nearest_name(network, there)
        )
    network = network or there[0]
    try:
        from cadstn.train import load_networks
    except ImportError:
        raise CadstnError(
            "a training run needs PyTorch", where=path, hint="pip install 'cadstn[train]'"
        ) from None
    networks, recipe = load_networks(path, STAGE_OF[network])
    files = [path / f"{stage}.safetensors" for stage in networks]
    return RunPredictor(networks, recipe, network, _key(files), device)


def shipped_key() -> str:
    """Name the weights that ship, as ``key`` of a `Predictor` does."""
    from cadstn.tracking.runtime import shipped_weights

    with shipped_weights() as path:
        return _key([path])


def _key(files: list[Path]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
