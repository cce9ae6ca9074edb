"""Fields of ROS 2 messages for a tracked hand, without ROS: whoever has the types fills them in.

A frame's messages are in metres in the camera's optical frame (x right, y down, z forward, as
REP 103 has it), which is the frame that cadstn tracks in.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from cadstn import HAND21
from cadstn.tracking import Hand
from cadstn.tracking.openxr import openxr_hand

#: Makes a message: a type's name, such as ``geometry_msgs/msg/Pose``, and all of its fields.
Make = Callable[..., Any]

_SPHERE_LIST, _LINE_LIST = 7, 5
_ADD, _DELETE = 0, 2
_JOINT_M, _BONE_M = 0.012, 0.006


def header(make: Make, time_s: float, frame_id: str) -> Any:
    """A std_msgs/Header."""
    sec, nanosec = divmod(round(time_s * 1e9), 1_000_000_000)
    stamp = make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def pose(make: Make, position: Any = (0, 0, 0), orientation: Any = (0, 0, 0, 1)) -> Any:
    """A geometry_msgs/Pose of m and x, y, z, w."""
    point = make("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, position), strict=True)))
    turn = dict(zip("xyzw", map(float, orientation), strict=True))
    turned = make("geometry_msgs/msg/Quaternion", **turn)
    return make("geometry_msgs/msg/Pose", position=point, orientation=turned)


def pose_array(make: Make, hand: Hand, time_s: float, frame_id: str) -> Any:
    """A geometry_msgs/PoseArray of OpenXR's 26 joints; empty of a hand that is lost.

    Of each joint -z points along its bone to the fingertip and y out of the back of the hand.
    """
    poses = []
    if hand.found and hand.side != "unknown":
        xr = openxr_hand(hand.joints_mm, hand.side)
        # A half turn about x, from OpenXR's y up and z backward to the camera's.
        positions = xr.position_m * (1, -1, -1)
        x, y, z, w = xr.orientation.T
        for position, orientation in zip(positions, np.stack([w, -z, y, -x], 1), strict=True):
            poses.append(pose(make, position, orientation))
    return make("geometry_msgs/msg/PoseArray", header=header(make, time_s, frame_id), poses=poses)


def marker_array(make: Make, hand: Hand, time_s: float, frame_id: str, place: int = 0) -> Any:
    """A visualization_msgs/MarkerArray of joints and bones; a hand that is lost is deleted."""
    joints, bones = [], []
    if hand.found:
        points = [
            make("geometry_msgs/msg/Point", x=float(x), y=float(y), z=float(z))
            for x, y, z in hand.joints_mm / 1000
        ]
        joints, bones = points, [points[i] for bone in HAND21.bones for i in bone]
    markers = [
        _marker(make, header(make, time_s, frame_id), 2 * place + number, kind, size, points)
        for number, (kind, size, points) in enumerate(
            [(_SPHERE_LIST, _JOINT_M, joints), (_LINE_LIST, _BONE_M, bones)]
        )
    ]
    return make("visualization_msgs/msg/MarkerArray", markers=markers)


def _marker(make: Make, head: Any, number: int, kind: int, size_m: float, points: list[Any]) -> Any:
    return make(
        "visualization_msgs/msg/Marker",
        header=head,
        ns="cadstn",
        id=number,
        type=kind,
        action=_ADD if points else _DELETE,
        pose=pose(make),
        scale=make("geometry_msgs/msg/Vector3", x=size_m, y=size_m, z=size_m),
        color=make("std_msgs/msg/ColorRGBA", r=0.1, g=0.6, b=1.0, a=1.0),
        lifetime=make("builtin_interfaces/msg/Duration", sec=0, nanosec=0),
        frame_locked=False,
        points=points,
        colors=[],
        texture_resource="",
        texture=make(
            "sensor_msgs/msg/CompressedImage", header=head, format="", data=np.zeros(0, np.uint8)
        ),
        uv_coordinates=[],
        text="",
        mesh_resource="",
        mesh_file=make("visualization_msgs/msg/MeshFile", filename="", data=np.zeros(0, np.uint8)),
        mesh_use_embedded_materials=False,
    )
