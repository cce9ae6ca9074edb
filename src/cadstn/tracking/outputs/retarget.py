"""Joint values of a robot hand that follows a tracked one (the extra ``robots``).

The kinematics and the solver are dexi-rs's; its package carries the URDF of each hand. The method
is that of AnyTeleop (Qin et al. 2023): the vectors from the robot's wrist to its fingertips, and of
the Shadow hand to its finger joints, are to equal the person's. Each finger is scaled so that it is
straight when the person's is, the thumb as the index finger, so that a pinch stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, library, nearest_name
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.angles import Array, palm_axes, wrist_pose

#: The library's own defaults (0.02 m, 0.004) end its search some 10 degrees away from joint values
#: that fit exactly; with these it is 1 degree.
_HUBER_M, _STAY = 2e-3, 1e-4


@dataclass(frozen=True)
class RobotHand:
    """A robot hand, by the names of its URDF.

    Attributes:
        name: as dexi-rs and dex-urdf have it.
        origin: the link that stands for the wrist.
        links: which link follows which joint of `HAND21`. The tips of index and middle finger and
            of the last finger are among them.
        held: joints that stay at zero: those of a robot's wrist, which the arm rotates.
        free: joints that are solved for; None for all that are not held.
    """

    name: str
    origin: str
    links: dict[str, str]
    held: tuple[str, ...] = ()
    free: tuple[str, ...] | None = None


_SHADOW = {"thumb": "th", "index": "ff", "middle": "mf", "ring": "rf", "pinky": "lf"}

ROBOT_HANDS = {
    "shadow": RobotHand(
        "shadow_hand",
        "palm",
        {
            HAND21.joints[HAND21.fingers[finger][place]]: f"{short}{part}"
            for part, place in (("tip", 3), ("distal", 2), ("middle", 1))
            for finger, short in _SHADOW.items()
        },
        held=("WRJ2", "WRJ1"),
    ),
    "allegro": RobotHand(
        "allegro_hand",
        "wrist",
        {"thumb_tip": "link_15.0_tip", "index_tip": "link_3.0_tip", "middle_tip": "link_7.0_tip",
         "ring_tip": "link_11.0_tip"},
    ),
    "inspire": RobotHand(
        "inspire_hand",
        "base",
        {f"{finger}_tip": f"{finger}_tip" for finger in HAND21.fingers},
        # The others follow these through the gears of the hand.
        free=("thumb_proximal_yaw_joint", "thumb_proximal_pitch_joint",
              *(f"{finger}_proximal_joint" for finger in ("index", "middle", "ring", "pinky"))),
    ),
    "leap": RobotHand(
        "leap_hand",
        "base",
        {f"{f}_tip": f"{f}_tip_head" for f in ("thumb", "index", "middle", "ring")},
    ),
}  # fmt: skip


class Retargeter:
    """Converts the joints of a person's hand into those of a robot's, frame by frame.

    Each solution begins at the last one and stays near it; there is no other smoothing.

    Args:
        hand: a name of `ROBOT_HANDS`.
        side: ``left`` or ``right``, of the person and of the robot.
        reach_mm: (5,) of the person, see `reach_mm`.

    Attributes:
        joint_names: the J joints of the URDF.
        limits: (2, J) radians, the lowest and the highest value of each joint.
        rotation: (3, 3) rotates the palm's axes (`cadstn.tracking.angles`) into those of the URDF.

    Raises:
        CadstnError: if dexi-rs is missing, the hand or the side is unknown, or the reach is none.
    """

    def __init__(self, hand: str, side: str, reach_mm: Array) -> None:
        if hand not in ROBOT_HANDS:
            raise CadstnError(f"no hand '{hand}'", hint=nearest_name(hand, ROBOT_HANDS))
        if side not in ("left", "right"):
            raise CadstnError(f"side is '{side}'", hint="give left or right")
        if np.shape(reach_mm) != (5,) or not (np.asarray(reach_mm) > 0).all():
            raise CadstnError(f"reach_mm is {reach_mm}", hint="give five lengths, see reach_mm()")
        self.hand, self.side = ROBOT_HANDS[hand], side
        links = _links(self.hand, side)
        self._human = [HAND21.index(joint) for joint in links]
        self._solver = _solver(self.hand, side, list(links.values()))
        self.joint_names: list[str] = self._solver.joint_names
        self.limits = _limits(self.hand, side, self.joint_names)
        self._held = [0.0] * len(self.hand.held)
        straight = self._vectors_m(np.zeros(len(self.joint_names)))
        tips = {j.removesuffix("_tip"): straight[k] for k, j in enumerate(links) if "_tip" in j}
        last = list(tips)[-1]
        across = tips["index"] - tips[last]
        self.rotation = palm_axes(tips["middle"], across if side == "right" else -across)
        reach = dict(zip(HAND21.fingers, np.asarray(reach_mm).tolist(), strict=True))
        scale = {f: float(np.linalg.norm(tip)) / reach[f] for f, tip in tips.items()}
        scale["thumb"] = scale["index"]
        self._scale = np.array([scale[joint.partition("_")[0]] for joint in links])

    def __call__(self, joints_mm: NDArray[Any]) -> Array:
        """Return the robot's joint values: (J,) radians, within the limits of its URDF.

        Args:
            joints_mm: (21, 3) of `HAND21`, camera frame. Of a lost hand, NaN, the values are NaN,
                and the next hand begins anew.
        """
        if not np.isfinite(joints_mm).all():
            self._solver.reset()
            return np.full(len(self.joint_names), np.nan)
        target = self.target_m(joints_mm).ravel().tolist()
        # The solver goes a thousandth past the limits.
        return np.asarray(np.clip(self._solver.retarget(target, self._held), *self.limits))

    def target_m(self, joints_mm: NDArray[Any]) -> Array:
        """Return where a person wants the robot's links: (L, 3) m from its wrist, URDF's axes."""
        joints = np.asarray(joints_mm, np.float64)
        palm = wrist_pose(joints, self.side).rotation
        vectors = (joints[self._human] - joints[0]) @ palm @ self.rotation.T
        return np.asarray(vectors * self._scale[:, None])

    def distance_mm(self, joints_mm: NDArray[Any], values: Array) -> Array:
        """Return how far each of the robot's links is from where the person wants it: (L,) mm."""
        away = self._vectors_m(values) - self.target_m(joints_mm)
        return np.asarray(np.linalg.norm(away, axis=1) * 1000)

    def root_pose(self, joints_mm: NDArray[Any]) -> tuple[Array, Array]:
        """Return where the robot's wrist is, (3,) mm, and the rotation of its URDF's axes, (3, 3).

        In the camera frame, such that the robot's fingers lie along the person's.
        """
        pose = wrist_pose(joints_mm, self.side)
        return pose.position_mm, pose.rotation @ self.rotation.T

    def places_m(self, values: Array, links: Sequence[str]) -> Array:
        """Return where links of the URDF are, (L, 3) m in its root frame, at joint values (J,)."""
        return np.array(self._solver.link_positions(values.tolist(), list(links)))

    def _vectors_m(self, values: Array) -> Array:
        links = _links(self.hand, self.side).values()
        places = self.places_m(values, [self.hand.origin, *links])
        return np.asarray(places[1:] - places[0])


def reach_mm(joints_mm: NDArray[Any]) -> Array:
    """Return how far a person's straight fingers would reach from the wrist: (5,) mm, thumb first.

    Args:
        joints_mm: (N, 21, 3); frames with NaN are left out, of the others it is the median.

    Raises:
        CadstnError: if every frame is lost.
    """
    joints = np.asarray(joints_mm, np.float64)
    joints = joints[np.isfinite(joints).all((1, 2))]
    if not len(joints):
        raise CadstnError("no hand in any frame", hint="cadstn track shows what was seen")
    chains = joints[:, [(0, *chain) for chain in HAND21.fingers.values()]]
    bones = np.linalg.norm(np.diff(chains, axis=2), axis=-1)
    return np.asarray(np.median(bones.sum(2), axis=0))


def _links(hand: RobotHand, side: str) -> dict[str, str]:
    """Links by joint. Allegro numbers its fingers from the right, whichever hand it is."""
    if hand.name != "allegro_hand" or side == "right":
        return hand.links
    swap = {"index_tip": "ring_tip", "ring_tip": "index_tip"}
    return {joint: hand.links[swap.get(joint, joint)] for joint in hand.links}


def _urdf(hand: RobotHand, side: str) -> tuple[Any, Path, str]:
    """Return dexi-rs, the folder of its URDFs and a hand's file in there."""
    with library("robot hands need dexi-rs", "robots"):
        import dexi_rs
    return dexi_rs, dexi_rs.asset_path("robots/hands"), f"{hand.name}/{hand.name}_{side}.urdf"


def _limits(hand: RobotHand, side: str, joints: list[str]) -> Array:
    _, folder, name = _urdf(hand, side)
    held = {
        joint.get("name"): limit
        for joint in ElementTree.parse(folder / name).iter("joint")
        if (limit := joint.find("limit")) is not None
    }
    ends = [[float(held[joint].get(end, "nan")) for joint in joints] for end in ("lower", "upper")]
    return np.array(ends)


def _solver(hand: RobotHand, side: str, links: list[str]) -> Any:
    dexi_rs, folder, name = _urdf(hand, side)

    def build(free: list[str] | None) -> Any:
        return dexi_rs.RetargetingConfig(
            "vector", name, urdf_dir=folder,
            target_origin_link_names=[hand.origin] * len(links), target_task_link_names=links,
            target_link_human_indices=[[0] * len(links), [1] * len(links)],
            target_joint_names=free, huber_delta=_HUBER_M, normal_delta=_STAY, low_pass_alpha=1.0,
        ).build()  # fmt: skip

    if hand.held:
        return build([name for name in build(None).joint_names if name not in hand.held])
    return build(None if hand.free is None else list(hand.free))
