import json

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from exits.feature_bounds import FeatureBounds, unit_rows
from exits.feature_table import FEATURES, INDEX, N_FEATURES
from exits.features import NEUTRAL_F
from exits.parameters import defaults, normalize

RSI, PNL, SIDE = INDEX["market_state.rsi"], INDEX["pnl"], INDEX["side"]
raw = st.floats(-1e9, 1e9)


def rows(seed, n_rows=400):
    rng = np.random.default_rng(seed)
    return NEUTRAL_F + rng.standard_t(2, (n_rows, N_FEATURES)) * 10.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), hnp.arrays(np.float64, (2, N_FEATURES), elements=raw))
def test_units_lie_in_0_to_1_and_a_row_never_hangs_on_the_others(seed, x_KF):
    bounds = FeatureBounds.fit(rows(seed, 30))
    unit_KF = bounds.unit(x_KF)
    assert unit_KF.dtype == np.float32
    assert ((unit_KF >= 0) & (unit_KF <= 1)).all()
    alone_1F = np.empty((1, N_FEATURES), np.float32)
    for x_F, unit_F in zip(x_KF, unit_KF, strict=True):
        unit_rows(x_F[None].copy(), *bounds.scaling(), alone_1F)
        assert (alone_1F[0] == unit_F).all()
    again = FeatureBounds.from_json(json.loads(json.dumps(bounds.to_json())))
    assert (again.unit(x_KF) == unit_KF).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), raw, raw)
def test_more_is_never_less_of_a_feature(seed, a, b):
    bounds = FeatureBounds.fit(rows(seed, 30))
    low, high = (np.full((1, N_FEATURES), x) for x in sorted((a, b)))
    assert (bounds.unit(low) <= bounds.unit(high)).all()


def test_bounds_are_quantiles_of_data_and_the_tables_own_where_it_has_some():
    x_NF = rows(1)
    bounds = FeatureBounds.fit(x_NF)
    fitted = [f for f, feature in enumerate(FEATURES) if feature.scale in ("linear", "log")]
    low_F, high_F = np.quantile(x_NF[:, fitted], [0.005, 0.995], axis=0)
    assert (bounds.low_F[fitted] == low_F).all()
    assert (bounds.high_F[fitted] == high_F).all()
    assert (bounds.low_F[SIDE], bounds.high_F[SIDE]) == (0, 2)
    parameters_KP = defaults(np.array([1.0])) * 1.1
    x_NF[:1, :132] = parameters_KP
    expected = normalize(parameters_KP, atr_bounds=(0.5, 2.0))[0, :131]
    np.testing.assert_allclose(bounds.unit(x_NF[:1])[0, :131], expected, atol=1e-6)


def test_a_logarithmic_column_tells_small_numbers_apart_beside_large_ones_of_either_sign():
    x_NF = np.tile(NEUTRAL_F, (401, 1))
    x_NF[:, PNL] = np.sinh(np.linspace(-12, 12, 401))
    unit_N = FeatureBounds.fit(x_NF).unit(x_NF)[:, PNL]
    assert unit_N[200] == pytest.approx(0.5)
    np.testing.assert_allclose(unit_N + unit_N[::-1], 1.0, atol=1e-6)
    # A hundredth of the largest number: linear it would be 0.005 from 0.
    small = np.searchsorted(x_NF[:, PNL], x_NF[-1, PNL] / 100)
    assert unit_N[small] - unit_N[200] > 0.1


def test_a_column_without_spread_is_0_and_one_that_is_nearly_always_the_same_keeps_its_spread():
    x_NF = np.tile(NEUTRAL_F, (1000, 1))
    x_NF[3, RSI] = 90.0
    unit_NF = FeatureBounds.fit(x_NF).unit(x_NF)
    assert (unit_NF[:, PNL] == 0).all()
    assert unit_NF[3, RSI] == 1
    assert unit_NF[:, RSI].sum() == 1


def test_bounds_of_nothing_or_of_what_is_not_finite_are_refused():
    with pytest.raises(ValueError, match="bounds need at least one row"):
        FeatureBounds.fit(np.empty((0, N_FEATURES)))
    x_NF = rows(1)
    x_NF[2, PNL] = np.nan
    with pytest.raises(ValueError, match="feature pnl must be finite in every row"):
        FeatureBounds.fit(x_NF)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"low": None}, "bounds: low must be a list of 208 numbers"),
        ({"high": [1.0] * 207}, r"high_F must have shape \(208,\), had \(207,\)"),
        ({"log": ["0"] * 208}, "bounds: log must be a list of 208 numbers"),
        ({"log": [-1.0] * 208}, "log_F must be at least 0, not so for stop_mult"),
        ({"low": [9e9] * 208}, "low_F must be at most high_F, not so for stop_mult"),
        ({"high": [float("inf")] * 208}, "high_F of stop_mult must be finite, was inf"),
    ],
)
def test_stored_bounds_that_are_none_are_refused_in_one_line(change, said):
    stored = FeatureBounds.fit(rows(1)).to_json()
    with pytest.raises(ValueError, match=f"^{said}$"):
        FeatureBounds.from_json({**stored, **change})
