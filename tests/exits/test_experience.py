import dataclasses
import datetime
import itertools
import json
import re
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from backtest.replayed import Replayed
from exits.experience import session_of, write_experiences
from exits.parameters import NAMES
from tests.exits.replays import experiences_of, replayed, some_bars


def words(text):
    return text.split()


MARKET = words("atr day_of_week hour recent_pnl rsi streak vix volume_ratio vwap_distance")
ROOT = words("""
    bars_until_breakeven bars_until_trailing bid_ask_spread_ticks breakeven_activated
    breakeven_activation_bar commission_cost duration entry_confidence exit_param_update_count mae
    max_profit_reached max_r_achieved mfe min_r_achieved pnl r_multiple rejected_partial_count
    slippage_ticks stop_adjustment_count stop_hit time_in_breakeven_bars trailing_activated
    trailing_activation_bar volatility_regime_change volume_at_exit win
""")
OUTCOME = words("""
    atr_change_percent avg_atr_during_trade bars_held contracts cumulative_pnl_before_trade
    daily_loss_limit daily_loss_proximity_pct daily_pnl_before_trade drawdown_bars duration_bars
    entry_bar entry_hour entry_minute exit_bar exit_hour exit_minute entry_price
    high_volatility_bars losses_in_last_5_trades max_drawdown_percent minutes_until_close
    opportunity_cost peak_r_multiple peak_unrealized_pnl profit_drawdown_from_peak
    trade_number_in_session vix wins_in_last_5_trades
""")


@pytest.fixture(scope="module")
def bars(random_bars):
    return some_bars(random_bars, 3)


@pytest.fixture(scope="module")
def frames(bars):
    return replayed(bars, 5)


@pytest.fixture(scope="module")
def records(frames, bars):
    return experiences_of(frames, bars)


def items(record):
    return json.loads(record["decision_history"])


def without_parameters(item):
    return {key: value for key, value in item.items() if key not in ("previous", "decided")}


def test_a_record_has_everything_that_the_208_features_read(records):
    assert len(records) > 30
    for record in records:
        assert len(ROOT) == 26
        assert set(ROOT) <= set(record)
        assert sorted(record["market_state"]) == MARKET
        assert len(OUTCOME) == 28
        assert set(OUTCOME) <= set(record["outcome"])
        assert len(record["outcome"]) <= 63
        assert tuple(record["exit_params_used"]) == NAMES
        texts = ("regime", "side", "exit_reason", "session", "segment", "trade_id", "timestamp")
        assert all(isinstance(record[name], str) for name in texts)
    for name in ("partial_exits", "exit_param_updates", "stop_adjustments"):
        assert any(record[name] for record in records), name


def test_numbers_are_numbers_and_nothing_is_missing(records):
    for record in records:
        for name in ROOT:
            assert isinstance(record[name], int | float), name
        for group in ("market_state", "outcome", "exit_params_used"):
            for name, value in record[group].items():
                assert isinstance(value, int | float), name


@settings(max_examples=15)
@given(seed=st.integers(0, 40), share=st.floats(0.2, 0.95))
def test_bars_cut_after_an_exit_change_no_experience(random_bars, seed, share):
    bars = some_bars(random_bars, seed, n_bars=250)
    whole = replayed(bars, seed)
    ends = whole.trades["exit_bar"].to_list()
    last = ends[int(share * len(ends))]
    until = bars[whole.trades["symbol"][int(share * len(ends))]].close_time_T[last]
    cut = {name: b.until(int((b.close_time_T <= until).sum())) for name, b in bars.items()}
    kept = experiences_of(replayed(cut, seed), cut)
    assert len(kept) > share * len(ends) - 2
    assert kept == experiences_of(whole, bars)[: len(kept)]


@settings(max_examples=15)
@given(share=st.floats(0.1, 0.9))
def test_what_was_known_at_a_decision_hangs_on_no_later_bar(bars, frames, records, share):
    last = int(share * 400)
    noise = np.random.default_rng(last).uniform(1, 500, 400)
    changed = {
        name: dataclasses.replace(
            b,
            **{
                f"{price}_T": np.where(np.arange(400) <= last, getattr(b, f"{price}_T"), noise)
                for price in ("open", "high", "low", "close", "volume")
            },
        )
        for name, b in bars.items()
    }
    seen = 0
    for before, after in zip(records, experiences_of(frames, changed), strict=True):
        pairs = [p for p in zip(items(before), items(after), strict=True) if p[0]["bar"] <= last]
        seen += len(pairs)
        assert all(one == other for one, other in pairs)
        if pairs:
            assert before["market_state"] == after["market_state"]
    assert seen > 0


def test_running_numbers_are_what_a_slow_count_gives(bars, frames, records):
    counted = after_partials = 0
    for trade, record in zip(frames.trades.to_dicts(), records, strict=True):
        b, side = bars[trade["symbol"]], 1 if trade["side"] == "LONG" else -1
        partials = frames.partials.filter(pl.col("trade_id") == trade["trade_id"]).to_dicts()
        moves = frames.stop_moves.filter(pl.col("trade_id") == trade["trade_id"]).to_dicts()
        for item in items(record)[1:]:
            r, mae, mfe, max_r, min_r = 0.0, 0.0, 0.0, 0.0, 0.0
            for t in range(trade["entry_bar"], item["bar"] + 1):
                prices = [b.low_T[t], b.high_T[t], b.close_T[t]]
                low, high, r = (
                    side * (p - trade["entry_price"]) / trade["risk_price"] for p in prices
                )
                mae, mfe = min(mae, low, high), max(mfe, low, high)
                max_r, min_r = max(max_r, r), min(min_r, r)
            done = [one for one in partials if one["bar"] <= item["bar"]]
            left = trade["quantity"] - sum(one["quantity"] for one in done)
            pnl = sum(one["pnl"] for one in done) + left * r * trade["risk_price"]
            expected = {"r": r, "mae": mae, "mfe": mfe, "max_r": max_r, "min_r": min_r, "pnl": pnl}
            assert {name: item[name] for name in expected} == pytest.approx(expected, abs=2e-6)
            assert item["partial_count"] == len(done)
            moved = [one for one in moves if one["bar"] <= item["bar"]]
            assert item["stop_adjustment_count"] == len(moved)
            assert item["breakeven_activated"] == (-1 < trade["breakeven_bar"] <= item["bar"])
            assert item["trailing_activated"] == (-1 < trade["trailing_bar"] <= item["bar"])
            assert item["share_left"] == pytest.approx(left / trade["quantity"], abs=2e-6)
            assert item["duration_bars"] == item["bar"] - trade["entry_bar"] + 1
            counted += 1
            after_partials += len(done)
    assert counted > 30
    assert after_partials > 3


def test_running_numbers_agree_with_the_replay(frames, records):
    for trade, record in zip(frames.trades.to_dicts(), records, strict=True):
        made = frames.decisions.filter(pl.col("trade_id") == trade["trade_id"]).to_dicts()
        history = items(record)
        assert [one["number"] for one in history] == list(range(trade["n_updates"] + 1))
        for row, item in zip(made, history, strict=True):
            assert item["r"] == pytest.approx(row["r"], abs=1e-6)
            assert item["atr"] == row["atr"]
            assert trade["mae_r"] - 1e-6 <= item["mae"] <= 0 <= item["mfe"]
        path = json.loads(record["unrealized_pnl_history"])
        assert [one["bar"] for one in path] == list(range(trade["entry_bar"], trade["exit_bar"]))
        reached = [one["r"] for one in path]
        assert record["max_r_achieved"] >= max([0.0, *reached]) - 1e-6


def test_parameters_of_every_decision_can_be_read_back(frames, records):
    decided_KP, previous_KP = frames.decided_KP, frames.previous_KP
    place = frames.decisions.with_row_index("k")
    for trade, record in zip(frames.trades.to_dicts(), records, strict=True):
        k = place.filter(pl.col("trade_id") == trade["trade_id"])["k"].to_list()
        items = json.loads(record["decision_history"])
        assert list(record["exit_params_used"]) == list(NAMES)
        previous, decided = (
            np.array([item[name] for item in items]) for name in ("previous", "decided")
        )
        np.testing.assert_allclose(decided, decided_KP[k], rtol=1e-8)
        np.testing.assert_allclose(previous, previous_KP[k], rtol=1e-8)
        assert list(record["exit_params_used"].values()) == decided[0].tolist()
        assert (previous[1:] == decided[:-1]).all()


def test_the_account_before_a_trade_is_that_of_the_trades_closed_by_its_signal(
    bars, frames, records
):
    trades = frames.trades.to_dicts()
    closed_at = [bars[t["symbol"]].close_time_T[t["exit_bar"]] for t in trades]
    for trade, record in zip(trades, records, strict=True):
        signal = bars[trade["symbol"]].close_time_T[trade["signal_bar"]]
        known = [(at, t["pnl"]) for at, t in zip(closed_at, trades, strict=True) if at <= signal]
        last = [pnl for _, pnl in known[-5:]]
        today = [pnl for at, pnl in known if at >= signal.astype("datetime64[D]")]
        state, outcome = record["market_state"], record["outcome"]
        assert state["recent_pnl"] == pytest.approx(sum(last), abs=1e-6)
        assert outcome["daily_pnl_before_trade"] == pytest.approx(sum(today), abs=1e-6)
        assert outcome["wins_in_last_5_trades"] == sum(pnl > 0 for pnl in last)
        assert outcome["losses_in_last_5_trades"] == sum(pnl < 0 for pnl in last)
        signs = [pnl > 0 for _, pnl in reversed(known)]
        run = len(list(next(itertools.groupby(signs))[1])) if signs else 0
        assert state["streak"] == (run if signs and signs[0] else -run)
        assert state["hour"] == signal.item().hour
        assert state["day_of_week"] == signal.item().weekday()


def test_identities_are_unique_and_the_same_in_every_run(bars, frames, records):
    names = [record["trade_id"] for record in records]
    assert len(set(names)) == len(names)
    assert experiences_of(replayed(bars, 5), bars) == records
    others = {one["trade_id"] for one in experiences_of(replayed(bars, 6), bars)}
    assert not others & set(names)


def test_trades_still_open_count_as_entries_of_their_session(frames, records, bars):
    entries = pl.concat([frames.trades, frames.open_positions]).to_dicts()
    for trade, record in zip(frames.trades.to_dicts(), records, strict=True):
        same = [
            one["entry_time"]
            for one in entries
            if one["entry_time"].date() == trade["entry_time"].date()
            and session_of(one["entry_time"].hour) == record["session"]
        ]
        number = record["outcome"]["trade_number_in_session"]
        assert 1 + sum(t < trade["entry_time"] for t in same) <= number
        assert number <= sum(t <= trade["entry_time"] for t in same)


def test_an_entry_has_its_number_whether_or_not_earlier_ones_are_closed(frames, records, bars):
    every, other = frames.trades.gather_every(2), frames.trades.gather_every(2, 1)
    fewer = dataclasses.replace(frames, trades=every, open_positions=other)
    numbers = [one["outcome"]["trade_number_in_session"] for one in records[::2]]
    found = [one["outcome"]["trade_number_in_session"] for one in experiences_of(fewer, bars)]
    assert found == numbers
    assert max(found) > 1


def test_sessions_divide_the_day():
    hours = [session_of(hour) for hour in range(24)]
    assert hours == ["Asia"] * 7 + ["London"] * 6 + ["NY"] * 8 + ["Asia"] * 3


@pytest.mark.parametrize("name", ["experiences.json", "experiences.jsonl"])
def test_files_hold_the_records_and_equal_records_give_equal_bytes(name, records, tmp_path):
    write_experiences(tmp_path / name, records)
    first = (tmp_path / name).read_bytes()
    text = first.decode()
    lines = text.splitlines() if name.endswith("l") else None
    read = [json.loads(line) for line in lines] if lines else json.loads(text)
    assert read == json.loads(json.dumps(records, allow_nan=False))
    write_experiences(tmp_path / name, records)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize(("name", "content"), [("none.json", "[]\n"), ("none.jsonl", "")])
def test_a_replay_without_trades_gives_an_empty_file(name, content, tmp_path):
    nothing = experiences_of(Replayed.empty(), {})
    assert nothing == []
    write_experiences(tmp_path / name, nothing)
    assert (tmp_path / name).read_text() == content


def test_a_record_that_is_no_json_is_named_and_the_old_file_stays(records, tmp_path):
    path = tmp_path / "experiences.json"
    write_experiences(path, records[:1])
    before = path.read_bytes()
    broken = records[1] | {"pnl": float("nan")}
    with pytest.raises(ValueError, match=f"experience {broken['trade_id']}: Out of range"):
        write_experiences(path, [broken])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"written as \.json or \.jsonl"):
        write_experiences(tmp_path / "experiences.csv", records)


def test_what_is_missing_is_named(bars, frames):
    with pytest.raises(ValueError, match="B: was traded, but its bars are not given"):
        experiences_of(frames, {"A": bars["A"]})
    later = frames.decisions.with_columns(pl.col("number") + 1)
    undecided = dataclasses.replace(frames, decisions=later)
    with pytest.raises(ValueError, match=r"[AB]: trade \d+ has no decision at its entry"):
        experiences_of(undecided, bars)


def test_times_are_those_of_the_trade_in_utc(frames, records):
    for trade, record in zip(frames.trades.to_dicts(), records, strict=True):
        entered = datetime.datetime.fromisoformat(record["timestamp"])
        assert entered == trade["entry_time"]
        assert entered.utcoffset() == datetime.timedelta(0)
        assert record["outcome"]["entry_hour"] == entered.hour


def test_the_page_names_every_field(records):
    page = (Path(__file__).parents[2] / "docs" / "experiences.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[a-z0-9_]+", page))
    for record in records:
        parts = [record, record["outcome"], record["market_state"], *items(record)]
        parts += json.loads(record["unrealized_pnl_history"])
        for name in ("partial_exits", "stop_adjustments", "exit_param_updates"):
            parts += record[name]
        fields = set().union(*parts)
        assert fields <= named, fields - named
