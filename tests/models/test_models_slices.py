from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor, nn

from cadstn.models import slice_volume

Floats = NDArray[np.float32]

depths = st.one_of(
    st.just(1.0),
    st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5]),  # ties and exact bin edges
    st.floats(-1, 1, width=32, allow_subnormal=False),
)
images = arrays(np.float32, (2, 4, 5), elements=depths)
counts = st.integers(1, 11)


def oracle(crops: Floats, slices: int) -> Floats:
    """Section III-B, pixel by pixel, in float32."""
    volume = np.zeros((len(crops), slices, *crops.shape[1:]), np.float32)
    for b, crop in enumerate(crops):
        surface = [d for d in crop.flat if d < 1]
        if not surface:
            continue
        near, far = min(surface), max(surface)
        for y, row in enumerate(crop):
            for x, depth in enumerate(row):
                if depth >= 1:
                    continue
                if near == far:
                    bin_index = 0
                else:
                    position = (depth - near) * np.float32(slices) / (far - near)
                    bin_index = min(int(position), slices - 1)
                volume[b, bin_index, y, x] = 1
    return volume


def random_crops(count: int, size: int, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    crops = random.uniform(-1, 1, (count, size, size)).astype(np.float32)
    crops[random.random(crops.shape) < 0.4] = 1
    return crops


@given(images, counts)
def test_equals_the_triple_loop(crops: Floats, slices: int) -> None:
    volume = slice_volume(torch.from_numpy(crops), slices)
    assert volume.dtype == torch.float32
    np.testing.assert_array_equal(volume.numpy(), oracle(crops, slices))


@given(images, counts)
def test_each_surface_pixel_lies_in_exactly_one_slice(crops: Floats, slices: int) -> None:
    volume = slice_volume(torch.from_numpy(crops), slices).numpy()
    np.testing.assert_array_equal(volume.sum(axis=1), (crops < 1).astype(np.float32))


@given(images, counts)
def test_nearest_pixel_is_in_the_first_slice_and_farthest_in_the_last(
    crops: Floats, slices: int
) -> None:
    volume = slice_volume(torch.from_numpy(crops), slices).numpy()
    for crop, layers in zip(crops, volume, strict=True):
        surface = crop[crop < 1]
        if surface.size and surface.min() < surface.max():
            assert (layers[0][crop == surface.min()] == 1).all()
            assert (layers[-1][crop == surface.max()] == 1).all()


@pytest.mark.parametrize("slices", [1, 3, 8])
def test_agrees_with_the_papers_intervals_in_millimetres(slices: int) -> None:
    crops = random_crops(4, 32)
    volume = slice_volume(torch.from_numpy(crops), slices).numpy()
    checked = 0
    for crop, layers in zip(crops, volume, strict=True):
        mm = 612.5 + crop.astype(np.float64) * 150
        near, far = mm[crop < 1].min(), mm[crop < 1].max()
        bin_mm = (far - near) / slices
        for number in range(slices):
            low, high = near + bin_mm * number, near + bin_mm * (number + 1)
            clear = (abs(mm - low) > 1e-3) & (abs(mm - high) > 1e-3)
            inside = (mm > low) & (mm < high) & (crop < 1)
            np.testing.assert_array_equal(layers[number][clear] == 1, inside[clear])
            checked += int(inside[clear].sum())
    assert checked > 2000


def test_no_surface_is_all_zeros() -> None:
    assert not slice_volume(torch.ones(2, 16, 16), 8).any()


def test_flat_surface_lies_in_the_first_slice() -> None:
    crops = torch.ones(1, 4, 4)
    crops[0, 1:3, 1:3] = 0.3
    volume = slice_volume(crops, 8)
    assert volume.sum() == 4
    assert volume[0, 0, 1:3, 1:3].all()


def test_images_of_a_batch_do_not_see_one_another() -> None:
    crops = torch.from_numpy(random_crops(3, 8)) * torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1)
    singles = torch.cat([slice_volume(crop[None], 8) for crop in crops])
    assert torch.equal(slice_volume(crops, 8), singles)


class Slices(nn.Module):
    def forward(self, crops: Tensor) -> Tensor:
        return slice_volume(crops, 8)


@pytest.mark.filterwarnings("ignore")
def test_exported_graph_is_bit_equal(tmp_path: Path) -> None:
    path = str(tmp_path / "slices.onnx")
    torch.onnx.export(
        Slices(),
        (torch.ones(2, 32, 32),),
        path,
        dynamo=True,
        verbose=False,
        input_names=["crops"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    flat = np.ones((1, 32, 32), np.float32)
    flat[0, 4:9] = -0.2
    grid = np.linspace(-1, 1, 1024, dtype=np.float32).reshape(1, 32, 32)  # on every bin edge
    batches = [random_crops(32, 32, seed) for seed in range(4)]
    for crops in [*batches, np.ones((1, 32, 32), np.float32), flat, grid]:
        (exported,) = session.run(None, {"crops": crops})
        np.testing.assert_array_equal(exported, slice_volume(torch.from_numpy(crops), 8).numpy())
