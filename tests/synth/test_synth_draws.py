"""Random numbers as a function of (seed, index): independent of the batch, fair, unrelated."""

import pytest
import torch

from cadstn.synth.draws import Draws


def test_a_sample_does_not_know_its_batch() -> None:
    whole = Draws((3, 1), torch.arange(64))
    part = Draws((3, 1), torch.tensor([40, 7]))
    for _ in range(2):
        torch.testing.assert_close(whole.uniform(5, 3)[[40, 7]], part.uniform(5, 3), rtol=0, atol=0)
        torch.testing.assert_close(whole.normal(4)[[40, 7]], part.normal(4), rtol=0, atol=0)


@pytest.mark.parametrize(("seed", "index"), [((3, 2), 0), ((4, 1), 0), ((3, 1), 1), ((1, 3), 0)])
def test_other_names_give_other_numbers(seed: tuple[int, ...], index: int) -> None:
    first = Draws((3, 1), torch.tensor([0])).uniform(100)
    assert (first == Draws(seed, torch.tensor([index])).uniform(100)).sum() == 0


def test_forks_do_not_disturb_one_another() -> None:
    draws = Draws((1,), torch.arange(4))
    before = draws.fork("shape").uniform(10)
    draws.uniform(99)
    torch.testing.assert_close(draws.fork("shape").uniform(10), before, rtol=0, atol=0)
    assert not torch.equal(draws.fork("pose").uniform(10), before)


def test_repeated_streams_belong_to_their_sample() -> None:
    whole = Draws((9,), torch.arange(8)).repeat(3).uniform(2)
    alone = Draws((9,), torch.tensor([5])).repeat(3).uniform(2)
    torch.testing.assert_close(whole.view(8, 3, 2)[5], alone, rtol=0, atol=0)
    assert len(set(whole.flatten().tolist())) == 48


def test_the_numbers_are_even_and_unrelated() -> None:
    draws = Draws((0,), torch.arange(1000))
    uniform = draws.uniform(1000)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    counts = torch.histc(uniform, 100, 0, 1)
    # Chi-square over 99 degrees of freedom: mean 99, standard deviation 14.
    assert 40 < ((counts - 10_000) ** 2 / 10_000).sum() < 170
    rows = uniform - 0.5
    for a, b in ((rows[:-1], rows[1:]), (rows[:, :-1], rows[:, 1:])):
        assert abs(float((a * b).mean()) * 12) < 0.005
    normal = draws.normal(1000, mean=2.0, std=3.0)
    assert float(normal.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(normal.std()) == pytest.approx(3.0, abs=0.02)
    assert float(((normal - 2) / 3).pow(4).mean()) == pytest.approx(3.0, abs=0.05)


def test_choices_and_chances_keep_their_odds() -> None:
    draws = Draws((0,), torch.arange(100_000))
    assert float(draws.chance(0.3).float().mean()) == pytest.approx(0.3, abs=0.01)
    shares = torch.bincount(draws.choice([1.0, 0.0, 3.0]), minlength=3) / 100_000
    assert shares[1] == 0
    assert float(shares[2]) == pytest.approx(0.75, abs=0.01)


def test_the_mixer_is_splitmix64() -> None:
    """Against whole-number arithmetic without a word size, as its authors print it."""
    mask = (1 << 64) - 1

    def mix(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    golden, key = 0x9E3779B97F4A7C15, 0
    for word in (1, 2, 3):  # the seed (1, 2), then the index 3
        key = mix(((key ^ word) + golden) & mask)
    expected = [mix((key + place * golden) & mask) for place in (1, 2)]
    drawn = Draws((1, 2), torch.tensor([3])).bits(2)[0].tolist()
    assert [word & mask for word in drawn] == expected
