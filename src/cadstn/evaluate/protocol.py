"""What each data set's test fixes: camera, joints and where its recording is cut.

Two evaluators that differ in any of these print different numbers for the same file, so they stand
here once and ``report`` prints them beside every result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cadstn.data import hands2017
from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, parse_camera
from cadstn.geometry.skeleton import HAND21, ICVL16, MSRA21, NYU14, NYU14_OF_36, Skeleton

_NO_CUTS = "a file of truth (.npz) gives the first frames of shots"


@dataclass(frozen=True)
class Protocol:
    """How one data set's test is scored."""

    name: str  # what the command line calls it
    camera: Camera  # turns the (u px, v px, d mm) of its files into mm
    skeleton: Skeleton  # the joints its files hold, in order
    joint_subset: str  # which of the set's labels those joints are, in words
    test_frames: int = 0  # frames of the whole test set; 0 where that is not fixed
    cuts: tuple[int, ...] = ()  # 0-based indices of the test frames that begin a new shot
    cut_rule: str = _NO_CUTS  # how the cuts were found, in words
    # whether each frame has its own; then only x y z in mm can be read
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


def protocol(name: str, camera: str | None = None) -> Protocol:
    """Return a protocol by name.

    Args:
        name: one of `PROTOCOLS`.
        camera: replaces the set's own, as `parse_camera` reads it: other evaluators used other
            focal lengths, 240.99 and 240.96 px for ICVL among them.

    Raises:
        CadstnError: for an unknown name, with the nearest known one, or an unreadable camera.
    """
    if name not in PROTOCOLS:
        raise CadstnError(f"no test set '{name}'", hint=nearest_name(name, PROTOCOLS))
    rules = PROTOCOLS[name]
    if camera is None:
        return rules
    given = parse_camera(camera)
    if not given.width:
        given = replace(given, width=rules.camera.width, height=rules.camera.height)
    return replace(rules, camera=given, several_cameras=False)
