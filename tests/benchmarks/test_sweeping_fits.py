"""What sweeps are held against: the market's truth on later rows, and the fits of their trials."""

import io

import numpy as np
import pytest

from benchmarks.sweeping.attainable import fresh_rows
from benchmarks.sweeping.bare import fitted_trials
from benchmarks.sweeping.commands import prepared_symbol
from benchmarks.sweeping.edge import Edge
from benchmarks.sweeping.noise import Noise
from benchmarks.sweeping.noise_runs import run_noise
from benchmarks.sweeping.records import SweepRecords
from market.build import build_event_table
from market.simulate import SimulatedMarket
from market.splits import WalkForward, known_before
from tests.models.planted import samples, shipped_model
from tests.training.spies import task
from training.tuning.rivals import Rivals
from training.tuning.trial import Trial, attempted

SMALL = {
    "xgboost": {"n_estimators": 8, "early_stopping_min_rows": 100},
    "random_forest": {"n_estimators": 10},
}


def small_market():
    """Four thousand bars of one symbol, and two thousand more that are fresh."""
    return Edge(("xgboost",), ("EURUSD",), n_bars=4000, n_fresh_bars=2000, edge=0.3, n_trials=2)


def test_fresh_rows_are_the_events_after_all_that_the_sweep_is_given():
    asked = small_market()
    settings, _ = prepared_symbol(asked.overrides(seed=5), "EURUSD")
    fresh = fresh_rows(settings, "EURUSD", n_bars=6000)
    definitions = {
        "features": settings.features,
        "events": settings.events,
        "labels": settings.labels,
    }
    swept, longer = (
        build_event_table(SimulatedMarket(n_bars=n, edge=0.3).bars("EURUSD", 5), **definitions)
        for n in (4000, 6000)
    )
    assert np.array_equal(fresh.before_NF, swept.x_NF)
    assert np.array_equal(fresh.x_NF, longer.x_NF[len(swept.x_NF) :])
    assert len(fresh.x_NF) == len(fresh.truth_N) > 80


def test_the_truth_of_an_edge_leaves_less_than_no_skill():
    settings, prepared = prepared_symbol(small_market().overrides(seed=5), "EURUSD")
    fresh = fresh_rows(settings, "EURUSD", n_bars=6000)
    rate = float(prepared.split.development.y_N.mean())
    assert fresh.attainable_log_loss < fresh.constant_log_loss(rate) - 0.02


def test_more_bars_than_the_market_has_are_refused():
    with pytest.raises(ValueError, match="90000 bars and 20000 fresh ones are more than"):
        Edge(("xgboost",), ("EURUSD",), n_bars=90_000, n_fresh_bars=20_000, edge=0.1, n_trials=2)


@pytest.mark.parametrize("name", SMALL)
def test_the_bare_loop_makes_the_fits_of_a_trial_on_its_rows(name, tmp_path):
    rng = np.random.default_rng(4)
    x_NF = rng.normal(size=(400, 4))
    rows = samples(x_NF, rng.random(400) < 1 / (1 + np.exp(-x_NF[:, 0])), label_bars=6)
    whole = {"first_train": 0.4, "n_blocks": 6, "holdout_fraction": 0.0, "embargo_bars": 1}
    split, _ = WalkForward(**whole, min_development_rows=100, min_rows=100).divide(rows)
    model = shipped_model(name, **SMALL[name])
    tried = [model.hyperparameters, {**model.hyperparameters, "max_depth": 2}]
    own = task(known_before(split, 4), tmp_path, model)
    bare = fitted_trials(
        *(own.symbol, model, split, tried),
        seed=own.seed,
        early_stopping_fraction=own.early_stopping_fraction,
    )
    for hyperparameters, log_loss in zip(tried, bare.log_losses, strict=True):
        one = task(known_before(split, 4), tmp_path, type(model)(**hyperparameters))
        trial = Trial(one, first_fold=1, gap_penalty=0.02, rivals=Rivals(), timeout_s=60.0)
        assert attempted(trial).log_loss == log_loss
    assert bare.cpu_s > 0


def test_after_its_minutes_the_bench_begins_no_further_run(tmp_path):
    records, screen = SweepRecords(tmp_path / "noise.jsonl"), io.StringIO()
    asked = Noise(n_rows=300, n_trials=25)
    options = {"n_runs": 3, "minutes": 0.0, "n_workers": 1, "screen": screen}
    assert run_noise(asked, ["balanced"], records, **options) == 0
    assert records.groups() == []
