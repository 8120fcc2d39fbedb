"""A manifest's live calibration: applied to what the model says, and refused where it is none."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import Calibration
from selection import DeployedModels, DeploymentError
from selection.live_calibration import LiveCalibration
from selection.manifest import validate_manifest
from selection.metrics import log_odds
from tests.selection.conftest import edited

ENTRY = {
    "scope": "model",
    "fitted_from": "2010-01-01T00:00:00+00:00",
    "fitted_until": "2010-03-01T00:00:00+00:00",
    "rows": 60,
    "log_loss": {"before": 0.7, "after": 0.69},
}
PLATT = {"kind": "platt", "slope": 0.5, "intercept": -0.2, **ENTRY}
STEPS = {"kind": "isotonic", "log_odds_K": [-0.2, 0.3], "p_K": [0.3, 0.6], **ENTRY}
UNTIL = np.datetime64("2010-03-01", "us")


@pytest.fixture
def calibrated(copied):
    """Return the deployed models with a live calibration of EURUSD."""

    def put(entry):
        edited(copied, lambda selection: selection.update(live_calibration=entry))
        return DeployedModels.from_manifest(copied)

    return put


@pytest.mark.parametrize("entry", [PLATT, STEPS], ids=["platt", "isotonic"])
def test_rows_are_mapped_from_the_models_log_odds_and_it_still_says_what_it_said(
    calibrated, deployed, tables, entry
):
    x_NF, models = tables["EURUSD"].x_NF[:50], calibrated(entry)
    own_N2 = deployed.predict_proba("EURUSD", x_NF)
    found_N2 = models.predict_proba("EURUSD", x_NF)
    numbers = {key: entry[key] for key in entry if key not in ENTRY}
    expected_N = Calibration.from_json(numbers)(log_odds(own_N2[:, 1]))
    np.testing.assert_array_equal(found_N2[:, 1], expected_N)
    np.testing.assert_allclose(found_N2.sum(axis=1), 1.0)
    np.testing.assert_array_equal(models.model_proba("EURUSD", x_NF), own_N2)


def test_the_formula_of_the_manual_gives_the_same(calibrated, deployed, tables):
    x_NF = tables["EURUSD"].x_NF[:20]
    p_N = np.clip(deployed.predict_proba("EURUSD", x_NF)[:, 1], 1e-6, 1 - 1e-6)
    by_hand_N = 1 / (1 + np.exp(-(0.5 * np.log(p_N / (1 - p_N)) - 0.2)))
    np.testing.assert_allclose(calibrated(PLATT).predict_proba("EURUSD", x_NF)[:, 1], by_hand_N)


def test_bars_are_mapped_from_fitted_until_on_and_thresholds_act_on_that(
    calibrated, deployed, market
):
    own, found = (
        models.predict_bars("EURUSD", market["EURUSD"]) for models in (deployed, calibrated(PLATT))
    )
    before_N = own.t0_N < UNTIL
    assert 0 < before_N.sum() < len(own)
    np.testing.assert_array_equal(found.p_win_N[before_N], own.p_win_N[before_N])
    mapped_N = Calibration.platt(0.5, -0.2)(log_odds(own.p_win_N[~before_N]))
    np.testing.assert_array_equal(found.p_win_N[~before_N], mapped_N)
    assert found.threshold == own.threshold == 0.5


def test_the_signal_follows_the_calibrated_probability(calibrated, deployed, market):
    bars = market["EURUSD"]
    said = deployed.predict_bars("EURUSD", bars)
    taken = np.flatnonzero(said.settled_N & (said.p_win_N > 0.55) & (said.t0_N > UNTIL))[0]
    n_bars = int(np.searchsorted(bars.close_time_T, said.t0_N[taken])) + 1
    now = bars.until(n_bars)
    assert deployed.predict_bars("EURUSD", now).signal.action in ("BUY", "SELL")
    never = PLATT | {"slope": 0.0, "intercept": -2.0}
    assert calibrated(never).predict_bars("EURUSD", now).signal.action == "HOLD"


def test_other_symbols_and_manifests_without_one_are_as_they_were(calibrated, deployed, tables):
    models, x_NF = calibrated(PLATT), tables["GBPUSD"].x_NF[:40]
    assert models.live_calibration("GBPUSD") is deployed.live_calibration("EURUSD") is None
    said = [one.predict_proba("GBPUSD", x_NF, allow_cold_start=True) for one in (models, deployed)]
    np.testing.assert_array_equal(*said)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "spline"},
        {"kind": "none"},
        {"slope": -0.5},
        {"slope": None},
        {"fitted_until": "yesterday"},
        {"fitted_until": "2010-03-01T00:00:00"},
        {"scope": "all"},
        {"kind": "isotonic", "log_odds_K": [0.0], "p_K": [1.0]},
        {"kind": "isotonic", "log_odds_K": [], "p_K": []},
        {"log_loss": {"before": 0.7}},
    ],
)
def test_a_manifest_with_another_calibration_is_no_manifest(copied, change):
    edited(copied, lambda selection: selection.update(live_calibration=PLATT | change))
    with pytest.raises(DeploymentError, match="live_calibration"):
        DeployedModels.from_manifest(copied)


@pytest.mark.parametrize(
    "change",
    [
        {"log_odds_K": [0.3, -0.2]},
        {"p_K": [0.6, 0.3]},
        {"p_K": [0.5]},
        {"log_odds_K": [0.3, 0.3]},
    ],
)
def test_knots_that_make_no_map_refuse_that_symbol_alone(copied, change):
    edited(copied, lambda selection: selection.update(live_calibration=STEPS | change))
    with pytest.raises(DeploymentError, match=r"EURUSD: live_calibration: .*calibrate again"):
        DeployedModels.from_manifest(copied)
    models = DeployedModels.from_manifest(copied, skip_broken=True)
    assert models.symbols == ["GBPUSD"]


def test_the_schema_takes_both_kinds(copied):
    for entry in (PLATT, STEPS):
        edited(copied, lambda selection, entry=entry: selection.update(live_calibration=entry))
        validate_manifest(json.loads(copied.read_text()))


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
    st.floats(0, 5),
    st.floats(-5, 5),
)
def test_no_order_of_probabilities_is_turned_round(p, slope, intercept):
    calibration = LiveCalibration(Calibration.platt(slope, intercept), "model", UNTIL)
    mapped_N = calibration(np.sort(np.array(p)))
    assert (np.diff(mapped_N) >= -1e-12).all()
    assert np.isfinite(mapped_N).all()
