"""Tracked hands for other programs: the command retarget, and where ``live`` sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cadstn.cli.shared import CAMERA, PATTERN, SCALE, WEIGHTS, echo, frames_bar, scaled_camera
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.geometry.camera import Camera
    from cadstn.io import BadFrame
    from cadstn.tracking.live import Tracked
    from cadstn.tracking.network import Network
    from cadstn.tracking.outputs.lerobot import LeRobotWriter
    from cadstn.tracking.outputs.robot_csv import Sequence21
    from cadstn.tracking.outputs.senders import Datagrams


@contextmanager
def targets(
    network: Network,
    joints: str,
    pose: bool,
    on_line: Callable[[str], None],
    *,
    osc: str | None,
    udp: str | None,
    lerobot: Path | None,
    task: str | None,
) -> Iterator[list[Callable[[Tracked], None]]]:
    """What to call with each frame of ``live``; closed at the end.

    Args:
        network: of the tracker.
        joints: order of the joints.
        pose: whether to send angles and gestures.
        on_line: called with each line for the user.
        osc: address for OSC.
        udp: address for JSON.
        lerobot: folder for a data set.
        task: of that data set, in words.

    Raises:
        CadstnError: if an address is none, the folder is taken, or a library is missing.
    """
    from cadstn.tracking.outputs.senders import Datagrams, Osc, udp_lines

    with ExitStack() as opened:
        sinks: list[Callable[[Tracked], None]] = []
        for address, make in ((udp, udp_lines), (osc, Osc)):
            if address is not None:
                target = Datagrams(address, lambda line: on_line(f"warning: {line}"))
                opened.callback(_close, target, on_line)
                sinks.append(make(target, network.skeleton, joints, pose))
        if lerobot is not None:
            from cadstn.tracking.outputs.lerobot import TASK, LeRobotWriter

            writer = LeRobotWriter(lerobot, network.skeleton, TASK if task is None else task)
            opened.callback(_sum_up, writer, on_line)  # once it is closed
            sinks.append(opened.enter_context(writer))
        yield sinks


def _sum_up(writer: LeRobotWriter, on_line: Callable[[str], None]) -> None:
    if writer.dropped > 0:
        share = writer.dropped / (writer.frames + writer.dropped)
        on_line(
            f"the data set lacks {share:.0%} of the source's frames: its timestamp counts those "
            "that are there, observation.time_s is the source's clock"
        )


def _close(target: Datagrams, on_line: Callable[[str], None]) -> None:
    from cadstn.io.text import counted

    target.close()
    if target.lost:
        on_line(f"{target.name}: {counted(target.lost, 'datagram')} could not be sent")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--hand", required=True, type=click.Choice(["shadow", "allegro", "inspire", "leap"]),
              help="The robot hand.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="CSV file to write.")
@click.option("--side", type=click.Choice(["left", "right"]),
              help="Follow the hand of this side; if not given, that of most frames.")  # fmt: skip
@click.option("--hand-eye", type=click.Path(path_type=Path),
              help="JSON file of a 4 x 4 matrix from the camera frame to the robot's base frame, "
              "and its unit: mm or m.")  # fmt: skip
@click.option("--base-frame", metavar="NAME", help="Name of that frame.  [default: base]")
@CAMERA
@SCALE
@PATTERN
@WEIGHTS
def retarget(
    path: Path,
    hand: str,
    out: Path,
    side: str | None,
    hand_eye: Path | None,
    base_frame: str | None,
    camera: str | None,
    scale: float | None,
    pattern: str | None,
    weights: Path | None,
) -> None:
    r"""Write the joint values of a robot hand that follows the hand in a recording.

    PATH is a recording, as of 'cadstn track', or the joints.npz that it wrote. Of a recording the
    first hand is followed; each hand of 'cadstn track --hands 2' has a file of its own. A row a
    frame: the joints of the robot's URDF by name, in radians, and the pose of its wrist in metres,
    in the camera frame or in --base-frame. Needs the extra 'robots'.

    \b
    cadstn retarget my_recording --hand shadow --out joints.csv
    cadstn retarget result/joints.npz --hand leap --hand-eye camera_to_base.json --out joints.csv
    """
    from cadstn.io.whole import keep_inputs
    from cadstn.tracking.outputs.hand_eye import read_hand_eye
    from cadstn.tracking.outputs.robot_csv import read_tracked_hand, write_robot_csv

    if base_frame is not None and hand_eye is None:
        raise CadstnError("--base-frame needs the camera's place in it", hint="give --hand-eye")
    keep_inputs(out, [path, hand_eye, weights])
    transform = None if hand_eye is None else read_hand_eye(hand_eye)
    if path.suffix.lower() == ".npz" and _holds_joints(path):
        given = {"--camera": camera, "--scale": scale, "--pattern": pattern, "--weights": weights}
        for option in (option for option, value in given.items() if value is not None):
            raise CadstnError(f"{option} is of recordings", where=path, hint="leave it out")
        followed = read_tracked_hand(path)
    else:
        followed = _tracked(path, scaled_camera(path, camera, scale), pattern, weights)
    frame = "camera" if transform is None else base_frame or "base"
    with frames_bar("solving", len(followed.names)) as step:
        robot = write_robot_csv(
            followed, hand, out, side=side, hand_eye=transform, frame=frame, on_frame=step
        )
    found = int((robot.values == robot.values).all(1).sum())
    echo(
        f"{found} of {len(robot.values)} frames, {len(robot.joint_names)} joints; fingertips "
        f"{robot.distance_mm:.1f} mm from the hand's, scaled (median)"
    )
    if robot.other:
        echo(f"{robot.other} frames show the other hand: left out; --side chooses", err=True)
    echo(f"wrote {out}")


def _holds_joints(path: Path) -> bool:
    """Whether an ``.npz`` file holds tracked joints, and not the frames of a recording."""
    from cadstn.io.arrays import npz_names
    from cadstn.io.files import error_context

    with error_context(path):
        held = npz_names(path)
    return "joints_xyz_mm" in held and "depth" not in held


def _tracked(
    path: Path, camera: Camera | str | None, pattern: str | None, weights: Path | None
) -> Sequence21:
    from cadstn.io import open_recording, summed_up
    from cadstn.tracking import Tracker
    from cadstn.tracking.outputs.robot_csv import tracked_hand

    recording = open_recording(path, camera, pattern=pattern)
    bad: list[BadFrame] = []
    with frames_bar("tracking", len(recording)) as step:
        followed = tracked_hand(recording, Tracker(weights), bad.append, step)
    for line in summed_up(bad):
        echo(f"skipped: {line}", err=True)
    return followed
