"""The compiled net: what PyTorch answers, and a row's answer whatever stands beside it."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exits.exit_net import WIDTHS, ExitNet
from tests.exits.exit_models import layers


def unit_rows(n, seed=0):
    unit_KF = np.random.default_rng(seed).random((n, WIDTHS[0]), np.float32)
    # Many features are 0 at any one decision.
    return unit_KF * (unit_KF > 0.3)


NET, ROWS = ExitNet(layers()), unit_rows(30)
ALONE_KP = np.concatenate([NET.forward(ROWS[k : k + 1]) for k in range(len(ROWS))])


def torch_net(weights):
    modules = []
    for n, (weight, bias) in enumerate(weights):
        linear = torch.nn.Linear(*weight.shape)
        linear.load_state_dict({"weight": torch.tensor(weight.T), "bias": torch.tensor(bias)})
        modules += [linear, torch.nn.ReLU() if n < 3 else torch.nn.Sigmoid()]
    return torch.nn.Sequential(*modules)


@pytest.mark.parametrize("scale", [0.1, 1.0, 1.5])
def test_it_answers_what_pytorch_does(scale):
    weights = layers(seed=3, scale=scale)
    with torch.inference_mode():
        expected_KP = torch_net(weights)(torch.tensor(ROWS)).numpy()
    found_KP = ExitNet(weights).forward(ROWS)
    assert found_KP.dtype == np.float32
    np.testing.assert_allclose(found_KP, expected_KP, rtol=0, atol=1e-5)


@given(st.lists(st.integers(0, len(ROWS) - 1), max_size=40))
def test_a_rows_answer_never_hangs_on_its_batch(places):
    together_KP = NET.forward(ROWS[places])
    assert together_KP.tobytes() == ALONE_KP[places].tobytes()


def test_layout_and_width_of_the_numbers_given_do_not_matter():
    across_KF = np.asfortranarray(ROWS.astype(np.float64))
    assert NET.forward(across_KF).tobytes() == ALONE_KP.tobytes()
    assert NET.forward(np.repeat(ROWS, 2, axis=0)[::2]).tobytes() == ALONE_KP.tobytes()


@given(st.floats(width=32, allow_nan=False))
def test_the_last_layer_is_a_sigmoid_over_all_numbers(log_odds):
    weights = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in layers()]
    weights[-1][1][:] = np.clip(log_odds, -3e38, 3e38)
    found_P = ExitNet(weights).forward(ROWS[:1])[0]
    expected = torch.sigmoid(torch.tensor(float(weights[-1][1][0]), dtype=torch.float64)).item()
    assert ((found_P >= 0) & (found_P <= 1)).all()
    np.testing.assert_allclose(found_P, expected, rtol=1e-6, atol=1e-34)


def test_what_is_not_a_number_spoils_its_own_row_alone():
    spoilt_KF = ROWS.copy()
    spoilt_KF[4, 17] = np.nan
    found_KP = NET.forward(spoilt_KF)
    assert np.isnan(found_KP[4]).all()
    others = np.arange(len(ROWS)) != 4
    assert (found_KP[others] == ALONE_KP[others]).all()


def test_no_rows_give_no_answers():
    assert NET.forward(ROWS[:0]).shape == (0, 132)


def test_weights_come_back_as_they_were_given_and_cannot_be_changed():
    for (weight, bias), (kept, kept_bias) in zip(layers(), NET.layers, strict=True):
        assert (weight == kept).all()
        assert (bias == kept_bias).all()
        assert not kept.flags.writeable


def test_other_shapes_are_refused_with_both_named():
    weights = layers()
    weights[1] = (weights[1][0][:, :128], weights[1][1])
    with pytest.raises(ValueError, match=r"\(256, 128\).*, expected .*\(256, 256\)"):
        ExitNet(weights)
    with pytest.raises(ValueError, match=r"shape \(K, 208\), had \(1, 207\)"):
        NET.forward(ROWS[:1, 1:])


@pytest.mark.parametrize(("place", "what"), [(0, "weights"), (1, "biases")])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(place, what, bad):
    weights = layers()
    weights[2][place].flat[5] = bad
    with pytest.raises(
        ValueError, match=re.escape(f"layer 2: {what} must be finite, one is {bad}")
    ):
        ExitNet(weights)
