from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.bars import Bars, DataError
from market.definitions import definition_of
from selection import DeployedModels, DeploymentError
from selection.signals import BarSignals, shown
from tests.selection.conftest import KINDS, declared, definition, edited, original_model

FIELDS = ("open", "high", "low", "close", "volume")


@pytest.mark.parametrize("symbol", KINDS)
def test_bars_give_the_tables_events_and_the_models_probabilities(
    deployed, deployment, market, tables, symbol
):
    said, table = deployed.predict_bars(symbol, market[symbol]), tables[symbol]
    assert (said.t0_N == table.t0_N).all()
    assert (
        said.p_win_N == original_model(deployment, symbol).predict_proba(table.x_NF)[:, 1]
    ).all()
    assert said.closed_at == market[symbol].close_time_T[-1]


@pytest.mark.parametrize("symbol", KINDS)
def test_an_event_is_settled_once_those_it_looks_back_on_are(deployed, market, symbol):
    made = definition_of(definition(), declared("labels", "triple_barrier"))
    rows_settled_N = made.decisions(market[symbol]).settled_N
    settled_N = deployed.predict_bars(symbol, market[symbol]).settled_N
    assert settled_N.sum() == rows_settled_N.sum() - deployed.lookback_rows(symbol) > 0
    assert settled_N[-1]


def frames(bars):
    columns = {"time": bars.start_T} | {name.upper(): getattr(bars, f"{name}_T") for name in FIELDS}
    pandas = pd.DataFrame(columns)
    aware = pandas.assign(time=pandas["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    text = {**columns, "time": bars.start_T.astype(str).tolist()}
    backwards = pl.DataFrame(columns).reverse()
    return [
        pl.DataFrame(columns),
        pandas,
        aware,
        aware.set_index("time"),
        pl.DataFrame(text),
        backwards,
    ]


def test_any_frame_of_the_same_bars_gives_the_same_answers(deployed, market):
    wanted = deployed.predict_bars("EURUSD", market["EURUSD"])
    for frame in frames(market["EURUSD"]):
        said = deployed.predict_bars("EURUSD", frame)
        assert (said.t0_N == wanted.t0_N).all()
        assert (said.p_win_N == wanted.p_win_N).all()
        assert said.closed_at == wanted.closed_at


def test_a_frame_is_put_right_as_a_price_file_is(deployed, market):
    bars = market["EURUSD"]
    wanted = deployed.predict_bars("EURUSD", bars)
    frame = frames(bars)[0]
    still = frame.tail(1).with_columns(
        time=pl.col("time") + pl.duration(hours=1),
        **{name: pl.col("CLOSE") for name in ("OPEN", "HIGH", "LOW")},
        VOLUME=pl.lit(0.0),
    )
    said = deployed.predict_bars("EURUSD", frame.vstack(still))
    assert said.closed_at == wanted.closed_at
    assert (said.p_win_N == wanted.p_win_N).all()


def moment(time):
    return time.astype("datetime64[us]").item().replace(tzinfo=UTC)


def test_a_bar_still_forming_is_not_used(deployed, market):
    bars = market["EURUSD"]
    forming = moment(bars.start_T[-1]) + timedelta(minutes=59)
    early = deployed.predict_bars("EURUSD", bars, now=forming)
    closed = deployed.predict_bars("EURUSD", bars.until(len(bars) - 1))
    assert early.closed_at == bars.close_time_T[-2]
    assert (early.p_win_N == closed.p_win_N).all()
    for frame in frames(bars):
        assert deployed.predict_bars("EURUSD", frame, now=forming).closed_at == early.closed_at
    assert deployed.predict_bars("EURUSD", bars, now=moment(bars.close_time_T[-1])).closed_at > (
        early.closed_at
    )


def test_bars_from_the_future_are_refused(deployed, market):
    bars = market["EURUSD"]
    before = (moment(bars.start_T[-1]) - timedelta(hours=2)).replace(tzinfo=None)
    with pytest.raises(DataError, match=r"^EURUSD: the last bar begins at .*, but now is "):
        deployed.predict_bars("EURUSD", bars, now=before)


def later(bars, first):
    fields = (getattr(bars, f"{name}_T")[first:] for name in ("start", *FIELDS))
    return Bars(bars.symbol, *fields, bars.length)


def test_fewer_bars_than_features_need_to_settle_are_refused(deployed, market):
    bars = market["EURUSD"]
    assert deployed.predict_bars("EURUSD", later(bars, len(bars) - 1022)).symbol == "EURUSD"
    with pytest.raises(
        DeploymentError, match=r"^EURUSD: 1021 closed bars, at least 1022 are needed"
    ):
        deployed.predict_bars("EURUSD", later(bars, len(bars) - 1021))


@pytest.mark.parametrize("symbol", KINDS)
@given(first=st.integers(1, 1400))
@settings(max_examples=10)
def test_a_shorter_history_says_the_same_where_it_is_settled(deployed, market, symbol, first):
    whole = deployed.predict_bars(symbol, market[symbol])
    late = deployed.predict_bars(symbol, later(market[symbol], first))
    t0_N = late.t0_N[late.settled_N]
    wanted_N = np.isin(whole.t0_N, t0_N)
    assert wanted_N.sum() == len(t0_N)
    assert np.allclose(whole.p_win_N[wanted_N], late.p_win_N[late.settled_N], rtol=0, atol=1e-6)


def test_bars_of_another_length_or_symbol_are_refused(copied, market):
    edited(copied, lambda one: one["features"]["definition"].update(bar_length_s=900))
    models = DeployedModels.from_manifest(copied)
    with pytest.raises(DeploymentError, match=r"bars of 60 minutes were given, the model was trai"):
        models.predict_bars("EURUSD", market["EURUSD"])
    with pytest.raises(DataError, match=r"^EURUSD: was given the bars of GBPUSD$"):
        models.predict_bars("EURUSD", market["GBPUSD"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda one: one["features"].update(definition=None), "its features were made elsewhere"),
        (
            lambda one: one["label"].update(kind="fixed"),
            "this version cannot build label.kind: 'fi",
        ),
        (lambda one: one.pop("label"), "this version cannot build label.kind: None is unknown"),
        (lambda one: one.pop("decision_threshold"), "the manifest gives no decision_threshold"),
        (lambda one: one["features"].update(definition="x"), "this version cannot build definitio"),
        (lambda one: one["label"].update(kind=["a"]), "this version cannot build label.kind: "),
        (
            lambda one: one["features"]["definition"].update(bar_length_s=1e300),
            "this version cannot build bar_length_s",
        ),
        (
            lambda one: one["features"]["definition"]["events"].update(min_spacing_bars=10**30),
            "this version cannot build events.min_spacing_bars: must be at most 10000000, was 1000",
        ),
    ],
)
def test_a_manifest_that_does_not_say_how_is_refused(copied, market, change, sentence):
    edited(copied, change)
    with pytest.raises(DeploymentError, match=f"^EURUSD: {sentence}"):
        DeployedModels.from_manifest(copied).predict_bars("EURUSD", market["EURUSD"])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: f.drop("HIGH"), "EURUSD: no column high; found time, open, low, close, volume"),
        (
            lambda f: f.drop("time"),
            "EURUSD: no column timestamp; found open, high, low, close, vol",
        ),
        (
            lambda f: f.vstack(f.head(1).with_columns(OPEN=pl.col("LOW"))),
            "EURUSD, row 2501, column time: a second, different",
        ),
        (lambda f: f.with_columns(LOW=-pl.col("LOW")), "EURUSD, row 1, column low: -1."),
        (lambda f: f.with_columns(LOW=pl.col("LOW") * 2), "EURUSD: high and low look swapped: "),
        (lambda f: f.with_columns(CLOSE=pl.lit("high")), "EURUSD, row 1, column CLOSE: 'high'"),
        (lambda f: f.head(1), "EURUSD: 1 usable bars in 1 rows, at least 2 are needed"),
        (lambda f: f.to_numpy(), "EURUSD: bars must be market.bars.Bars or a polars or pandas Dat"),
    ],
)
def test_a_frame_that_holds_no_bars_is_refused(deployed, market, spoil, sentence):
    with pytest.raises(DataError) as refused:
        deployed.predict_bars("EURUSD", spoil(frames(market["EURUSD"])[0]))
    assert str(refused.value).startswith(sentence)


CLOSE = np.datetime64("2024-01-01T10:00", "us")


@pytest.mark.parametrize(
    ("direction", "p_win", "settled", "t0", "action", "reason"),
    [
        (1, 0.55, True, CLOSE, "BUY", None),
        (-1, 0.56, True, CLOSE, "SELL", None),
        (1, 0.549, True, CLOSE, "HOLD", "probability 0.549 is below 0.55"),
        (1, 0.54996, True, CLOSE, "HOLD", "probability 0.54996 is below 0.55"),
        (1, float("nan"), True, CLOSE, "HOLD", "probability nan is below 0.55"),
        (-1, 0.9, False, CLOSE, "HOLD", "the history is too short to be sure"),
        (1, 0.9, True, CLOSE - np.timedelta64(1, "h"), "HOLD", "no event at its close"),
    ],
)
def test_the_signal_is_that_of_the_last_bar(direction, p_win, settled, t0, action, reason):
    arrays = (np.array([one]) for one in (t0, direction, p_win, settled))
    signal = BarSignals("EURUSD", "MLP", 0.55, *arrays, closed_at=CLOSE).signal
    assert (signal.action, signal.reason) == (action, reason)
    assert signal.direction == (direction if t0 == CLOSE else None)


def test_a_threshold_that_is_no_number_trades_nothing():
    arrays = (np.array([one]) for one in (CLOSE, 1, 0.9, True))
    signal = BarSignals("EURUSD", "MLP", float("nan"), *arrays, closed_at=CLOSE).signal
    assert (signal.action, signal.reason) == ("HOLD", "probability 0.900 is below nan")


@given(p_win=st.floats(0, 1), threshold=st.floats(0.001, 0.999))
def test_a_probability_is_shown_on_its_side_of_the_threshold(p_win, threshold):
    assert (float(shown(p_win, threshold)) >= threshold) == (p_win >= threshold)


def test_a_history_without_events_is_hold():
    arrays = (np.array([], dtype=kind) for kind in ("datetime64[us]", "i1", "f8", "?"))
    signal = BarSignals("EURUSD", "MLP", 0.5, *arrays, closed_at=CLOSE).signal
    assert (signal.action, signal.reason) == ("HOLD", "no event at its close")


def test_a_naive_now_is_utc(deployed, market):
    bars = market["EURUSD"]
    now = bars.close_time_T[-1].astype("datetime64[us]").item()
    assert isinstance(now, datetime)
    assert deployed.predict_bars("EURUSD", bars, now=now).closed_at == bars.close_time_T[-1]
