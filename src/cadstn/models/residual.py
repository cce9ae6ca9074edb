"""Blocks of the compact trunk: residual (He et al. 2016), with batch normalisation.

Source of the normalisation: Ioffe and Szegedy 2015.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Normalised(nn.Module):
    """A convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        padding = 0 if stride == kernel else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, inputs, S, S) to (N, outputs, S / stride, S / stride)."""
        out: Tensor = self.norm(self.conv(images))
        return out


class Residual(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Normalised(width, width, 3)
        self.second = Normalised(width, width, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, width, S, S) to as many."""
        return functional.relu(images + self.second(functional.relu(self.first(images))))


class Stage(nn.Module):
    """Halve the image's sides, unless it is the first stage, then some residual blocks."""

    def __init__(self, inputs: int, outputs: int, blocks: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = Normalised(inputs, outputs, 3, 2) if halve else None
        self.blocks = nn.ModuleList(Residual(outputs) for _ in range(blocks))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, inputs, S, S) to (N, outputs, S / 2, S / 2), in the first stage (…, S, S)."""
        if self.halve is not None:
            images = functional.relu(self.halve(images))
        for block in self.blocks:
            images = block(images)
        return images


class Ascent(nn.Module):
    """Bring a coarse image to the next finer one, and mix the two."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.narrow = Normalised(coarse, fine, 1)
        self.mix = Residual(fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Map (N, coarse, S, S) and (N, fine, 2S, 2S) to (N, fine, 2S, 2S)."""
        enlarged = functional.interpolate(self.narrow(coarse), scale_factor=2.0, mode="nearest")
        mixed: Tensor = self.mix(functional.relu(fine + enlarged))
        return mixed
