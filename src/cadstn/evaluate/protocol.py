"""What each data set's test fixes: camera, joints and where its recording is cut.

Two evaluators that differ in any of these print different numbers for the same file, so they stand
here once and ``report`` prints them beside every result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cadstn.data import hands2017
from cadstn.data.dataset import jump_starts
from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, parse_camera
from cadstn.geometry.skeleton import HAND21, ICVL16, MSRA21, NYU14, NYU14_OF_36, Skeleton
from cadstn.io.joints import FloatArray

_NO_CUTS = "a file of truth (.npz) gives the first frames of shots"


@dataclass(frozen=True)
class Protocol:
    """How one data set's test is scored.

    Attributes:
        name: what the command line calls it.
        camera: turns the (u px, v px, d mm) of its files into mm.
        skeleton: the joints its files hold, in order.
        joint_subset: which of the set's labels those joints are, in words.
        test_frames: frames of the whole test set; 0 where that is not fixed.
        cuts: 0-based indices of the test frames that begin a new shot.
        cut_rule: how the cuts were found, in words.
        several_cameras: whether each frame has its own; then only x y z in mm can be read.
    """

    name: str
    camera: Camera
    skeleton: Skeleton
    joint_subset: str
    test_frames: int = 0
    cuts: tuple[int, ...] = ()
    cut_rule: str = _NO_CUTS
    several_cameras: bool = False

    @property
    def camera_text(self) -> str:
        """The camera in words, or that there are several."""
        c = self.camera
        if self.several_cameras:
            return "each frame's own"
        return f"fx {c.fx:g}, fy {c.fy:g}, cx {c.cx:g}, cy {c.cy:g} px"

    @property
    def title(self) -> str:
        """The name as people write it: ``NYU``, ``rendered NYU``."""
        return " ".join(w if w == "rendered" else w.upper() for w in self.name.split("-"))

    def note_of_cuts(self, frames: int) -> str:
        """A sentence on a truth that has another number of frames than the test; else empty."""
        if not self.test_frames or frames == self.test_frames:
            return ""
        return (
            f"the truth has {frames} frames where {self.name}'s test has {self.test_frames}; the "
            "cuts are those of the whole test"
        )


#: Every set that can be opened, by name. NYU's and ICVL's published tests are fixed; of the others
#: the file of truth has the cuts. To add a set, add its line here. Sources:
#: NYU, Tompson 2014, cuts measured in its test labels (frame 2440 is where the subject changes;
#: exactly at these 17 the 14 joints move over 40 mm on average, while their centroid moves only
#: 26 mm at 5722); ICVL, Tang 2014, whose test is two recordings of 702 and 894 frames.
PROTOCOLS: dict[str, Protocol] = {
    "nyu": Protocol(
        name="nyu",
        camera=KNOWN_CAMERAS["nyu"],
        skeleton=NYU14,
        joint_subset=f"labels {', '.join(map(str, NYU14_OF_36))} of 36",
        test_frames=8252,
        cuts=(
            2440, 3136, 4690, 4860, 4883, 5405, 5722, 6051, 6196,
            6557, 6562, 6731, 6734, 7054, 7171, 7222, 7375,
        ),
        cut_rule="the joints of the truth jump over 40 mm on average",
    ),
    "icvl": Protocol(
        name="icvl",
        camera=KNOWN_CAMERAS["icvl"],
        skeleton=ICVL16,
        joint_subset="all 16 labels",
        test_frames=1596,
        cuts=(702,),
        cut_rule="the second test recording begins",
    ),
    "msra": Protocol("msra", KNOWN_CAMERAS["msra"], MSRA21, "all 21 labels"),
    "hands2017": Protocol("hands2017", hands2017.CAMERA, HAND21, "all 21 labels, as hand21"),
    "dexycb": Protocol("dexycb", hands2017.CAMERA, HAND21, "all 21 labels", several_cameras=True),
    "recordings": Protocol(
        "recordings", hands2017.CAMERA, HAND21, "all 21 labels", several_cameras=True
    ),
}  # fmt: skip


def is_published_test(rules: Protocol, truth_xyz_mm: FloatArray) -> bool:
    """Whether a truth (N, K, 3) mm is the set's published test, which the paper's figures are of.

    A rendered set may have as many frames: at each known cut the true joints must jump as well.
    """
    known = PROTOCOLS.get(rules.name)
    if known is None or not known.test_frames or len(truth_xyz_mm) != known.test_frames:
        return False
    return bool(jump_starts(truth_xyz_mm)[list(known.cuts)].all())


def protocol(name: str | Protocol, camera: str | None = None) -> Protocol:
    """Return a protocol by name.

    Args:
        name: one of `PROTOCOLS`; a protocol stands for itself.
        camera: replaces the set's own, as `parse_camera` reads it: other evaluators used other
            focal lengths, 240.99 and 240.96 px for ICVL among them.

    Raises:
        CadstnError: for an unknown name, with the nearest known one, or an unreadable camera.
    """
    if isinstance(name, Protocol):
        rules = name
    elif isinstance(name, str) and name in PROTOCOLS:
        rules = PROTOCOLS[name]
    else:
        raise CadstnError(f"no test set '{name}'", hint=nearest_name(str(name), PROTOCOLS))
    if camera is None:
        return rules
    given = parse_camera(camera)
    if not given.width:
        given = replace(given, width=rules.camera.width, height=rules.camera.height)
    return replace(rules, camera=given, several_cameras=False)
