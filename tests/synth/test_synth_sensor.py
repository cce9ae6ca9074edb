from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.synth.draws import Draws
from cadstn.synth.sensor import degrade
from cadstn.synth.sensors import SENSORS, Sensor, sample_sensor, sensor

SIZE = 64
STEP = 0.004  # tangent of an image's pixel


def draws(batch: int, seed: int = 1, first: int = 0) -> Draws:
    return Draws((seed,), torch.arange(first, first + batch))


def wall(batch: int, depth_mm: float = 500.0) -> Tensor:
    return torch.full((batch, SIZE, SIZE), depth_mm)


def square(batch: int = 1, behind_mm: float = math.inf) -> Tensor:
    """A plate at 500 mm from pixel 20 to 43."""
    depth = wall(batch, behind_mm)
    depth[:, 20:44, 20:44] = 500.0
    return depth


def ball(batch: int) -> Tensor:
    """A ball of 40 mm at 500 mm, slanted more and more towards its outline."""
    at = (torch.arange(SIZE) - SIZE / 2 + 0.5) * STEP * 500
    height = 40.0**2 - at[:, None] ** 2 - at**2
    return torch.where(height > 0, 500 - height.clamp(min=0).sqrt(), math.inf).repeat(batch, 1, 1)


def seen_by(depth: Tensor, like: Sensor, seed: int = 1, step: float = STEP) -> Tensor:
    count = len(depth)
    return degrade(depth, draws(count, seed), like, angle_per_pixel=torch.full((count,), step))


def only(name: str, value: float, batch: int = 1, **also: float) -> Sensor:
    """An ideal sensor but for one property."""
    return sensor("ideal", batch, **({name: value} | also))


def lost(noisy: Tensor, clean: Tensor) -> Tensor:
    return noisy.isinf() & clean.isfinite()


def test_ideal_sensor_changes_nothing() -> None:
    for clean in (ball(2), square(2, 700.0), wall(2, math.inf)):
        kept = clean.clone()
        torch.testing.assert_close(seen_by(clean, sensor("ideal", 2)), clean, rtol=0, atol=0)
        torch.testing.assert_close(clean, kept, rtol=0, atol=0)


def test_an_image_does_not_depend_on_its_batch() -> None:
    clean = torch.cat([ball(4), square(3, 650.0)])
    like, step = sample_sensor(draws(7).fork("sensor")), torch.linspace(0.002, 0.006, 7)
    together = degrade(clean, draws(7), like, angle_per_pixel=step)
    for i in range(7):
        alone = degrade(
            clean[i : i + 1],
            draws(1, first=i),
            Sensor(*(field[i : i + 1] for field in like)),
            angle_per_pixel=step[i : i + 1],
        )
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=0)


def test_noise_is_a_function_of_seed_and_index() -> None:
    clean, like = ball(3), sensor("kinect2", 3)
    once, again, other = (seen_by(clean, like, seed) for seed in (3, 3, 4))
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    assert (once != other).any()
    assert (once[0] != once[1]).any()


@pytest.mark.parametrize("depth_mm", [300.0, 600.0, 1100.0])
@pytest.mark.parametrize("grain", [0.0, 0.4, 1.0])
def test_noise_has_the_spread_that_is_asked_for(depth_mm: float, grain: float) -> None:
    like = only("noise_mm", 0.4, 24, noise_mm_1m=3.0, grain=grain)
    error = seen_by(wall(24, depth_mm), like) - depth_mm
    expected = 0.4 + 3.0 * (depth_mm / 1000) ** 2
    assert error.std().item() == pytest.approx(expected, rel=0.06)
    assert abs(error.mean().item()) < 0.15 * expected
    # Sums of bytes have no long tails: nothing is nearer than the surface by more than this.
    assert error.abs().max() < 5 * expected


def test_smooth_noise_is_smooth_and_may_keep_to_its_row() -> None:
    def steps(**properties: float) -> tuple[float, float]:
        error = seen_by(wall(8), only("noise_mm", 1.0, 8, **properties))
        return error.diff(dim=2).std().item(), error.diff(dim=1).std().item()

    across, down = steps(grain=1.0)
    assert across == pytest.approx(math.sqrt(2), rel=0.05)
    assert down == pytest.approx(math.sqrt(2), rel=0.05)
    across, down = steps(grain=0.0, texture_px=8.0, texture_rows_px=8.0)
    assert across < 0.35
    assert down < 0.35
    across, down = steps(grain=0.0, texture_px=8.0, texture_rows_px=1.0)
    assert across < 0.35
    assert down == pytest.approx(math.sqrt(2), rel=0.1)


def test_depth_comes_in_units_and_in_steps_of_disparity() -> None:
    ramp = torch.linspace(400, 900, SIZE * SIZE).view(1, SIZE, SIZE)
    units = seen_by(ramp, only("unit_mm", 0.125))
    assert ((units / 0.125) % 1 == 0).all()
    assert (units - ramp).abs().max() <= 0.0626
    stepped = seen_by(ramp, only("disparity_mm", 3.0))
    assert (stepped - ramp).abs().max() < 0.51 * 3.0 * 0.9**2
    levels = torch.unique(stepped)
    for level, gap in zip(levels[:-1].tolist(), levels.diff().tolist(), strict=True):
        assert gap == pytest.approx(3.0 * (level / 1000) ** 2, rel=0.02)


def test_holes_grow_with_their_chance_and_cover_what_they_say() -> None:
    shares = [
        seen_by(wall(32), only("holes", chance, 32)).isinf().float().mean().item()
        for chance in (0.0, 0.1, 0.4, 0.9)
    ]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[2] == pytest.approx(0.04, rel=0.35)
    assert shares[3] == pytest.approx(0.09, rel=0.2)


@pytest.mark.parametrize("name", ["lost_far", "lost_near"])
def test_edges_are_lost_only_near_edges(name: str) -> None:
    clean = square(4, 700.0)
    gone = lost(seen_by(clean, only(name, 1.0, 4, reach_px=2.0)), clean)
    far, near = gone & (clean == 700), gone & (clean == 500)
    assert far.any() == (name == "lost_far")
    assert near.any() == (name == "lost_near")
    # A cross of two pixels around the plate's outline, inside or outside.
    expected = 4 * 2 * 24
    assert (gone.flatten(1).sum(1) <= expected).all()
    assert gone[:, :18].sum() + gone[:, 46:].sum() + gone[:, 22:42, 22:42].sum() == 0
    half = lost(seen_by(clean, only(name, 0.5, 4, reach_px=2.0)), clean)
    assert 0.25 < half.sum() / gone.sum() < 0.75
    assert not lost(seen_by(clean, only(name, 0.0, 4)), clean).any()


def test_slanted_surfaces_are_lost_and_noisier() -> None:
    clean = ball(4)
    at = (torch.arange(SIZE) - SIZE / 2 + 0.5) * STEP * 500
    radius = (at[:, None].square() + at.square()).sqrt()
    middle, rim = radius < 24, (radius > 30) & (radius < 37)
    gone = lost(seen_by(clean, only("slant_lost", 0.7, 4)), clean)
    assert not gone[:, middle].any()
    assert gone[:, (radius > 36) & (radius < 38)].all()
    error = seen_by(clean, only("noise_mm", 0.5, 4, oblique=1.0)) - clean
    assert error[:, rim].std() > 1.4 * error[:, radius < 12].std()


def test_narrow_things_are_not_taken_for_slanted_ones() -> None:
    clean = wall(1, 700.0)
    clean[:, 10:50, 30:34] = 500.0
    gone = lost(seen_by(clean, only("slant_lost", 0.5, reach_px=6.0)), clean)
    assert not gone[0, 16:44].any()


def test_flying_pixels_lie_between_the_two_surfaces() -> None:
    clean = square(8, 700.0)
    noisy = seen_by(clean, only("flying", 0.5, 8))
    assert noisy.min() >= 500
    assert noisy.max() <= 700
    between = (noisy > 505) & (noisy < 695)
    assert between[:, 18:46, 18:46].any()
    between[:, 19:45, 19:45] = False
    assert not between.any()


def test_light_bleeds_at_edges_only() -> None:
    clean = square(1, 700.0)
    noisy = seen_by(clean, only("bleed_mm", 6.0))
    assert noisy[0, 20, 30] == 506
    assert noisy[0, 20, 20] == 512
    assert (noisy[0, 21:43, 21:43] == 500).all()
    assert (noisy[clean == 700] == 700).all()


def test_shadow_falls_away_from_the_light_and_is_as_wide_as_by_geometry() -> None:
    clean = square(1, 700.0)
    baseline = 30.0
    # The plate hides from the light what lies this many pixels beside it.
    wide = round(baseline * (1 / 500 - 1 / 700) / STEP)
    assert wide == 4
    left = lost(seen_by(clean, only("baseline_mm", baseline)), clean)
    right = lost(seen_by(clean, only("baseline_mm", -baseline)), clean)
    assert left[0, 30].nonzero().flatten().tolist() == [16, 17, 18, 19]
    assert right[0, 30].nonzero().flatten().tolist() == [44, 45, 46, 47]
    assert left.sum() == right.sum() == 24 * wide
    assert not lost(seen_by(wall(1), only("baseline_mm", 75.0)), wall(1)).any()


def test_coarse_sensor_has_fewer_pixels() -> None:
    ramp = torch.linspace(400, 500, SIZE).repeat(1, SIZE, 1)
    coarse = seen_by(ramp, only("step", 4 * STEP))
    runs = coarse[0, 0].diff() != 0
    assert runs.sum() == SIZE / 4 - 1
    assert (runs.nonzero().flatten() % 4 == 3).all()
    fine = seen_by(ramp, only("step", STEP / 3))
    torch.testing.assert_close(fine, ramp, rtol=0, atol=0)
    noise = seen_by(wall(1), only("step", 4 * STEP, noise_mm=1.0))
    assert (noise[0, ::4].repeat_interleave(4, 0) == noise[0]).all()


def test_aim_wobbles_at_outlines_only() -> None:
    clean = square(8)
    noisy = seen_by(clean, only("wobble_px", 1.0, 8, lateral_px=0.5))
    changed = noisy.isinf() != clean.isinf()
    assert changed.any()
    assert not changed[:, 26:38, 26:38].any()
    changed[:, 14:50, 14:50] = False
    assert not changed.any()


def test_nothing_beyond_range_and_ghosts_where_nothing_is() -> None:
    assert seen_by(wall(1, 1200.0), only("range_mm", 1000.0)).isinf().all()
    empty = wall(16, math.inf)
    ghosts = seen_by(empty, only("speckle", 0.1, 16))
    assert ghosts.isfinite().float().mean().item() == pytest.approx(0.1, rel=0.1)
    assert ghosts[ghosts.isfinite()].min() > 0


@pytest.mark.parametrize("name", SENSORS)
def test_named_sensors_keep_a_ball_a_ball(name: str) -> None:
    clean = ball(6)
    noisy = seen_by(clean, sensor(name, 6), step=STEP)
    assert not noisy.isnan().any()
    kept = noisy.isfinite() & clean.isfinite()
    assert kept.sum() > 0.75 * clean.isfinite().sum()
    error = (noisy - clean)[kept]
    assert error.median().abs() < 2.0
    torch.testing.assert_close(noisy, seen_by(clean, sensor(name, 6)), rtol=0, atol=0)


def test_drawn_sensors_differ_and_leave_a_ball_to_see() -> None:
    clean = ball(64)
    like = sample_sensor(draws(64).fork("sensor"))
    noisy = seen_by(clean, like)
    assert not noisy.isnan().any()
    kept = noisy.isfinite() & clean.isfinite()
    assert kept.flatten(1).sum(1).min() > 0.3 * clean[0].isfinite().sum()
    middle = (slice(None), slice(24, 40), slice(24, 40))
    spread = (noisy - clean)[middle].flatten(1).nan_to_num(posinf=0).std(1)
    assert spread.min() < 0.7
    assert spread.max() > 4.0
    for name, field in zip(Sensor._fields, like, strict=True):
        assert len(torch.unique(field)) > 60 or name in ("wrap_mm", "wrong")
    alone = sample_sensor(draws(1, first=9).fork("sensor"))
    for many, one in zip(like, alone, strict=True):
        assert many[9] == one[0]


def test_half_of_all_kinds_of_sensors_are_like_named_ones() -> None:
    count = 400
    plain = sample_sensor(draws(count).fork("sensor"))
    every = sample_sensor(draws(count).fork("sensor"), "all")
    same = torch.stack([a == b for a, b in zip(plain, every, strict=True)]).all(0)
    assert 0.42 < same.float().mean() < 0.58
    # By a ratio that no noise hides: of raster to range, every named sensor occurs.
    named = [name for name in SENSORS if name not in ("ideal", "nyu_primesense")]
    for name in named:
        like = sensor(name)
        near = torch.stack([
            (field / value).log().abs() < 0.75
            for field, value in zip(every, like, strict=True)
            if float(value) > 0 and field is not every.wrap_mm
        ]).all(0)  # fmt: skip
        assert near.sum() >= 8, name
    assert 0 < (every.wrap_mm > 0).float().mean() < 0.1
    assert all(field.isfinite().all() for field in every)
    noisy = seen_by(ball(64), Sensor(*(field[:64] for field in every)))
    kept = noisy.isfinite() & ball(64).isfinite()
    assert kept.flatten(1).sum(1).min() > 0.3 * ball(1).isfinite().sum()
    with pytest.raises(CadstnError, match="unknown kinds"):
        sample_sensor(draws(2), "most")


def test_depth_is_counted_modulo_a_wavelength_but_a_hand_never_is() -> None:
    like = only("wrap_mm", 1500.0, 2)
    assert (seen_by(wall(2, 1400.0), like) == 1400).all()
    assert (seen_by(wall(2, 2000.0), like) == 500).all()
    assert seen_by(wall(2, math.inf), like).isinf().all()
    near = only("wrap_mm", 1500.0, 2, range_mm=900.0).covering(torch.tensor([1800.0, 1200.0]))
    assert near.wrap_mm.tolist() == [1800.0, 1500.0]
    assert near.range_mm.tolist() == [1800.0, 1200.0]
    assert sensor("ideal", 2).covering(torch.tensor([1800.0, 1200.0])).wrap_mm.tolist() == [0, 0]


def test_some_holes_are_dots_of_another_depth() -> None:
    holes, some, dots = (
        seen_by(wall(32), only("holes", 0.6, 32, wrong=share)) for share in (0.0, 0.4, 1.0)
    )
    gone = holes.isinf()
    assert torch.equal(dots != 500, gone)
    assert dots.isfinite().all()
    assert 10 < (dots[gone] - 500).abs().mean() < 30
    assert 0.25 < (some.isfinite() & gone).sum() / gone.sum() < 0.55


def test_frames_of_one_sensor_share_its_amounts_and_not_its_noise() -> None:
    one = sample_sensor(draws(1, 5))
    same = Sensor(*(field.expand(6) for field in one))
    noisy = seen_by(wall(6), same)
    spread = torch.stack([frame[frame.isfinite()].std() for frame in noisy])
    assert spread.max() < 1.4 * spread.min()
    assert (noisy[0] != noisy[1]).any()


def test_frame_need_not_be_square() -> None:
    frame = torch.full((2, 48, 65), math.inf)
    frame[:, 20:30, 40:60] = 500.0
    noisy = degrade(frame, draws(2), sensor("kinect2", 2), angle_per_pixel=torch.full((2,), 0.003))
    assert noisy.shape == frame.shape
    seen = noisy.isfinite().nonzero()
    assert seen[:, 1].min() >= 15
    assert seen[:, 2].min() >= 35
    assert noisy[:, 24:26, 48:52].isfinite().all()


def test_unknown_sensor_or_property_is_refused() -> None:
    with pytest.raises(CadstnError, match=r"unknown sensor 'kinect9'.*kinect2"):
        sensor("kinect9")
    with pytest.raises(CadstnError, match="no colour"):
        sensor("kinect2", colour=1.0)


@pytest.mark.parametrize(
    ("name", "focal_px", "baseline_mm", "step_px", "error_px"),
    [
        ("nyu_primesense", 580, 75, 1 / 8, None), ("d435", 424, 50, 1 / 32, 0.08),
        ("d415", 1005, 55, 1 / 32, 0.08), ("oak_d", 441, 75, 1 / 8, 0.25),
    ],
)  # fmt: skip
def test_stereo_follows_from_its_geometry(
    name: str, focal_px: float, baseline_mm: float, step_px: float, error_px: float | None
) -> None:
    """At 1 m a pixel of disparity is z^2 / (f b) of depth."""
    like, of_a_pixel = SENSORS[name], 1000**2 / (focal_px * baseline_mm)
    assert like["disparity_mm"] == pytest.approx(of_a_pixel * step_px, rel=0.02)
    if error_px is not None:
        assert like["noise_mm_1m"] == pytest.approx(of_a_pixel * error_px, rel=0.02)
        assert like["baseline_mm"] == baseline_mm
        assert like["step"] == pytest.approx(1 / focal_px)


@pytest.mark.parametrize(
    ("name", "metres", "sigma_mm"), [("l515", 1, 2.5), ("l515", 9, 15.5), ("ds325", 0.5, 13.0)]
)
def test_noise_is_as_its_source_has_it(name: str, metres: float, sigma_mm: float) -> None:
    like = sensor(name)
    sigma = float(like.noise_mm + like.noise_mm_1m * metres**2)
    assert sigma == pytest.approx(sigma_mm, rel=0.1)
