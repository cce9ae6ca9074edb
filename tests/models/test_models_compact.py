"""The compact networks: clips equal streams, crops that move, votes, what else they say."""

from __future__ import annotations

import math

import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.models import (
    Compact,
    CompactConfig,
    CompactSpatial,
    FrameOutputs,
    Memory,
    NetConfig,
)
from cadstn.models.compact.loss import (
    acceleration_distance,
    joint_distance,
    quantile_loss,
    worst_joint_loss,
)

SIZES = CompactConfig(
    joints=3, size=32, slices=4, channels=(8, 12, 16), blocks=(1, 1, 1),
    width=24, hidden=20,
)  # fmt: skip


def made() -> Compact:
    torch.manual_seed(0)
    model = Compact(SIZES)
    with torch.no_grad():  # a trained network's outputs, not a fresh one's zeros
        torch.nn.init.normal_(model.temporal.output.weight, std=0.3)
        torch.nn.init.normal_(model.fusion.output.weight, std=0.3)
        torch.nn.init.normal_(model.spatial.votes.weight, std=0.3)
    return model.eval()


def clips_like(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    crops = torch.rand(*shape, SIZES.size, SIZES.size, generator=generator) * 2 - 1
    return crops.masked_fill(crops > 0.3, 1.0)


def test_sizes_of_the_shipped_networks() -> None:
    """At most 6 M parameters: issue F."""
    from cadstn.train.recipes import recipe

    with torch.device("meta"):
        sizes = recipe("compact").net
        assert isinstance(sizes, CompactConfig)
        model = Compact(sizes)
    count = sum(p.numel() for p in model.parameters())
    assert count == 3_176_830
    assert recipe("compact").net.features == 192 * 4 * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": (1, 1)}, "blocks must be a tuple of 3 numbers"),
        ({"channels": (8,), "blocks": (1,)}, "channels must be a tuple of two or more"),
        ({"size": 40}, "not a multiple of 16"),
        ({"trunk": "residul"}, "no trunk 'residul'"),
        ({"block": (1, 1, 1)}, "unknown key 'block'.*did you mean 'blocks'"),
    ],
)
def test_sizes_that_make_no_sense(change: dict[str, object], message: str) -> None:
    with pytest.raises(CadstnError, match=message):
        NetConfig.from_dict({**SIZES.to_dict(), **change})


def test_a_clip_equals_its_frames_one_by_one() -> None:
    model, clips = made(), clips_like(2, 6)
    shifts = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1)) * 0.1
    with torch.no_grad():
        whole = model(clips, shifts)
        memory = model.initial_state(2)
        for t in range(6):
            out = model.step(clips[:, t], shifts[:, t], memory)
            memory = out.memory
            for name in (
                "joints", "w1", "spatial", "temporal", "error_scale", "presence", "handedness",
            ):  # fmt: skip
                torch.testing.assert_close(getattr(out, name), getattr(whole, name)[:, t])
    torch.testing.assert_close(memory, whole.memory)


def test_untrained_it_averages_and_knows_that_the_crop_moved() -> None:
    """A still hand seen from a crop that moves: what was said before moves the other way."""
    torch.manual_seed(0)
    temporal = Compact(SIZES).temporal.eval()
    place, memory = torch.rand(1, 3, 3), temporal.initial_state(1)
    shift = torch.tensor([[0.1, -0.2, 0.05]])
    for t in range(4):
        seen = place - t * shift[:, None]
        frame = FrameOutputs(
            seen, torch.full((1, 3), 0.05), torch.ones(1), torch.zeros(1), torch.zeros(1, 24)
        )
        joints, memory = temporal.step(frame, shift * (t > 0), memory)
        torch.testing.assert_close(joints, seen)
    # A jump is followed by half, as by an exponential average.
    frame = frame._replace(joints=seen + 0.2)
    joints, _ = temporal.step(frame, torch.zeros(1, 3), memory)
    torch.testing.assert_close(joints, seen + 0.1)
    # Without a memory the frame alone counts.
    joints, _ = temporal.step(frame, shift, Memory(*temporal.initial_state(1)))
    torch.testing.assert_close(joints, frame.joints)


def test_votes_are_averaged_around_their_cells() -> None:
    spatial = CompactSpatial(SIZES)
    votes = torch.zeros(1, 4, 3, 4, 4)
    votes[0, 0, 1, 2, 3] = 50.0  # one cell alone counts for joint 1
    votes[0, 1, 1, 2, 3], votes[0, 3, 1] = 0.1, -0.5
    joints = spatial._count(votes.view(1, 12, 4, 4))
    torch.testing.assert_close(joints[0, 0], torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(joints[0, 1], torch.tensor([0.75 + 0.1, 0.25, -0.5]))


def test_empty_crops_give_finite_answers() -> None:
    frame = made().spatial.encode(torch.ones(2, 32, 32))
    assert all(bool(field.isfinite().all()) for field in frame)
    assert (frame.error_scale > 0).all()


def test_quantile_loss_is_least_at_the_quantile() -> None:
    distance = torch.linspace(0, 1, 301).view(1, -1, 1)
    one = torch.ones(1)
    losses = [float(quantile_loss(torch.full_like(distance, s), distance, one))
              for s in torch.linspace(0, 1, 101).tolist()]  # fmt: skip
    assert abs(losses.index(min(losses)) / 100 - 2 / 3) < 0.011


def test_frames_count_by_their_worst_joint() -> None:
    distance = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.9, 0.1], [1.1, 0.1, 0.9], [0.1, 5.0, 0.1]])
    share = worst_joint_loss(3 * distance[None], torch.tensor([3.0]), torch.ones(1), sharpness=200)
    assert float(share) == pytest.approx(0.5, abs=1e-6)


def test_the_worst_joint_of_a_frame_near_the_limit_pulls_most() -> None:
    distance = torch.tensor([[0.2, 1.0, 0.2], [0.2, 3.0, 0.2], [0.2, 0.3, 0.2]]).requires_grad_()
    worst_joint_loss(distance[None], torch.ones(1), torch.ones(1)).backward()  # type: ignore[no-untyped-call]
    assert distance.grad is not None
    worst = distance.grad[:, 1]
    assert float(worst[0]) > 10 * float(worst[1])
    assert float(worst[0]) > 5 * float(worst[2])
    assert float(worst[0]) > 100 * float(distance.grad[0, 0])


def test_clips_without_a_hand_do_not_count() -> None:
    pred, truth = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    pred[0] = 5.0
    assert float(joint_distance(pred, truth, torch.tensor([0.0, 1.0]))) == 0
    assert float(joint_distance(pred, truth, torch.tensor([1.0, 0.0]))) == pytest.approx(
        5 * math.sqrt(3)
    )
    pred[0] = torch.arange(4.0).view(4, 1, 1) ** 2
    assert float(acceleration_distance(pred, truth, torch.tensor([0.0, 1.0]))) == 0
    assert float(acceleration_distance(pred, truth, torch.tensor([1.0, 0.0]))) == pytest.approx(
        2 * math.sqrt(3)
    )


def test_acceleration_is_of_the_difference() -> None:
    t = torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 3, 3)
    one = torch.ones(1)
    assert float(acceleration_distance(t * 2 + 1, t * 0, one)) == 0
    assert float(acceleration_distance(t**2, t * 3, one)) == pytest.approx(2 * math.sqrt(3))


def test_an_old_name_works_with_a_warning() -> None:
    from cadstn import models

    with pytest.warns(DeprecationWarning, match="FrameOutputs"):
        assert models.Look is FrameOutputs
    with pytest.raises(AttributeError, match="no attribute 'Looks'"):
        _ = models.Looks
