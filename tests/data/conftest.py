"""Small data sets in each layout, with random depth and joints that project into the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.data import dexycb, hands2017, icvl, msra, nyu
from cadstn.geometry.camera import Camera
from cadstn.io.files import write_png

Depth = NDArray[np.uint16]
Joints = NDArray[np.float64]


def some_depth(camera: Camera, count: int, seed: int = 0) -> Depth:
    """(count, H, W) mm just before `some_joints`, with a hole of unmeasured pixels."""
    rng = np.random.default_rng(seed)
    depth = rng.integers(480, 520, (count, camera.height, camera.width)).astype(np.uint16)
    depth[:, 5:9, 7:11] = 0
    return depth


def some_joints(camera: Camera, frames: int, joints: int, seed: int = 0) -> Joints:
    """(frames, joints, 3) of u px, v px, d mm in the middle of the image, moving slowly."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0.3, 0.7, (1, joints)) * camera.width + np.arange(frames)[:, None] * 0.5
    v = rng.uniform(0.3, 0.7, (1, joints)) * camera.height + np.zeros((frames, 1))
    d = rng.uniform(500, 600, (1, joints)) + np.zeros((frames, 1))
    return np.stack([u, v, d], -1)


@pytest.fixture
def make_nyu(tmp_path: Path) -> Callable[..., tuple[Path, Depth, Joints]]:
    """Write one split: root, depth and camera 1's joints."""

    def make(split: str = "test", frames: int = 6) -> tuple[Path, Depth, Joints]:
        folder = tmp_path / "nyu" / split
        folder.mkdir(parents=True)
        depth = some_depth(nyu.CAMERA, frames)
        uvd = np.stack([some_joints(nyu.CAMERA, frames, 36, seed) for seed in range(3)])
        for index in range(frames):
            nyu.write_frame(folder, index, depth[index])
        nyu.write_labels(folder, uvd, np.asarray(nyu.CAMERA.to_xyz_mm(uvd)))
        return tmp_path / "nyu", depth, uvd[0]

    return make


@pytest.fixture
def make_icvl(tmp_path: Path) -> Callable[..., tuple[Path, Depth, Joints]]:
    """Write one split in one of its layouts: root, depth and joints; two recordings of 4 and 2."""

    def make(split: str = "test", layout: int = 0) -> tuple[Path, Depth, Joints]:
        root = tmp_path / "icvl"
        chosen = icvl.LAYOUTS[split][layout]
        names = [f"201401011200/image_{i:04d}.png" for i in range(4)]
        names += [f"201402021200/image_{i:04d}.png" for i in range(2)]
        depth, uvd = some_depth(icvl.CAMERA, 6), some_joints(icvl.CAMERA, 6, 16)
        for name, image in zip(names, depth, strict=True):
            icvl.write_frame(root / chosen.depth, name, image)
        (root / chosen.labels[0]).parent.mkdir(parents=True, exist_ok=True)
        if len(chosen.labels) == 1:
            icvl.write_labels(root / chosen.labels[0], names, uvd)
        else:
            icvl.write_labels(root / chosen.labels[0], names[:4], uvd[:4])
            icvl.write_labels(root / chosen.labels[1], names[4:], uvd[4:])
        return root, depth, uvd

    return make


@pytest.fixture
def make_msra(tmp_path: Path) -> Callable[..., tuple[Path, NDArray[np.float32], Joints]]:
    """Write subjects with two gestures of 3 frames each: root, depth and joints of all frames."""

    def make(subjects: tuple[str, ...] = ("P0", "P3")) -> tuple[Path, Any, Joints]:
        root = tmp_path / "msra"
        depths: list[NDArray[np.float32]] = []
        joints: list[Joints] = []
        for subject in subjects:
            for gesture in ("1", "TIP"):
                folder = root / subject / gesture
                folder.mkdir(parents=True)
                depth = np.zeros((3, 240, 320), np.float32)
                rng = np.random.default_rng(len(depths))
                depth[:, 60:180, 80:240] = rng.uniform(480, 520, (3, 120, 160))
                uvd = some_joints(msra.CAMERA, 3, 21)
                xyz = np.asarray(msra.CAMERA.to_xyz_mm(uvd), np.float64)
                for index in range(3):
                    msra.write_bin(folder / msra.frame_name(index), depth[index])
                msra.write_labels(folder / "joint.txt", xyz)
                depths.append(depth)
                joints.append(xyz)
        return root, np.concatenate(depths), np.concatenate(joints)

    return make


def write_hands2017(root: Path, depth_mm: Depth, joints_xyz_mm: Joints) -> None:
    """Write (N, 480, 640) depth and (N, 21, 3) joints as the challenge's training set."""
    names = [f"image_D{index:08d}.png" for index in range(1, len(depth_mm) + 1)]
    for name, frame in zip(names, depth_mm, strict=True):
        write_png(root / hands2017.IMAGES / name, frame, hands2017.CAMERA)
    in_file = joints_xyz_mm[:, np.argsort(hands2017.IN_FILE)].reshape(len(names), 63).tolist()
    lines = (
        "\t".join([name, *(f"{value:.4f}" for value in row)])
        for name, row in zip(names, in_file, strict=True)
    )
    (root / hands2017.LABELS).write_text("\n".join(lines) + "\n")


def write_dexycb_label(folder: Path, index: int, joints_xyz_mm: Joints | None) -> None:
    """Write one frame's joints (21, 3), or None without a hand, into SUBJECT/SEQUENCE/SERIAL."""
    folder.mkdir(parents=True, exist_ok=True)
    joints = np.full((21, 3), dexycb.NO_HAND) if joints_xyz_mm is None else joints_xyz_mm / 1000
    np.savez(folder / f"labels_{index:06d}.npz", joint_3d=joints[None].astype(np.float32))


def write_dexycb_camera(root: Path, serial: str, camera: Camera) -> None:
    """Write a camera's ``SERIAL_640x480.yml``."""
    values = {"fx": camera.fx, "fy": camera.fy, "ppx": camera.cx, "ppy": camera.cy}
    lines = [f"  {name}: {value!r}" for name, value in values.items()]
    file = root / f"calibration/intrinsics/{serial}_640x480.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(("color:", *lines, "depth:", *lines)) + "\n")
