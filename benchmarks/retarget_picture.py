"""Draw a Shadow hand that follows the packaged recording: docs/retarget.png.

python benchmarks/retarget_picture.py docs/retarget.png
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("agg")
from matplotlib import pyplot as plt

from cadstn import HAND21, Tracker, open_recording
from cadstn.tracking.angles import wrist_pose
from cadstn.tracking.outputs.retarget import Retargeter, reach_mm
from cadstn.tracking.outputs.robot_csv import tracked_hand

FRAMES = (0, 45, 75, 110)
SHOWN = ("FFJ3", "FFJ2", "MFJ3", "MFJ2", "THJ4")
COLORS = dict(zip(HAND21.fingers, ("C3", "C0", "C2", "C1", "C4"), strict=True))


def draw(axes, chains, title):
    for (finger, color), chain in zip(COLORS.items(), chains, strict=True):
        axes.plot(*np.transpose(chain), "o-", color=color, ms=2.5, lw=1.8, label=finger)
    axes.view_init(10, -25)
    axes.set_box_aspect((1, 1, 1.2), zoom=1.5)
    axes.set(xlim=(-90, 90), ylim=(-90, 90), zlim=(0, 216), title=title)
    axes.set_axis_off()


def main():
    hand = tracked_hand(open_recording("demo"), Tracker())
    retarget = Retargeter("shadow", hand.side, reach_mm(hand.joints_mm))
    values = np.array([retarget(joints) for joints in hand.joints_mm])
    robot = [
        [
            retarget.hand.origin,
            *(f"{short}{part}" for part in ("proximal", "middle", "distal", "tip")),
        ]
        for short in ("th", "ff", "mf", "rf", "lf")
    ]
    figure = plt.figure(figsize=(9, 7))
    grid = figure.add_gridspec(3, len(FRAMES), height_ratios=(3, 3, 2), hspace=0.12, wspace=0)
    for column, frame in enumerate(FRAMES):
        joints = hand.joints_mm[frame]
        local = (joints - joints[0]) @ wrist_pose(joints, hand.side).rotation @ retarget.rotation.T
        mine = [local[[0, *chain]] * 1.3 for chain in HAND21.fingers.values()]
        place = [retarget.places_m(values[frame], links) * 1000 for links in robot]
        place = [chain - chain[0] for chain in place]
        draw(
            figure.add_subplot(grid[0, column], projection="3d"),
            mine,
            f"{hand.time_s[frame]:.1f} s",
        )
        draw(figure.add_subplot(grid[1, column], projection="3d"), place, "")
    for row, name in ((0, "tracked, x 1.3"), (1, "Shadow hand")):
        figure.text(0.08, 0.76 - 0.29 * row, name, rotation=90, va="center")
    below = figure.add_subplot(grid[2, :])
    for name in SHOWN:
        joint = np.degrees(values[:, retarget.joint_names.index(name)])
        below.plot(hand.time_s, joint, label=name)
    below.set(xlabel="s", ylabel="degrees")
    where = {"loc": "lower right", "bbox_to_anchor": (1, 0.98)}
    below.legend(ncol=len(SHOWN), fontsize=8, frameon=False, **where)
    below.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(sys.argv[1]), dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main()
