import copy
import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from exits.decision_rows import read_decision_rows
from exits.experience_files import ExperienceError
from exits.feature_table import INDEX
from tests.exits.records import old_record, packed, rows_of, set_aside, unpacked
from tests.exits.replays import experiences_of, replayed, some_bars


@pytest.fixture(scope="module")
def records(random_bars):
    bars = some_bars(random_bars, 3)
    return experiences_of(replayed(bars, 5), bars)


def column(rows, name):
    return rows.x_NF[:, INDEX[name]]


BROKEN = {
    "not JSON": ('{"trade_id": 7,', "not JSON"),
    "a number": ("5", "a record must be an object, was 5"),
    "no id": ({"trade_id": None}, "no id: one of trade_id, id, experience_id, position_id"),
    "no time": ({"timestamp": None}, "no timestamp"),
    "bad time": ({"timestamp": "soon"}, "timestamp must be a time such as .*, was 'soon'"),
    "a time that is a number": ({"timestamp": 1e9}, "must be a time such as .*, was 1000000000.0"),
    "an exit before the entry": ({"exit_time": "2020-01-01"}, "exit_timestamp lies before"),
    "no R": ({"r_multiple": None}, "r_multiple is no number, and pnl / "),
    "R not finite": ({"r_multiple": math.nan, "pnl": 1.0}, "r_multiple is no number"),
    "a text for a number": ({"pnl": "12.5"}, "pnl must be a number, was '12.5'"),
    "a text in the outcome": ({"outcome": {"vix": "9"}}, "outcome.vix must be a number, was '9'"),
    "too large a number": ({"pnl": 10**400}, "pnl must be a number, was 1000"),
    "a list for an object": ({"market_state": [1]}, r"market_state must be an object, was \[1\]"),
    "a text that is no JSON": ({"outcome": "{"}, "outcome is a text that is not JSON"),
    "an object for a list": ({"partial_exits": {"a": 1}}, "partial_exits must be a list, was"),
    "a list of numbers": ({"stop_adjustments": [3]}, "stop_adjustments must hold objects, held 3"),
    "no parameters": ({"exit_params": {}}, "exit_params_used holds no exit parameters"),
    "unknown parameter": ({"exit_params": {"stop_mlt": 3}}, "did you mean stop_mult"),
    "parameter given twice": (
        {"exit_params": {"runner_hold_min_r": 1, "runner_hold_criteria": 2}},
        "runner_hold_min_r is given twice",
    ),
    "parameter no number": ({"exit_params": {"stop_mult": "3"}}, "stop_mult must be a number"),
    "parameter not finite": ({"exit_params": {"stop_mult": math.inf}}, "must be a finite number"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_record_that_cannot_be_used_is_set_aside_with_the_reason_and_the_rest_goes_on(
    what, tmp_path
):
    change, said = BROKEN[what]
    broken = change if isinstance(change, str) else json.dumps(old_record(7, **change))
    text = "\n".join([json.dumps(old_record(1)), broken, json.dumps(old_record(2))])
    rows, report = rows_of(tmp_path, None, text=text)
    assert len(rows.r_M) == report.used == 2
    (told,) = set_aside(tmp_path)
    assert told.keys() == {"file", "index", "line", "id", "reason"}
    assert (told["index"], told["line"]) == (1, 2)
    assert told["id"] == (None if what in ("not JSON", "a number", "no id") else 7)
    with pytest.raises(
        ExperienceError, match=f"none of 1 records can be used; the first: .*{said}"
    ):
        rows_of(tmp_path, None, text=broken)
    assert len(set_aside(tmp_path)) == 1


HISTORIES = {
    "not JSON": "[{",
    "a number": 5,
    "items that are no objects": [1],
    "no parameters": [{"number": 0, "bar": 3, "timestamp": "2021-01-01"}],
    "texts for numbers": [{"number": 0, "bar": "3"}],
}


@pytest.mark.parametrize("what", [*HISTORIES, "short", "backwards", "no time", "infinite"])
def test_a_history_that_cannot_be_used_leaves_the_entry_and_is_counted(records, what, tmp_path):
    record = max(map(unpacked, records), key=lambda one: len(one["decision_history"]))
    items = copy.deepcopy(record["decision_history"])
    spoil = {
        "short": lambda: items[0]["decided"].pop(),
        "backwards": lambda: items.reverse(),
        "no time": lambda: items[1].pop("timestamp"),
        "infinite": lambda: items[1]["previous"].__setitem__(0, math.inf),
    }
    spoil.get(what, lambda: None)()
    rows, report = rows_of(tmp_path, [{**record, "decision_history": HISTORIES.get(what, items)}])
    assert rows.number_N.tolist() == [0]
    assert rows.decided_NP[0].tolist() == list(record["exit_params_used"].values())
    (reason,) = report.unusable
    assert reason.startswith("decision_history: ")
    assert report.without_history == 1


def test_a_name_that_nobody_knows_is_other_and_counted_and_never_a_known_one(tmp_path):
    odd = [
        {"regime": "SIDEWAYS", "side": 1, "session": "Sydney"},
        {"regime": 9, "side": "flat", "session": 2.5},
        {"regime": "high-vol choppy", "side": "Sell", "session": "new york"},
        {"regime": 3.0, "side": "buy", "session": "asia"},
    ]
    rows, report = rows_of(
        tmp_path, [old_record(n, **one) for n, one in enumerate(odd)], allow_hindsight=True
    )
    assert column(rows, "regime").tolist() == [6, 6, 4, 3]
    assert rows.regime_M.tolist() == [-1, -1, 4, 3]
    assert column(rows, "side").tolist() == [2, 2, 1, 0]
    assert column(rows, "session").tolist() == [3, 3, 2, 0]
    unknown = report.to_json()["unknown_categories"]
    assert unknown["regime"] == {"'SIDEWAYS'": 1, "9": 1}
    assert unknown["side"] == {"1": 1, "'flat'": 1}
    assert unknown["session"] == {"'Sydney'": 1, "2.5": 1}


def test_a_trade_is_the_same_if_its_id_its_symbol_and_its_entry_are(tmp_path):
    one = old_record(1, timestamp="2021-03-01T10:00:00")
    others = [
        {**one, "timestamp": "2021-03-01T12:00:00+02:00", "pnl": 9.0},
        {**one, "timestamp": "2021-03-01 10:00:00Z"},
        {**one, "timestamp": "2021-03-01T10:00:00-01:00"},
        {**one, "symbol": "GBPUSD"},
        {**one, "trade_id": 2},
    ]
    rows, report = rows_of(tmp_path, [one, *others])
    assert (report.duplicates, report.used, len(rows.r_M)) == (2, 4, 4)


def test_r_is_computed_where_the_record_has_what_it_takes(tmp_path):
    outcome = {"risk_price": 0.002, "contracts": 5000.0}
    rows, _ = rows_of(tmp_path, [old_record(r_multiple=None, pnl=-5.0, outcome=outcome)])
    assert rows.r_M.tolist() == [-0.5]


def test_an_end_in_the_future_and_parameters_that_nothing_read_are_set_aside(tmp_path):
    odd = [
        old_record(2, exit_timestamp="2999-01-01T00:00:00Z"),
        old_record(3, prediction_source="hold_to_barrier"),
    ]
    rows, report = rows_of(tmp_path, [old_record(1), *odd])
    assert len(rows.r_M) == 1
    assert report.to_json()["rejected"] == {"bad timestamp": 1, "no parameters in force": 1}


def test_a_trade_whose_end_nothing_tells_is_taken_to_have_lasted_as_long_as_any(tmp_path):
    untold = old_record(2)
    del untold["duration"]
    rows, _ = rows_of(tmp_path, [old_record(1, duration=600), untold])
    lasted_M = (rows.exit_time_M - rows.entry_time_M) / np.timedelta64(1, "m")
    assert lasted_M.tolist() == [600.0, 600.0]


def test_whoever_learns_has_seen_what_the_policy_had_learnt_from(tmp_path):
    later = "2023-05-01T00:00:00+00:00"
    rows, _ = rows_of(tmp_path, [old_record(1), old_record(2, policy_learnt_until=later)])
    assert rows.learnt_until == np.datetime64("2023-05-01T00:00", "us")
    rows, _ = rows_of(tmp_path, [old_record(1), old_record(2)])
    assert rows.learnt_until == rows.exit_time_M.max()


def test_numbers_that_are_not_finite_are_missing_ones(tmp_path):
    state = {"atr": math.inf, "rsi": math.nan, "vix": -math.inf}
    rows, report = rows_of(tmp_path, [old_record(market_state=state, mfe=math.nan)])
    assert column(rows, "market_state.rsi").tolist() == [50.0]
    assert np.isfinite(rows.x_NF).all()
    missing = report.to_json()["missing_fields"]
    assert missing["market_state.rsi"] == missing["market_state.atr"] == missing["mfe"] == 1


@pytest.mark.parametrize("text", ["", "[]", '{"experiences": []}'])
def test_a_file_without_a_record_is_an_error_unless_another_has_some(text, tmp_path):
    with pytest.raises(ExperienceError, match=r"experiences.json: no experience in it"):
        rows_of(tmp_path, None, text=text)
    more = tmp_path / "more.json"
    more.write_text(json.dumps([old_record()]))
    paths = [tmp_path / "experiences.json", more]
    rows, _ = read_decision_rows(paths, rejected=tmp_path / "rejected.jsonl")
    assert len(rows.r_M) == 1


SOUND = [old_record(1), old_record(2, timestamp="2021-03-02T10:00:00+01:00"), old_record(3)]
PIECES = ('"', "{", "}", "[", "]", ",", ":", "\\", "\n", "null", "NaN", "-1e999", '"x"', "9" * 400)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_with_a_file_its_rows_are_finite_or_one_line_says_why(
    records, data, tmp_path_factory
):
    whole = [*SOUND, records[0], packed(records[1])]
    text = data.draw(
        st.sampled_from((json.dumps(whole), "\n".join(json.dumps(one) for one in whole)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(text)))
        end = begin + data.draw(st.sampled_from((0, 1, 5, 500)))
        text = text[:begin] + data.draw(st.sampled_from(("", *PIECES))) + text[end:]
    folder = tmp_path_factory.mktemp("spoilt")
    said = ""
    try:
        rows, report = rows_of(folder, None, text=text)
    except ExperienceError as error:
        said = str(error)
    assert "\n" not in said
    if said:
        return
    assert np.isfinite(rows.x_NF).all()
    assert np.isfinite(rows.decided_NP).all()
    assert np.isfinite(rows.previous_NP).all()
    assert report.records == report.used + report.duplicates + len(set_aside(folder))
