from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cadstn.models import Lstm, LstmState

INPUTS, HIDDEN, FRAMES, BATCH = 5, 4, 9, 3


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))


def made() -> tuple[Lstm, torch.Tensor, LstmState]:
    generator = torch.Generator().manual_seed(3)
    lstm = Lstm(INPUTS, HIDDEN)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(BATCH, FRAMES, INPUTS, generator=generator)
    h, c = torch.randn(2, BATCH, HIDDEN, generator=generator)
    return lstm, x, LstmState(h, c)


def test_equation_5_by_hand() -> None:
    lstm, x, state = made()
    w_x, w_h, b = (p.detach().double().numpy() for p in (lstm.weight_x, lstm.weight_h, lstm.bias))
    rows = {gate: slice(n * HIDDEN, (n + 1) * HIDDEN) for n, gate in enumerate("ifco")}
    outputs, last = lstm(x, state)
    for stream in range(BATCH):
        h, c = (part[stream].double().numpy() for part in state)
        for t in range(FRAMES):
            phi = x[stream, t].double().numpy()
            i, f, candidate, o = (
                w_h[rows[gate]] @ h + w_x[rows[gate]] @ phi + b[rows[gate]] for gate in "ifco"
            )
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
            h = sigmoid(o) * np.tanh(c)
            np.testing.assert_allclose(outputs[stream, t].detach(), h, atol=2e-6)
        np.testing.assert_allclose(last.h[stream].detach(), h, atol=2e-6)
        np.testing.assert_allclose(last.c[stream].detach(), c, atol=5e-6)


def test_equals_torchs_own_with_one_bias_zero() -> None:
    lstm, x, state = made()
    other = nn.LSTM(INPUTS, HIDDEN, batch_first=True)
    values = {"weight_ih_l0": lstm.weight_x, "weight_hh_l0": lstm.weight_h, "bias_ih_l0": lstm.bias}
    other.load_state_dict({**values, "bias_hh_l0": torch.zeros_like(lstm.bias)})
    expected, (h, c) = other(x, (state.h[None], state.c[None]))
    outputs, last = lstm(x, state)
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(last.h, h[0], rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(last.c, c[0], rtol=1e-5, atol=5e-6)


def test_no_state_means_zeros() -> None:
    lstm, x, _ = made()
    fresh, _ = lstm(x)
    zeros, _ = lstm(x, lstm.initial_state(BATCH))
    assert torch.equal(fresh, zeros)
    assert not any(part.any() for part in lstm.initial_state(BATCH))


def test_steps_equal_the_whole_sequence() -> None:
    lstm, x, state = made()
    outputs, last = lstm(x, state)
    for t in range(FRAMES):
        state = lstm.step(x[:, t], *state)
        torch.testing.assert_close(state.h, outputs[:, t], rtol=0, atol=1e-6)
    torch.testing.assert_close(state.c, last.c, rtol=1e-6, atol=1e-6)


def test_one_bias_a_gate() -> None:
    assert {name: tuple(p.shape) for name, p in Lstm(5, 4).named_parameters()} == {
        "weight_x": (16, 5),
        "weight_h": (16, 4),
        "bias": (16,),
    }


def test_the_cell_stays_in_full_precision_under_autocast() -> None:
    lstm, x, _ = made()
    with torch.autocast("cpu", torch.bfloat16):
        _, last = lstm(x.bfloat16())
    assert last.c.dtype == torch.float32
