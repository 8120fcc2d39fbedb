import copy
import dataclasses
import json

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from exits.decision_rows import DecisionRows, read_decision_rows
from exits.experience import session_of, write_experiences
from exits.feature_table import FEATURES, INDEX
from exits.features import NEUTRAL_F
from exits.parameters import ATR, NAMES, defaults
from tests.exits.records import (
    OLDER,
    TWELVE,
    old_record,
    packed,
    rows_of,
    set_aside,
    unpacked,
)
from tests.exits.replays import experiences_of, replayed, some_bars


@pytest.fixture(scope="module")
def records(random_bars):
    bars = some_bars(random_bars, 3)
    return experiences_of(replayed(bars, 5), bars)


@pytest.fixture(scope="module")
def read(records, tmp_path_factory):
    rows, _ = rows_of(tmp_path_factory.mktemp("read"), records)
    return rows


def items_of(record):
    return json.loads(record["decision_history"])


def in_order(records):
    return sorted(records, key=lambda one: (one["timestamp"], one["symbol"], one["trade_id"]))


def column(rows, name):
    return rows.x_NF[:, INDEX[name]]


def same(one, other):
    """Whether two readings gave the same rows, bit for bit."""
    for field in dataclasses.fields(DecisionRows):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name
    return True


def test_there_is_one_row_per_decision_with_what_was_decided_and_how_the_trade_ended(records, read):
    ordered = in_order(records)
    items = [item for record in ordered for item in items_of(record)]
    np.testing.assert_array_equal(read.previous_NP, [item["previous"] for item in items])
    np.testing.assert_array_equal(read.decided_NP, [item["decided"] for item in items])
    counts = [len(items_of(record)) for record in ordered]
    assert max(counts) > 2
    assert read.trade_N.tolist() == np.repeat(np.arange(len(ordered)), counts).tolist()
    assert read.number_N.tolist() == [k for count in counts for k in range(count)]
    assert read.r_M.tolist() == [record["r_multiple"] for record in ordered]
    assert read.symbol_M == tuple(record["symbol"] for record in ordered)
    assert (read.exit_time_M >= read.entry_time_M).all()
    assert (np.diff(read.entry_time_M).astype(int) >= 0).all()


def test_the_atr_that_comes_is_the_next_decisions_or_the_mean_where_there_is_none(records, read):
    expected = []
    for record in in_order(records):
        atrs = [item["atr"] for item in items_of(record)]
        mean = record["outcome"]["avg_atr_during_trade"]
        expected += [*atrs[1:], mean if len(atrs) == 1 else np.nan]
    np.testing.assert_array_equal(read.next_atr_N, expected)
    ratio = read.previous_NP[:, -1] / read.atr_N
    np.testing.assert_array_equal(column(read, ATR), ratio)


def test_running_numbers_are_those_of_the_decisions_bar(records, read):
    expected = {name: [] for name in ("mae", "session", "exit_param_updates.count")}
    expected |= {name: [] for name in ("stop_adjustments.magnitude", "bars_until_breakeven")}
    for record in in_order(records):
        outcome = record["outcome"]
        for item in items_of(record):
            now, breakeven = item["bar"], outcome["breakeven_bar"]
            moves = [one for one in record["stop_adjustments"] if one["bar"] <= now]
            way = sum(abs(one["new_stop"] - one["old_stop"]) for one in moves)
            by_now = 0 <= breakeven <= now
            expected["mae"].append(item["mae"])
            hour = int(item["timestamp"][11:13])
            expected["session"].append(("Asia", "London", "NY").index(session_of(hour)))
            expected["exit_param_updates.count"].append(item["exit_param_update_count"])
            expected["stop_adjustments.magnitude"].append(way / outcome["risk_price"])
            expected["bars_until_breakeven"].append(
                breakeven - outcome["entry_bar"] if by_now else -1
            )
    for name, values in expected.items():
        assert len(set(values)) > 1, name
        np.testing.assert_allclose(column(read, name), values, rtol=1e-12, err_msg=name)
    assert (column(read, "stop_adjustments.count") == column(read, "stop_adjustment_count")).all()


def test_the_last_close_has_the_numbers_that_the_record_has_of_its_end(records, tmp_path):
    last, expected = [], []
    names = ("peak_unrealized_pnl", "drawdown_bars", "max_drawdown_percent")
    for record in map(unpacked, in_order(records)):
        if not record["unrealized_pnl_history"]:
            continue
        item = copy.deepcopy(record["decision_history"][-1])
        end = record["unrealized_pnl_history"][-1]
        item |= {"number": 99, "bar": end["bar"], "timestamp": record["exit_timestamp"]}
        last.append({**record, "decision_history": [*record["decision_history"], item]})
        pnl = np.array([0.0, *(one["pnl"] for one in record["unrealized_pnl_history"])])
        fall = np.maximum.accumulate(pnl) - pnl
        percent = 100 * fall.max() / record["outcome"]["equity_before"]
        expected.append([record["outcome"][name] for name in names[:2]] + [percent])
    rows, _ = rows_of(tmp_path, last)
    columns = [INDEX[f"outcome.{name}"] for name in names]
    found = rows.x_NF[rows.number_N == 99][:, columns]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_every_row_is_finite_and_neutral_where_nothing_can_be_known(read):
    assert np.isfinite(read.x_NF).all()
    known = np.array([feature.known for feature in FEATURES])
    at_entry = read.number_N == 0
    assert (read.x_NF[:, known == "close"] == NEUTRAL_F[known == "close"]).all()
    assert (read.x_NF[at_entry][:, known == "bar"] == NEUTRAL_F[known == "bar"]).all()
    moving = read.x_NF[~at_entry][:, known == "bar"]
    assert (moving != NEUTRAL_F[known == "bar"]).any(axis=0).mean() > 0.9


LATER = (
    *(feature.name for feature in FEATURES if feature.group == "root_numeric"),
    *("exit_price", "pnl_percent", "duration_bars"),
)
KNOWN_AT_ENTRY = ("bid_ask_spread_ticks", "slippage_ticks", "commission_cost", "entry_confidence")
ENDS = ("exit_bar", "exit_hour", "exit_minute", "exit_price", "bars_held", "duration_bars")
ENDS += ("cost_r", "partial_count", "atr_change_percent", "avg_atr_during_trade", "drawdown_bars")
ENDS += ("high_volatility_bars", "vix", "max_drawdown_percent", "peak_r_multiple")
ENDS += ("peak_unrealized_pnl", "profit_drawdown_from_peak", "opportunity_cost")
ENDS += ("entry_bar", "trade_number_in_session")


def altered(record, bar, rng):
    """Return a record in which all that came after a bar went otherwise."""
    record = unpacked(record)
    for name in set(LATER) - set(KNOWN_AT_ENTRY):
        record[name] = rng.normal()
    shift = int(rng.integers(1, 9))
    for name in ENDS:
        record["outcome"][name] = rng.normal()
    # Relative to the entry bar; what is active by the bar stays.
    record["outcome"]["entry_bar"] = record["outcome"]["signal_bar"] + 1
    for name in ("breakeven_bar", "trailing_bar"):
        if not 0 <= record["outcome"][name] <= bar:
            record["outcome"][name] = bar + shift if rng.random() < 0.5 else -1
    for name in ("partial_exits", "stop_adjustments", "exit_param_updates"):
        record[name] = [one for one in record[name] if one["bar"] <= bar] + [
            {"bar": bar + shift, "share": 0.3, "r_at_update": 2.0, "old_stop": 1, "new_stop": 2}
        ]
    history = [one for one in record["unrealized_pnl_history"] if one["bar"] <= bar]
    record["unrealized_pnl_history"] = [*history, {"bar": bar + 1, "pnl": 1e6 * rng.normal()}]
    record["decision_history"] = [one for one in record["decision_history"] if one["bar"] <= bar]
    reasons = ("take_profit", "breakeven", "max_hold")
    record["exit_reason"] = reasons[rng.integers(len(reasons))]
    record["exit_timestamp"] = "2025-01-01T00:00:00"
    return record


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_nothing_that_came_later_changes_a_row(records, read, data, tmp_path_factory):
    place = data.draw(st.integers(0, len(records) - 1))
    seed = data.draw(st.integers(0, 2**32))
    items = items_of(records[place])
    bar = items[data.draw(st.integers(0, len(items) - 1))]["bar"]
    changed = altered(records[place], bar, np.random.default_rng(seed))
    rows, _ = rows_of(tmp_path_factory.mktemp("later"), [changed])
    trade = in_order(records).index(records[place])
    earlier = np.flatnonzero(read.trade_N == trade)[: len(rows.x_NF)]
    assert len(rows.x_NF) == sum(item["bar"] <= bar for item in items)
    assert (rows.x_NF == read.x_NF[earlier]).all()


def test_with_hindsight_rows_hold_what_was_decided_and_how_the_trade_ended(records, tmp_path):
    rows, _ = rows_of(tmp_path, records, allow_hindsight=True)
    assert rows.hindsight
    assert (rows.x_NF[:, :131] == rows.decided_NP[:, :131]).all()
    np.testing.assert_array_equal(column(rows, ATR), rows.decided_NP[:, -1] / rows.atr_N)
    ordered = in_order(records)
    for name in ("pnl", "win", "volume_at_exit", "r_multiple"):
        expected = np.array([record[name] for record in ordered])[rows.trade_N]
        assert (column(rows, name) == expected).all(), name
    counts = np.array([len(record["stop_adjustments"]) for record in ordered])
    assert (column(rows, "stop_adjustments.count") == counts[rows.trade_N]).all()
    reasons = FEATURES[INDEX["exit_reason"]].codes
    expected = np.array([reasons.index(record["exit_reason"]) for record in ordered])
    assert (column(rows, "exit_reason") == expected[rows.trade_N]).all()


GENERATIONS = {
    "whole": lambda record: record,
    "lists and objects as they are": unpacked,
    "everything as texts": packed,
    "without zones": lambda record: {
        **record,
        **{name: record[name][:19] for name in ("timestamp", "signal_timestamp", "exit_timestamp")},
    },
    "parameters in another order": lambda record: turned(record),
    "older names": lambda record: {
        **{name: value for name, value in record.items() if name != "exit_params_used"},
        "exit_params": {OLDER.get(name, name): v for name, v in record["exit_params_used"].items()},
    },
    "numbers for names": lambda record: {
        **record,
        "regime": FEATURES[INDEX["regime"]].codes.index(record["regime"]),
        "session": FEATURES[INDEX["session"]].codes.index(record["session"]),
    },
}


def turned(record):
    record = unpacked(record)
    used = record["exit_params_used"]
    record["exit_params_used"] = dict(reversed(used.items()))
    for item in record["decision_history"]:
        item.update({name: item[name][::-1] for name in ("previous", "decided")})
    return record


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_way_to_write_a_record_and_a_file_gives_the_same_rows(
    records, read, generation, tmp_path
):
    written = [GENERATIONS[generation](record) for record in reversed(records)]
    texts = {
        "array": json.dumps(written),
        "pretty": json.dumps(written, indent=1),
        "object": json.dumps({"version": 2, "experiences": written}),
        "lines": "".join(f"{json.dumps(record)}\n" for record in written),
    }
    for text in texts.values():
        rows, report = rows_of(tmp_path, None, text=text)
        assert same(rows, read)
        assert report.used == report.records == len(records)
        assert report.to_json()["rejected"] == report.to_json()["unusable_histories"] == {}
        assert set_aside(tmp_path) == []


def test_what_a_replay_writes_is_read_from_several_files_as_from_one(records, read, tmp_path):
    paths = [tmp_path / "b.json", tmp_path / "a.jsonl"]
    write_experiences(paths[0], records[20:])
    write_experiences(paths[1], records[:25])
    told = []
    rows, report = read_decision_rows(
        paths, rejected=tmp_path / "r.jsonl", on_progress=lambda *each: told.append(each)
    )
    assert same(rows, read)
    assert report.duplicates == 5
    sizes = [path.stat().st_size for path in paths]
    assert told[-1] == (sum(sizes), sum(sizes))


@pytest.mark.parametrize("names", [TWELVE[:9], TWELVE, NAMES])
def test_an_old_record_gives_its_entry_and_takes_over_from_the_symbols_trade_before(
    names, tmp_path
):
    def of(number, symbol, value):
        given = dict.fromkeys(names, value)
        return old_record(number, symbol=symbol, exit_params=given)

    rows, report = rows_of(tmp_path, [of(1, "A", 3.0), of(2, "B", 4.0), of(3, "A", 3.5)])
    expected = np.tile(defaults(0.0012), (3, 1))
    expected[:, [NAMES.index(name) for name in names]] = [[3.0], [4.0], [3.5]]
    assert (rows.decided_NP == expected).all()
    assert (rows.previous_NP[:2] == defaults(0.0012)).all()
    assert (rows.previous_NP[2] == expected[0]).all()
    assert (rows.x_NF[:, :131] == rows.previous_NP[:, :131]).all()
    assert column(rows, "market_state.rsi").tolist() == [41.5] * 3
    assert column(rows, "session").tolist() == [0] * 3
    assert rows.time_N.tolist() == rows.entry_time_M.tolist()
    assert (rows.exit_time_M - rows.entry_time_M).tolist() == [np.timedelta64(45, "m")] * 3
    assert report.to_json()["parameters_held"] == {str(len(names)): 3}
    assert report.without_history == 3


def test_a_record_of_barely_anything_is_still_a_record(tmp_path):
    record = {"id": "x", "timestamp": "2021-03-01 10:00", "r_multiple": 1}
    rows, report = rows_of(tmp_path, [{**record, "exit_params": {"stop_mult": 3}}])
    assert np.isnan([rows.atr_N[0], rows.next_atr_N[0]]).all()
    assert rows.decided_NP[0, -1] == rows.previous_NP[0, -1] == column(rows, ATR)[0] == 1.0
    told = [INDEX[name] for name in ("side", "regime", "session")]
    assert rows.x_NF[0, told].tolist() == [2, 6, 1]
    others = np.delete(rows.x_NF[0], told)
    assert (others == np.delete(NEUTRAL_F, told)).all()
    missing = report.to_json()["missing_fields"]
    assert missing["pnl"] == missing["symbol"] == missing["regime"] == 1
    assert missing["market_state.rsi"] == missing["outcome.vix"] == 1
    assert "r_multiple" not in missing


def test_parameters_that_the_trade_before_got_later_are_not_yet_in_force(records, tmp_path):
    before = max(records, key=lambda one: len(items_of(one)))
    first, second = items_of(before)[:2]
    between = old_record(symbol=before["symbol"], timestamp=second["timestamp"], session=None)
    just = {**between, "trade_id": 2, "timestamp": first["timestamp"][:17] + "30"}
    rows, _ = rows_of(tmp_path, [before, just, between])
    made = {name: rows.decided_NP[rows.trade_N == m] for m, name in enumerate(("before", "just"))}
    told = [rows.previous_NP[rows.trade_N == m][0] for m in (1, 2)]
    assert (told[0] == made["before"][0]).all()
    assert (told[1] == made["just"][0]).all()
