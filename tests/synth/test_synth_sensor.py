from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from cadstn.synth.raster import cast, crop_view
from cadstn.synth.scene import sample_centers, sample_scene
from cadstn.synth.sensor import degrade

SIZE = 64
WIDE = 10  # pixels over which an outline can be displaced


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wall(batch: int, depth_mm: float = 500.0) -> Tensor:
    return torch.full((batch, SIZE, SIZE), depth_mm)


def rendered(count: int) -> Tensor:
    rng = np.random.default_rng(1)
    scene = sample_scene(rng, count, 1)
    return cast(scene.cones, crop_view(sample_centers(rng, scene.joints_xyz_mm, 1), 250.0, SIZE))


def test_noise_is_a_function_of_the_generator() -> None:
    clean = rendered(4)
    kept = clean.clone()
    once, again, other = (degrade(clean, generator(seed)) for seed in (3, 3, 4))
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    assert (once != other).any()
    torch.testing.assert_close(clean, kept, rtol=0, atol=0)


def test_nothing_stays_nothing() -> None:
    empty = wall(8, math.inf)
    torch.testing.assert_close(degrade(empty, generator()), empty, rtol=0, atol=0)


def test_flat_wall_keeps_its_place_and_loses_little() -> None:
    noisy = degrade(wall(64), generator())
    lost = noisy.isinf().flatten(1).float().mean(1)
    assert lost.max() < 0.08
    assert 0 < lost.mean() < 0.02
    error = noisy[noisy.isfinite()] - 500
    assert abs(error.mean().item()) < 0.05
    assert error.std() < math.hypot(2.5, 2.0)
    assert error.abs().max() < 6 * math.hypot(2.5, 2.0)


def test_amounts_differ_between_images() -> None:
    noisy = degrade(wall(64), generator())
    spread = torch.stack([image[image.isfinite()].std() for image in noisy])
    assert spread.min() < 0.7
    assert spread.max() > 1.8


def test_outline_moves_only_a_little() -> None:
    square = wall(32, math.inf)
    square[:, 20:44, 20:44] = 500.0
    noisy = degrade(square, generator())
    outside = torch.ones(SIZE, SIZE, dtype=torch.bool)
    outside[20 - WIDE : 44 + WIDE, 20 - WIDE : 44 + WIDE] = False
    assert noisy[:, outside].isinf().all()
    inside = noisy[:, 20 + WIDE : 44 - WIDE, 20 + WIDE : 44 - WIDE]
    assert inside.isinf().float().mean() < 0.05
    assert ((noisy - 500).abs()[noisy.isfinite()] < 25).all()


def test_flying_pixels_lie_between_the_two_surfaces() -> None:
    step = wall(32)
    step[:, :, SIZE // 2 :] = 700.0
    noisy = degrade(step, generator())
    seen = noisy[noisy.isfinite()]
    assert seen.min() > 475
    assert seen.max() < 725
    between = ((seen > 530) & (seen < 670)).float().mean()
    assert 0 < between < 0.02


def test_hands_stay_recognisable() -> None:
    clean = rendered(32)
    noisy = degrade(clean, generator())
    assert not noisy.isnan().any()
    seen = clean.isfinite()
    # A few images' sensors are poor at outlines, of which a spread hand has many.
    assert (noisy.isinf() & seen).sum() / seen.sum() < 0.15
    assert (noisy.isfinite() & ~seen).float().mean() < 0.03
    both = noisy.isfinite() & seen
    error = (noisy - clean)[both]
    assert error.abs().median() < 2.5
    assert abs(error.median().item()) < 0.5


def test_frames_of_one_sensor_share_its_amounts_and_not_its_noise() -> None:
    noise = generator(1)
    frames = [degrade(wall(4), noise, generator(8)) for _ in range(6)]
    spread = torch.stack([f[f.isfinite()].std() for frame in frames for f in frame])
    assert spread.max() < 1.3 * spread.min()
    assert (frames[0] != frames[1]).any()
    other = degrade(wall(4), noise, generator(9))
    assert not 0.95 < other[other.isfinite()].std() / spread.mean() < 1.05


def test_frame_need_not_be_square() -> None:
    frame = torch.full((2, 48, 65), math.inf)
    frame[:, 20:30, 40:60] = 500.0
    noisy = degrade(frame, generator())
    assert noisy.shape == frame.shape
    seen = noisy.isfinite().nonzero()
    assert seen[:, 1].min() >= 20 - WIDE
    assert seen[:, 2].min() >= 40 - WIDE
    assert noisy[:, 24:26, 48:52].isfinite().any()
