"""The compiled steps of an LSTM do what PyTorch's operations do, in float32."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.compiled_lstm import CompiledLSTM, _sigmoid, _tanh
from models.lstm import LSTM
from models.stacked_lstm import StackedLSTM
from tests.models.planted import make_model


def both(n_nets, n_rows, scale, **shape):
    """Return log-odds and gradients of the same batch by PyTorch and by the kernels."""
    model = make_model("lstm", **shape)
    assert isinstance(model, LSTM)
    module = model._module(3)
    size = nn.utils.parameters_to_vector(module.parameters()).numel()
    shared = torch.Generator().manual_seed(5)
    weight_MP = scale * torch.randn(n_nets, size, generator=shared)
    x_MLBF = torch.randn(n_nets, shape["lookback"], n_rows, 3, generator=shared)
    slope_MB = torch.randn(n_nets, n_rows, generator=shared)
    found = []
    for kind in (StackedLSTM, CompiledLSTM):
        steps, hidden, layers = shape["lookback"], shape["hidden"], shape["layers"]
        stacked = kind(module, 0.3, hidden=hidden, layers=layers, steps=steps)
        keep_MD = stacked.drawn([np.random.default_rng(m) for m in range(n_nets)], n_rows)
        weights, gradient_MP = stacked.views(weight_MP), torch.full_like(weight_MP, 7.0)
        log_odds_MB, known = stacked.forward(weights, x_MLBF, keep_MD)
        stacked.backward(weights, stacked.views(gradient_MP), known, slope_MB)
        found.append((log_odds_MB, gradient_MP))
    return found


@given(
    n_nets=st.integers(1, 3),
    n_rows=st.integers(1, 9),
    hidden=st.integers(1, 21),
    layers=st.integers(1, 2),
    lookback=st.integers(1, 6),
    scale=st.floats(0.01, 1.0),
)
@settings(deadline=None, max_examples=40)
def test_log_odds_and_gradients_are_those_of_pytorch(n_nets, n_rows, scale, **shape):
    (log_odds_MB, gradient_MP), (ours_MB, our_gradient_MP) = both(n_nets, n_rows, scale, **shape)
    assert torch.allclose(ours_MB, log_odds_MB, rtol=1e-5, atol=1e-5)
    tolerance = 1e-5 * float(gradient_MP.abs().max())
    assert torch.allclose(our_gradient_MP, gradient_MP, rtol=1e-4, atol=tolerance)


def test_tanh_and_sigmoid_are_right_to_float32_everywhere():
    x_K = np.concatenate([np.linspace(-30, 30, 100_001), [-1e30, 1e30, -np.inf, np.inf, 1e-30]])
    tanh_K, sigmoid_K = x_K.astype(np.float32), x_K.astype(np.float32)
    _tanh(tanh_K)
    _sigmoid(sigmoid_K)
    assert np.abs(tanh_K - np.tanh(x_K)).max() < 5e-7
    with np.errstate(over="ignore"):
        assert np.abs(sigmoid_K - 1 / (1 + np.exp(-x_K))).max() < 3e-7


def test_what_is_not_a_number_is_not_hidden():
    x_K = np.array([1.0, np.nan, -1.0], np.float32)
    _tanh(x_K)
    _sigmoid(x_K)
    assert np.isnan(x_K).tolist() == [False, True, False]


@pytest.mark.parametrize("hidden", [4, 64])
def test_an_lstm_that_trains_uses_the_kernels(hidden):
    model = make_model("lstm", hidden=hidden)
    assert isinstance(model, LSTM)
    assert type(model._stacked(model._module(3))) is CompiledLSTM
