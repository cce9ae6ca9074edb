"""What each data set's test fixes: camera, joints and where its recording is cut.

Two evaluators that differ in any of these print different numbers for the same file, so they stand
here once and ``report`` prints them beside every result.
"""

from __future__ import annotations

from dataclasses import dataclass

from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera
from cadstn.geometry.skeleton import ICVL16, NYU14, NYU14_OF_36, Skeleton


@dataclass(frozen=True)
class Protocol:
    """How one data set's test is scored.

    Attributes:
        name: what the command line calls it.
        camera: turns the (u px, v px, d mm) of its files into mm.
        skeleton: the joints its files hold, in order.
        joint_subset: which of the set's labels those joints are, in words.
        test_frames: frames of the whole test set.
        cuts: 0-based indices of the test frames that begin a new shot.
        cut_rule: how the cuts were found, in words.
    """

    name: str
    camera: Camera
    skeleton: Skeleton
    joint_subset: str
    test_frames: int
    cuts: tuple[int, ...]
    cut_rule: str

    @property
    def title(self) -> str:
        """The name as people write it: ``NYU``, ``rendered NYU``."""
        return " ".join(w if w == "rendered" else w.upper() for w in self.name.split("-"))


#: The field's published test sets. Sources: NYU, Tompson 2014, cuts measured in its test labels
#: (frame 2440 is where the subject changes; exactly at these 17 the 14 joints move over 40 mm on
#: average, while their centroid moves only 26 mm at 5722); ICVL, Tang 2014, whose test is two
#: recordings of 702 and 894 frames.
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
}  # fmt: skip


def protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        CadstnError: for an unknown name, with the nearest known one.
    """
    if name not in PROTOCOLS:
        raise CadstnError(f"no test set '{name}'", mend=nearest_name(name, PROTOCOLS))
    return PROTOCOLS[name]
