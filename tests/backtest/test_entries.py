"""Who says how likely an entry wins: never a model that has learnt from it.

Axes: T bars, N events.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.entries import (
    EVENTS_MODEL,
    bars_from,
    begins,
    deployed_entries,
    event_entries,
    predicted_entries,
)
from backtest.period import WARM_UP_BARS, Period, Window, moment
from backtest.predictions import predicted
from market.bars import DataError
from market.simulate import SimulatedMarket
from selection import DeployedModels, DeploymentError
from tests.pipelines.conftest import LENIENT, ONE_FOREST, TINY, trained

N_BARS = 4000
OPEN = Period(opens_holdout=True)
ROWS = {"end": None, "rows": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A forest of EURUSD with a holdout, calibrated, and the run behind it."""
    folder = tmp_path_factory.mktemp("forest")
    one = ("symbols=[EURUSD]", "~models.council", f"data.n_bars={N_BARS}", "deploy.holdout=sealed")
    return trained(folder, *TINY, *LENIENT, *ONE_FOREST, *one)


@pytest.fixture(scope="module")
def deployed(run):
    return DeployedModels.from_manifest(run.folder / "deploy" / "manifest.json")


@pytest.fixture(scope="module")
def bars():
    return SimulatedMarket(n_bars=N_BARS, edge=0.15).bars("EURUSD", 7)


@pytest.fixture(scope="module")
def rows(run):
    return pl.read_parquet(run.folder / "out" / "predictions" / "EURUSD_RandomForest.parquet")


@pytest.fixture
def copied(run, tmp_path):
    """A copy to spoil: the manifest's path."""
    shutil.copytree(run.folder / "deploy", tmp_path / "deploy")
    return tmp_path / "deploy" / "manifest.json"


def changed(path, change):
    manifest = json.loads(path.read_text())
    change(manifest["selections"]["EURUSD"])
    path.write_text(json.dumps(manifest))
    return DeployedModels.from_manifest(path)


def signals(entries):
    """Return time, direction and probability of every signal."""
    market = entries.market
    at = market.signal_T != 0
    times_N = market.bars.close_time_T[at]
    return list(
        zip(
            times_N.tolist(),
            market.signal_T[at].tolist(),
            market.confidence_T[at].tolist(),
            strict=True,
        )
    )


def always_winning(deployed, monkeypatch):
    """Plant a deployed model that is sure of every trade."""
    sure = lambda symbol, rows, before: np.tile([0.0, 1.0], (len(rows), 1))  # noqa: E731
    monkeypatch.setattr(deployed, "model_proba", sure)


def test_development_is_judged_out_of_fold_and_what_comes_later_by_the_deployed_model(
    deployed, bars, rows
):
    found = signals(deployed_entries(deployed, "EURUSD", bars, OPEN))
    said = deployed.predict_bars("EURUSD", bars)
    stored = dict(
        zip(rows["timestamp"].dt.replace_time_zone(None), rows["p_calibrated"], strict=True)
    )
    end = moment(deployed.selection("EURUSD")["predictions"]["development_end"]).item()
    later = {
        t: p for t, p in zip(said.t0_N.tolist(), said.p_win_N.tolist(), strict=True) if t >= end
    }
    assert {time: p for time, _, p in found if time < end} == stored
    assert {time: p for time, _, p in found if time >= end} == pytest.approx(later, abs=1e-6)
    directions = dict(zip(said.t0_N.tolist(), said.direction_N.tolist(), strict=True))
    assert all(directions[time] == direction for time, direction, _ in found)
    assert len(stored) > 50
    assert len(later) > 20


def test_a_deployed_model_that_is_sure_of_everything_changes_nothing_before_development_ends(
    run, bars, monkeypatch
):
    deployed = DeployedModels.from_manifest(run.folder / "deploy" / "manifest.json")
    before = signals(deployed_entries(deployed, "EURUSD", bars, OPEN))
    always_winning(deployed, monkeypatch)
    after = signals(deployed_entries(deployed, "EURUSD", bars, OPEN))
    end = moment(deployed.selection("EURUSD")["predictions"]["development_end"]).item()
    assert [one for one in after if one[0] < end] == [one for one in before if one[0] < end]
    assert {p for time, _, p in after if time >= end} == {1.0}


@settings(max_examples=15)
@given(n_bars=st.integers(1200, N_BARS))
def test_bars_cut_anywhere_have_the_same_signals_up_to_there(deployed, bars, n_bars):
    whole = signals(deployed_entries(deployed, "EURUSD", bars, OPEN))
    cut = bars.until(n_bars)
    seen = signals(deployed_entries(deployed, "EURUSD", cut, OPEN))
    last = cut.close_time_T[-1].item()
    expected = [one for one in whole if one[0] <= last]
    assert [one[:2] for one in seen] == [one[:2] for one in expected]
    assert [one[2] for one in seen] == pytest.approx([one[2] for one in expected], abs=1e-12)


def test_a_sealed_holdout_ends_the_bars_before_its_first_decision(deployed, bars):
    window = Window.of("EURUSD", deployed.selection("EURUSD"))
    sealed = deployed_entries(deployed, "EURUSD", bars, Period())
    end_T, n_bars = sealed.market.bars.close_time_T, len(sealed.market.bars)
    assert end_T[-1] < window.start <= end_T[-1] + bars.length
    assert sealed.touched is None
    opened = deployed_entries(deployed, "EURUSD", bars, OPEN)
    assert opened.touched == window
    assert (opened.market.signal_T[:n_bars] == sealed.market.signal_T).all()
    assert opened.n_out_of_fold == sealed.n_out_of_fold
    assert opened.n_later > sealed.n_later


def test_bars_begin_so_far_before_the_first_signal_that_indicators_are_warm(deployed, bars, rows):
    market = deployed_entries(deployed, "EURUSD", bars, Period()).market
    assert np.flatnonzero(market.signal_T)[0] == WARM_UP_BARS
    start = rows["timestamp"][40].replace(tzinfo=None)
    late = deployed_entries(deployed, "EURUSD", bars, Period(start=np.datetime64(start))).market
    assert np.flatnonzero(late.signal_T)[0] == WARM_UP_BARS
    assert late.bars.close_time_T[WARM_UP_BARS].item() == start
    assert (late.signal_T != 0).sum() == (market.signal_T != 0).sum() - 40


def test_other_bars_than_those_of_training_are_refused_with_the_first_decision_that_is_missing(
    deployed,
):
    other = SimulatedMarket(n_bars=N_BARS, edge=0.15).bars("EURUSD", 8)
    with pytest.raises(DeploymentError) as refused:
        deployed_entries(deployed, "EURUSD", other, Period())
    assert str(refused.value).startswith(
        "EURUSD: these are not the bars that it was trained on: of "
    )
    assert "the first at 20" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bars_that_begin_later_are_as_good_from_where_their_features_have_settled(deployed, bars):
    whole = signals(deployed_entries(deployed, "EURUSD", bars, Period()))
    part = signals(deployed_entries(deployed, "EURUSD", bars_from(bars, 1800), Period()))
    assert 20 < len(part) < len(whole)
    assert part == whole[-len(part) :]


def test_bars_of_another_length_and_too_few_are_refused(deployed, bars):
    half = replace(bars, length=bars.length // 2)
    with pytest.raises(DeploymentError, match="bars of 30 minutes were given, the model was trai"):
        deployed_entries(deployed, "EURUSD", half, Period())
    with pytest.raises(DeploymentError, match=r"EURUSD: 50 bars, at least \d+ are needed"):
        deployed_entries(deployed, "EURUSD", bars.until(50), Period())
    with pytest.raises(DataError, match=r"no bars from replay\.start to replay\.end"):
        deployed_entries(deployed, "EURUSD", bars, Period(start=np.datetime64("2040-01-01")))


def test_predictions_that_were_changed_are_not_opened(copied, bars):
    deployed = DeployedModels.from_manifest(copied)
    place = copied.parent / deployed.selection("EURUSD")["predictions"]["path"]
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(DeploymentError, match=r"EURUSD: predictions/EURUSD/\S+ has SHA-256"):
        deployed_entries(deployed, "EURUSD", bars, Period())
    place.unlink()
    with pytest.raises(DeploymentError, match=r"EURUSD: predictions/EURUSD/\S+ is missing"):
        deployed_entries(deployed, "EURUSD", bars, Period())


def test_a_manifest_without_predictions_or_window_says_to_train_again(copied, bars):
    old = changed(copied, lambda one: one.pop("predictions"))
    with pytest.raises(DeploymentError, match="out-of-fold predictions of RandomForest; train aga"):
        deployed_entries(old, "EURUSD", bars, Period())
    older = changed(copied, lambda one: one["windows"].pop("holdout"))
    with pytest.raises(DeploymentError, match="does not say where its holdout begins; train again"):
        event_entries(older, "EURUSD", bars, Period())


def test_an_end_of_development_that_cannot_be_true_is_refused(copied, bars):
    def ended(time):
        return changed(copied, lambda one: one["predictions"].update(development_end=time))

    # The deployed model would be asked about rows that it has learnt from.
    early = ended(deployed_last(copied))
    with pytest.raises(
        DeploymentError, match=r"EURUSD: predictions\.development_end, .* is not beh"
    ):
        deployed_entries(early, "EURUSD", bars, Period())
    none = ended("2010-99-01T00:00:00+00:00")
    with pytest.raises(DeploymentError, match=r"EURUSD: predictions\.development_end: month must"):
        deployed_entries(none, "EURUSD", bars, Period())


def deployed_last(path):
    return json.loads(path.read_text())["selections"]["EURUSD"]["predictions"]["last_decision"]


def test_a_symbol_without_a_model_is_not_traded_but_its_events_can_be(copied, bars):
    def unselect(one):
        for key in ("predictions", "artifacts", "decision_threshold"):
            del one[key]
        one |= {"selected_model": None, "reason": "No signal", "action": "REVIEW"}

    models = signals(event_entries(DeployedModels.from_manifest(copied), "EURUSD", bars, Period()))
    manifest = json.loads(copied.read_text())
    manifest["summary"] |= {"models_selected": 0, "manual_review_needed": 1}
    copied.write_text(json.dumps(manifest))
    none = changed(copied, unselect)
    with pytest.raises(DeploymentError, match="EURUSD: no model is deployed: No signal"):
        deployed_entries(none, "EURUSD", bars, Period())
    # Where the models' begin, as there is nothing else to compare them with.
    assert signals(event_entries(none, "EURUSD", bars, Period())) == models
    older = changed(copied, lambda one: one["windows"].pop("out_of_fold"))
    assert begins("EURUSD", older.selection("EURUSD")) is None
    assert signals(event_entries(older, "EURUSD", bars, Period()))[0] < models[0]
    odd = changed(copied, lambda one: one["windows"].update(out_of_fold={"start": "soon"} | ROWS))
    with pytest.raises(DeploymentError, match=r"EURUSD: windows\.out_of_fold: .*; train again"):
        event_entries(odd, "EURUSD", bars, Period())


def test_the_baseline_trades_every_event_from_the_first_prediction_on(deployed, bars, rows):
    entries = event_entries(deployed, "EURUSD", bars, Period())
    found, said = signals(entries), deployed.predict_bars("EURUSD", bars)
    first, last = rows["timestamp"][0], entries.market.bars.close_time_T[-1].item()
    within = [t for t in said.t0_N.tolist() if first.replace(tzinfo=None) <= t <= last]
    assert [time for time, _, _ in found] == within
    assert {p for _, _, p in found} == {entries.market.threshold} == {0.5}
    assert entries.market.model == EVENTS_MODEL


def test_a_model_that_is_not_deployed_is_never_asked_beyond_its_predictions(
    deployed, bars, rows, run
):
    content = (run.folder / "out" / "predictions" / "EURUSD_RandomForest.parquet").read_bytes()
    known = predicted("it", content)
    told = {"known": known, "model": "RandomForest", "threshold": 0.6}
    entries = predicted_entries(deployed, "EURUSD", bars, OPEN, **told)
    assert entries.touched is None
    assert (entries.n_out_of_fold, entries.n_later) == (len(rows), 0)
    window = Window.of("EURUSD", deployed.selection("EURUSD"))
    assert entries.market.bars.close_time_T[-1] < window.start
