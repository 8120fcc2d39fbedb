"""What a deployed model said of later events, and what came of them.

Axes: N events.
"""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.resolved import resolved
from market.build import build_event_table
from market.simulate import SimulatedMarket
from selection import DeployedModels, DeploymentError
from tests.pipelines.conftest import LENIENT, ONE_FOREST, TINY, trained

N_TRAINED, N_BARS = 3000, 5000
PLATT = {"kind": "platt", "slope": 0.5, "intercept": -0.2, "scope": "model", "rows": 60}
PLATT |= {"fitted_from": "2010-01-01T00:00:00+00:00", "log_loss": {"before": 0.7, "after": 0.6}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A forest of EURUSD with a holdout, still sealed."""
    folder = tmp_path_factory.mktemp("forest")
    one = ("symbols=[EURUSD]", "~models.council", "deploy.holdout=sealed")
    return trained(folder, *TINY, *LENIENT, *ONE_FOREST, *one, f"data.n_bars={N_TRAINED}")


@pytest.fixture(scope="module")
def deployed(run):
    return DeployedModels.from_manifest(run.folder / "deploy" / "manifest.json")


@pytest.fixture(scope="module")
def bars():
    return SimulatedMarket(n_bars=N_BARS, edge=0.15).bars("EURUSD", 7)


@pytest.fixture(scope="module")
def found(deployed, bars):
    return resolved(deployed, "EURUSD", bars)


@pytest.fixture
def amended(run, tmp_path):
    """Return the deployed models after a change to the entry of EURUSD."""

    def change(**changes):
        shutil.copytree(run.folder / "deploy", tmp_path / "deploy")
        path = tmp_path / "deploy" / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["selections"]["EURUSD"] |= changes
        path.write_text(json.dumps(manifest))
        return DeployedModels.from_manifest(path)

    return change


def test_events_features_and_labels_are_those_of_the_training_table(deployed, bars, found):
    made = deployed.definition("EURUSD")
    parts = {"features": made.features, "events": made.events, "labels": made.labels}
    table = build_event_table(bars, **parts)
    rows = table.samples()
    at = np.flatnonzero(rows.t0_N >= found.since)
    assert len(found) == len(at) > 100
    for mine, trained_on in (("t0_N", "t0_N"), ("t1_N", "t1_N"), ("y_N", "y_N"), ("x_NF", "x_NF")):
        np.testing.assert_array_equal(getattr(found, mine), getattr(rows, trained_on)[at])
    np.testing.assert_array_equal(found.weight_N, rows.weight_N[at])
    assert found.n_open == ((table.label_N == -1) & (table.t0_N >= found.since)).sum()


def test_nothing_that_a_label_of_the_holdout_has_read_is_at_or_after_since(deployed, bars, found):
    window = deployed.selection("EURUSD")["windows"]["holdout"]
    end = np.datetime64(window["end"].removesuffix("+00:00"), "us")
    assert found.since > end
    assert (found.t0_N >= found.since).all()
    made = deployed.definition("EURUSD")
    parts = {"features": made.features, "events": made.events, "labels": made.labels}
    table = build_event_table(bars, **parts)
    of_holdout = table.t0_N <= end
    assert table.t1_N[of_holdout].max() <= found.since


def test_the_probability_is_what_the_models_bars_are_judged_by(deployed, bars, found):
    said = deployed.predict_bars("EURUSD", bars)
    at = np.isin(said.t0_N, found.t0_N)
    np.testing.assert_allclose(found.p_N, said.p_win_N[at], rtol=1e-12)
    np.testing.assert_array_equal(found.p_live_N, found.p_N)
    np.testing.assert_array_equal(found.taken_N, found.p_N >= found.threshold)


@settings(max_examples=8, deadline=None)
@given(n_bars=st.integers(N_TRAINED + 300, N_BARS - 1))
def test_what_was_known_earlier_is_known_the_same_later(deployed, bars, found, n_bars):
    early = resolved(deployed, "EURUSD", bars.until(n_bars))
    known = found.t1_N <= bars.close_time_T[n_bars - 1]
    for name in ("t0_N", "t1_N", "y_N", "direction_N", "x_NF", "weight_N"):
        np.testing.assert_array_equal(getattr(early, name), getattr(found, name)[known])
    np.testing.assert_allclose(early.p_N, found.p_N[known], rtol=1e-12)
    assert early.since == found.since


@settings(max_examples=8, deadline=None)
@given(n_bars=st.integers(N_TRAINED + 300, N_BARS))
def test_up_to_complete_until_no_event_is_open(deployed, bars, found, n_bars):
    early = resolved(deployed, "EURUSD", bars.until(n_bars))
    on_time = found.t0_N <= early.complete_until
    np.testing.assert_array_equal(
        early.t0_N[early.t0_N <= early.complete_until], found.t0_N[on_time]
    )


def test_a_history_that_ends_within_the_holdout_has_no_later_event(deployed, bars):
    assert len(resolved(deployed, "EURUSD", bars.until(N_TRAINED - 200))) == 0


def test_live_probabilities_are_mapped_from_the_last_outcome_on_that_the_map_has_read(
    amended, bars, found
):
    until = found.t1_N[60]
    later = resolved(
        amended(live_calibration=PLATT | {"fitted_until": f"{until}+00:00"}), "EURUSD", bars
    )
    before = found.t0_N < until
    np.testing.assert_array_equal(later.p_N, found.p_N)
    np.testing.assert_array_equal(later.p_live_N[before], found.p_N[before])
    odds = np.log(found.p_N / (1 - found.p_N))[~before]
    np.testing.assert_allclose(later.p_live_N[~before], 1 / (1 + np.exp(0.2 - 0.5 * odds)))
    np.testing.assert_array_equal(later.taken_N, later.p_live_N >= later.threshold)


def test_a_symbol_without_a_model_and_other_bars_are_refused_in_a_line(amended, deployed, bars):
    other = SimulatedMarket(n_bars=N_BARS, edge=0.15).bars("EURUSD", 8)
    with pytest.raises(DeploymentError, match="not the bars that it was trained on"):
        resolved(deployed, "EURUSD", other)
    silent = {"windows": {"holdout": "awaiting live data"}, "decision_threshold": None}
    with pytest.raises(DeploymentError, match="gives no decision_threshold"):
        resolved(amended(**silent), "EURUSD", bars)


def test_without_a_holdout_later_begins_with_the_end_of_development(amended, bars):
    models = amended(windows={"holdout": "awaiting live data"})
    since = resolved(models, "EURUSD", bars).since
    stated = models.selection("EURUSD")["predictions"]["development_end"]
    assert since == np.datetime64(stated.removesuffix("+00:00"), "us")
