"""The compute graphs of other published networks, to be timed beside ours.

Re-created at their published sizes with random weights, for their speed alone; layers as described
in the papers, no code of theirs: A2J (Xiong et al., ICCV 2019: ResNet-50 with its last two stages
at stride 16, 176 x 176, three branches of four 3x3 convolutions of 256 and an output layer for 16
anchors a cell), AWR (Huang et al., AAAI 2020: ResNet-18, three deconvolutions of 256, four maps a
joint at 32 x 32 from 128 x 128), V2V-PoseNet (Moon et al., CVPR 2018: an encoder and decoder of 3D
residual blocks on 88^3 voxels), DeepPrior++ (Oberweger and Lepetit, ICCVW 2017: a ResNet of four
stages of five bottleneck blocks on 128 x 128, two layers of 1024, a bottleneck of 30).
"""

# ruff: noqa: D101, D102, D103  # the docstring describes the layers

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

JOINTS = 14


def conv(i: int, o: int, k: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    # Batch normalisation is folded into the convolution by every runtime: a bias stands for it.
    return nn.Sequential(
        nn.Conv2d(i, o, k, stride, dilation * (k // 2), dilation), nn.ReLU(inplace=True)
    )


class Block(nn.Module):
    """A residual block: two 3x3 (basic), or 1x1, 3x3, 1x1 (bottleneck)."""

    def __init__(self, i: int, mid: int, o: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        if mid == o:
            self.body = nn.Sequential(
                conv(i, mid, 3, stride, dilation), nn.Conv2d(mid, o, 3, 1, dilation, dilation)
            )
        else:
            self.body = nn.Sequential(
                conv(i, mid, 1), conv(mid, mid, 3, stride, dilation), nn.Conv2d(mid, o, 1)
            )
        same = stride == 1 and i == o
        self.skip = nn.Identity() if same else nn.Conv2d(i, o, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def stage(i: int, mid: int, o: int, count: int, stride: int, dilation: int = 1) -> nn.Sequential:
    first = Block(i, mid, o, stride, dilation)
    return nn.Sequential(first, *(Block(o, mid, o, 1, dilation) for _ in range(count - 1)))


def branch(i: int, o: int) -> nn.Sequential:
    return nn.Sequential(conv(i, 256, 3), *(conv(256, 256, 3) for _ in range(3)),
                         nn.Conv2d(256, o, 3, padding=1))  # fmt: skip


class A2J(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1),
                                  stage(64, 64, 256, 3, 1), stage(256, 128, 512, 4, 2),
                                  stage(512, 256, 1024, 6, 2))  # fmt: skip
        self.last = stage(1024, 512, 2048, 3, 1, dilation=2)
        self.offset, self.depth = branch(2048, 16 * JOINTS * 2), branch(2048, 16 * JOINTS)
        self.response = branch(1024, 16 * JOINTS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        common = self.stem(x)
        last = self.last(common)
        return self.offset(last), self.depth(last), self.response(common)


def awr() -> nn.Module:
    def up(i: int) -> nn.Sequential:
        return nn.Sequential(nn.ConvTranspose2d(i, 256, 4, 2, 1), nn.ReLU(inplace=True))

    return nn.Sequential(
        conv(1, 64, 7, 2), nn.MaxPool2d(3, 2, 1), stage(64, 64, 64, 2, 1),
        stage(64, 128, 128, 2, 2), stage(128, 256, 256, 2, 2), stage(256, 512, 512, 2, 2),
        up(512), up(256), up(256), nn.Conv2d(256, 4 * JOINTS, 1),
    )  # fmt: skip


def deep_prior() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.MaxPool2d(2), stage(32, 16, 64, 5, 2),
        stage(64, 32, 128, 5, 2), stage(128, 64, 256, 5, 2), stage(256, 64, 256, 5, 1),
        nn.Flatten(), nn.Linear(256 * 64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
        nn.Linear(1024, 30), nn.Linear(30, 3 * JOINTS),
    )  # fmt: skip


class Block3(nn.Module):
    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(i, o, 3, padding=1), nn.ReLU(),
                                  nn.Conv3d(o, o, 3, padding=1))  # fmt: skip
        self.skip = nn.Identity() if i == o else nn.Conv3d(i, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


class V2V(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv3d(1, 16, 7, padding=3), nn.ReLU(), nn.MaxPool3d(2),
                                   Block3(16, 32), Block3(32, 32), Block3(32, 32))  # fmt: skip
        self.down1, self.mid1 = nn.MaxPool3d(2), Block3(32, 64)
        self.down2, self.mid2 = nn.MaxPool3d(2), Block3(64, 128)
        self.deep, self.rise2 = Block3(128, 128), Block3(128, 128)
        self.up2, self.rise1 = nn.ConvTranspose3d(128, 64, 2, 2), Block3(64, 64)
        self.up1 = nn.ConvTranspose3d(64, 32, 2, 2)
        self.skip1, self.skip2 = Block3(32, 32), Block3(64, 64)
        self.back = nn.Sequential(Block3(32, 32), nn.Conv3d(32, 32, 1), nn.ReLU(),
                                  nn.Conv3d(32, 32, 1), nn.ReLU(),
                                  nn.Conv3d(32, JOINTS, 1))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        y = self.mid1(self.down1(x))
        z = self.rise2(self.deep(self.mid2(self.down2(y))))
        y = self.rise1(torch.relu(self.up2(z)) + self.skip2(y))
        out: Tensor = self.back(torch.relu(self.up1(y)) + self.skip1(x))
        return out


PEERS = {
    "a2j": ("A2J, ResNet-50, 176x176", A2J, (1, 3, 176, 176)),
    "awr": ("AWR, ResNet-18, 128x128", awr, (1, 1, 128, 128)),
    "v2v": ("V2V-PoseNet, 88^3", V2V, (1, 1, 88, 88, 88)),
    "deepprior": ("DeepPrior++, 128x128", deep_prior, (1, 1, 128, 128)),
}


def gflop(model: nn.Module, example: Tensor) -> float:
    """Twice the multiply-adds of convolutions and dense layers, counted as they run."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(example)
    return float(counter.get_total_flops()) / 1e9


def export_peers(folder: Path) -> dict[str, Path]:
    """Export every one as ONNX.

    Returns:
        Files by name; the name gives input size and GFLOP.
    """
    files = {}
    for key, (name, make, shape) in PEERS.items():
        model, example = make().eval(), torch.rand(shape)
        path = folder / f"{key}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (example,), str(path), dynamo=False)
        files[f"{name} ({gflop(model, example):.2f} GFLOP)"] = path
    return files
