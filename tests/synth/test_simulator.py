"""What a seed renders, pinned: banks, recordings and sets go on by `SIMULATOR` alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.synth import SIMULATOR
from cadstn.synth.arguments import share, whole_number
from cadstn.synth.datasets import _sequence
from cadstn.synth.draws import Draws
from cadstn.synth.frames import Sequence
from cadstn.synth.layouts import LAYOUTS, plan
from cadstn.synth.scene import HAND_CONES, OTHER, Skin
from cadstn.synth.solids import Solids, cone_distance_mm, solid_distance_mm
from cadstn.synth.stream import sample_clips
from cadstn.synth.surroundings import EVERYDAY, Surroundings
from cadstn.synth.whole import sample_frames

SMALL = Camera(71.0, 71.0, 40.0, 30.0, 80, 60)
#: An index fingertip's x y z, the frames' mean, and the mean step between neighbours in a row. If
#: these change, so does what `SIMULATOR` names: give it a new name, and write the new numbers here.
PINNED = {
    "two hands": [-99.229, -241.975, 645.560, 200.665, 52.219],
    "a grasp": [-135.499, -56.566, 489.369, 821.462, 13.832],
    "icvl": [-51.808, -22.667, 503.775, 192.258, 64.068],
    "crops": [0.23671, 0.24987, 0.11578, 0.67509, 0.037574],
    "whole frames": [96.254, 110.887, 709.010, 713.432, 80.683],
}
NAMED = "0.1.0"


def facts(tip: NDArray[Any], images: NDArray[Any]) -> list[float]:
    images = images.astype(float)
    return [*map(float, tip), images.mean(), np.abs(np.diff(images)).mean()]


def of_sequence(sequence: Sequence) -> list[float]:
    return facts(sequence.joints_xyz_mm[-1, 8], np.stack(list(sequence.render())))


def rendered() -> dict[str, list[float]]:
    clips = sample_clips((4, 0), torch.arange(4), 2, held=0.5)
    whole = sample_frames((4, 0), torch.arange(2))
    return {
        "two hands": of_sequence(Sequence((12, 2), 0, SMALL, 2)),
        "a grasp": of_sequence(Sequence((3, 2), 0, SMALL, 2, held=1.0)),
        "icvl": of_sequence(_sequence(LAYOUTS["icvl"], plan("icvl", 10, 2)[0], 11)),
        "crops": facts(clips.joints[-1, -1, 8].numpy(), clips.crops.numpy()),
        "whole frames": facts(whole.center_uvd[0, 0], whole.depth_mm),
    }


def test_what_a_seed_renders_has_a_name() -> None:
    assert SIMULATOR == NAMED, "write the numbers of the new simulator here"
    for name, found in rendered().items():
        # Processors and releases of PyTorch round differently; a change of the simulator is larger.
        np.testing.assert_allclose(found, PINNED[name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_a_share_of_second_hands_is_labelled() -> None:
    """The second hand's joints lie at the ends of its cones, and move with the camera."""
    two, one = (Sequence((seed, 2), 0, SMALL, 2) for seed in (12, 5))
    assert np.isnan(one.second_xyz_mm).all()
    cones = two._scene.cones
    ends = torch.cat([cones.a[:, OTHER][:, :HAND_CONES], cones.b[:, OTHER][:, :HAND_CONES]], 1)
    joints = two.second_xyz_mm
    away = np.linalg.norm(joints[:, :, None] - ends.numpy()[:, None], axis=-1).min(-1)
    assert away.max() < 20
    assert np.linalg.norm(joints[:, :1] - two.joints_xyz_mm[:, :1], axis=-1).min() > 5
    place, axes = np.array([100.0, 0.0, 0.0]), np.eye(3)
    moved = two.seen_from(place, axes, "other")
    np.testing.assert_allclose(moved.second_xyz_mm, joints - place, atol=1e-3)


def test_a_scene_can_be_of_one_empty_hand() -> None:
    for seed, holds, second in ((12, False, True), (17, True, True), (3, True, False)):
        plain = Sequence((seed, 2), 0, SMALL, 3)
        assert (plain.holds, not np.isnan(plain.second_xyz_mm).all()) == (holds, second)
        alone = Sequence((seed, 2), 0, SMALL, 3, around=EVERYDAY.alone())
        assert not alone.holds
        assert np.isnan(alone.second_xyz_mm).all()
        np.testing.assert_allclose(alone.joints_xyz_mm, plain.joints_xyz_mm, atol=1e-3)
    assert Sequence((3, 2), 0, SMALL, 2, around=EVERYDAY.alone(), held=1.0).holds


def test_numbers_of_any_library_are_taken_and_others_are_one_line() -> None:
    index = torch.tensor([0])
    seed: Any = np.int64(-3), np.uint64(2**63)
    one = Draws(seed, index).bits(4)
    assert one.equal(Draws((-3, 2**63), index).bits(4))
    assert type(whole_number("seed", np.int64(4))) is int
    assert share("held", np.float32(0.5)) == 0.5
    for call, message in (
        (lambda: Draws((1.0,), index), "seed is 1.0; give a whole number"),  # type: ignore[arg-type]
        (lambda: whole_number("frames", 0, 1), "frames is 0; give a whole number, 1 or more"),
        (lambda: whole_number("frames", "2", 1), "frames is '2'; give a whole number"),
        (lambda: share("held", 2.0), "held is 2.0; give a share from 0 to 1"),
        (lambda: share("held", float("nan")), "held is nan"),
        (lambda: share("held", "1"), "held is '1'"),
        (lambda: Sequence((0,), 1.0, SMALL, 2), "index is 1.0"),  # type: ignore[arg-type]
        (lambda: Sequence((0,), 1, SMALL, 2.0), "frames is 2.0"),  # type: ignore[arg-type]
    ):
        with pytest.raises(CadstnError, match=message):
            call()


def test_another_camera_sees_everything_where_it_was() -> None:
    """Distances do not know from where they are seen; the other camera looks along x."""
    here = Sequence((2, 9), 3, SMALL, 2, around=Surroundings(wall=1.0, table=1.0))
    points = torch.from_numpy(here.joints_xyz_mm)
    half = torch.tensor([10.0, 20.0, 30.0]).expand(2, 1, 3)
    box = Solids(points[:, 9:10], torch.eye(3).expand(2, 1, 3, 3), half, torch.zeros(2, 1))
    here._scene = here._scene._replace(solids=box, skin=Skin(torch.tensor([1]), points[1:]))
    place = torch.tensor([100.0, -50.0, 30.0])
    quarter = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    there = here.seen_from(place.numpy().astype(float), quarter, "aside")
    x, y, z = (points - place).unbind(-1)
    moved = torch.stack([-z, y, x], -1)
    np.testing.assert_allclose(there.joints_xyz_mm, moved.numpy(), atol=1e-3)
    found = []
    for scene, where in ((here._scene, points), (there._scene, moved)):
        assert scene.solids is not None
        planes = where @ scene.planes[..., :3].mT - scene.planes[:, None, :, 3]
        solids = solid_distance_mm(where, scene.solids)
        found.append((solids, cone_distance_mm(where, scene.cones), planes))
    for one, two in zip(*found, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two, rtol=0, atol=0.02)
    assert there._scene.skin is not None
    torch.testing.assert_close(there._scene.skin.vertices_mm, moved[1:], rtol=0, atol=1e-3)
