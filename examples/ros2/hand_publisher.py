"""A ROS 2 node that publishes the hands a camera sees (Jazzy or newer).

python3 examples/ros2/hand_publisher.py realsense camera_depth_optical_frame

Topics: ``hand/poses`` (geometry_msgs/PoseArray, 26 joints) and ``hand/markers``
(visualization_msgs/MarkerArray, for RViz). A sourced ROS 2 brings rclpy; pip brings cadstn, which
needs Python 3.11: Humble's rclpy is of 3.10.
"""

import sys
from contextlib import suppress
from importlib import import_module

import hand_messages
import numpy as np
import rclpy

import cadstn
from cadstn.tracking.cameras import open_source


def make(name: str, **fields: object) -> object:
    """Make a message of rclpy's by its type's name."""
    package, _, kind = name.split("/")
    plain = {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in fields.items()}
    return getattr(import_module(f"{package}.msg"), kind)(**plain)


def main() -> None:
    """Publish until Ctrl-C."""
    source = sys.argv[1] if len(sys.argv) > 1 else "demo"
    frame_id = sys.argv[2] if len(sys.argv) > 2 else "camera_depth_optical_frame"
    rclpy.init()
    node = rclpy.create_node("cadstn_hand")
    types = (import_module("geometry_msgs.msg"), import_module("visualization_msgs.msg"))
    poses = node.create_publisher(types[0].PoseArray, "hand/poses", 10)
    markers = node.create_publisher(types[1].MarkerArray, "hand/markers", 10)
    tracker = cadstn.Tracker()
    with suppress(KeyboardInterrupt), open_source(source, real_time=True) as frames:
        for frame in frames:
            if frame.cut:  # a recording's next shot, or its beginning again
                tracker.reset()
            hand = tracker.update(frame.depth_mm, frame.camera, frame.time_s)
            now_s = node.get_clock().now().nanoseconds / 1e9
            poses.publish(hand_messages.pose_array(make, hand, now_s, frame_id))
            markers.publish(hand_messages.marker_array(make, hand, now_s, frame_id))
    node.destroy_node()
    rclpy.try_shutdown()  # after Ctrl-C rclpy itself has done so


if __name__ == "__main__":
    main()
