"""What an event must hold, and what is said of one that does not."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from live.events import (
    EventRefusedError,
    HarvestIntent,
    TradeClosed,
    decoded,
    fields_of,
    unknown_fields,
)
from tests.live.trades import any_trade, fields, in_bytes, trade

REQUIRED = [name for name, one in TradeClosed.model_fields.items() if one.is_required()]


def refusal(event, kind=TradeClosed):
    with pytest.raises(EventRefusedError) as error:
        decoded(kind, event)
    return str(error.value)


def intent(**changed):
    values = {
        "timestamp": datetime(2026, 1, 5, tzinfo=UTC),
        "symbol": "EURUSD",
        "side": "SHORT",
        "order_id": "o1",
        "action": "PARTIAL_CLOSE",
        "fraction": 0.35,
        "entry_price": 1.2,
        "current_price": 1.1,
        "r": 1.5,
        "scores": {"hold": 3.0, "exit": 4.0},
        "reasons": ["regime changed: 5 for an exit"],
        "intent_id": "o1-12",
    }
    return HarvestIntent(**values | changed)


@given(any_trade())
def test_a_trade_comes_off_a_stream_as_it_was_published(event):
    assert decoded(TradeClosed, fields_of(event)) == event
    assert decoded(TradeClosed, in_bytes(fields_of(event))) == event


def test_an_intent_comes_off_a_stream_as_it_was_published():
    for event in (intent(), intent(action="CLOSE", fraction=1), intent(scores={}, reasons=())):
        assert decoded(HarvestIntent, in_bytes(fields_of(event))) == event


def test_fields_in_bytes_give_their_own_values_and_no_default():
    event = decoded(TradeClosed, in_bytes(fields(entry_price="1.10234")))
    assert event.entry_price == 1.10234


@pytest.mark.parametrize("name", REQUIRED)
def test_no_required_field_has_a_default(name):
    assert refusal(in_bytes(fields(**{name: None}))) == f"{name}: missing"
    assert len(REQUIRED) == 13


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"entry_price": "0.0"}, "entry_price: must be above 0, was '0.0'"),
        ({"exit_price": "-1"}, "exit_price: must be above 0, was '-1'"),
        ({"entry_price": "1e-400"}, "entry_price: must be above 0, was '1e-400'"),
        ({"entry_price": "1e400"}, "entry_price: must be a finite number, was '1e400'"),
        ({"entry_price": ""}, "entry_price: must be a number, was empty"),
        ({"R_net": "nan"}, "R_net: must be a finite number, was 'nan'"),
        ({"pnl_usd": "1_000"}, "pnl_usd: must be a finite number, was '1_000'"),
        ({"pnl_usd": "\u0661"}, "pnl_usd: must be a finite number, was '\u0661'"),
        ({"confidence": "1.2"}, "confidence: must be in [0, 1], was '1.2'"),
        ({"side": "long"}, "side: must be LONG or SHORT, was 'long', did you mean LONG?"),
        ({"side": "SELL"}, "side: must be LONG or SHORT, was 'SELL', did you mean SHORT?"),
        ({"side": "flat"}, "side: must be LONG or SHORT, was 'flat'"),
        ({"symbol": " "}, "symbol: must not be empty"),
        ({"reason": "x" * 1001}, "reason: must be at most 1,000 signs long, was 1,001"),
        ({"quantity": "0"}, "quantity: must be above 0, was '0'"),
        (
            {"timestamp": "2026-01-05T00:00:00"},
            "timestamp: must say its zone, such as +00:00, was '2026-01-05T00:00:00'",
        ),
        (
            {"timestamp": "1767571200"},
            "timestamp: must be ISO 8601 such as 2026-01-31T09:30:00+00:00, was '1767571200'",
        ),
        (
            {"timestamp": "0001-01-01T00:00:00+09:00"},
            "timestamp: must be a time, was '0001-01-01T00:00:00+09:00'",
        ),
        (
            {"manifest_sha256": "abc"},
            "manifest_sha256: must be a SHA-256 in 64 hexadecimal digits, was 'abc'",
        ),
        (
            {"entry_price": None, "entryPrice": "1.1"},
            "entry_price: missing (there is 'entryPrice')",
        ),
    ],
)
def test_a_field_that_is_wrong_is_named_with_what_it_was(changed, said):
    assert refusal(in_bytes(fields(**changed))) == said


def test_all_that_is_wrong_is_said_in_one_line_and_counted_by_the_first():
    event = in_bytes(fields(entry_price=None, R_net="x", side="up"))
    with pytest.raises(EventRefusedError) as error:
        decoded(TradeClosed, event)
    assert [one.split(":")[0] for one in str(error.value).split("; ")] == [
        "side",
        "entry_price",
        "R_net",
    ]
    assert error.value.kind == "side: must be LONG or SHORT"


def test_bytes_that_are_no_text_are_refused_by_name():
    event = in_bytes(fields()) | {b"symbol": b"\xff\xfe"}
    assert refusal(event) == "symbol: must be UTF-8, was b'\\xff\\xfe'"


def test_a_field_given_as_text_and_as_bytes_is_refused():
    event = fields() | {b"entry_price": b"2.5"}
    assert "entry_price: must be given once" in refusal(event)


def test_an_event_too_large_to_be_one_is_refused_unread():
    assert refusal(fields(note="x" * 70_000)).startswith("event: must be at most 65,536 bytes")


@given(st.dictionaries(st.sampled_from(REQUIRED) | st.text(), st.text() | st.just("1.5")))
def test_whatever_comes_is_decoded_or_refused_in_one_line(changed):
    event = fields() | changed
    said = "nothing"
    try:
        decoded(TradeClosed, event)
    except EventRefusedError as error:
        said = str(error)
    assert said == "nothing" or (said.isprintable() and ": " in said)


def test_fields_of_other_producers_are_left_alone_and_can_be_had():
    event = in_bytes(fields()) | {b"venue": b"X", b"\xff": b"\xfe"}
    assert decoded(TradeClosed, event) == trade()
    assert unknown_fields(TradeClosed, event) == {b"venue": b"X", b"\xff": b"\xfe"}


def test_times_of_any_zone_are_the_same_moment_in_utc():
    there = datetime(2026, 1, 5, 3, tzinfo=timezone(timedelta(hours=3)))
    assert trade(timestamp=there).timestamp == datetime(2026, 1, 5, tzinfo=UTC)
    assert decoded(TradeClosed, fields(timestamp="2026-01-05T00:00:00Z")).timestamp.tzinfo is UTC


def test_profit_may_contradict_the_prices_since_costs_do():
    assert trade(entry_price=1.0, exit_price=1.1, pnl_usd=-3.0).pnl_usd == -3.0


def test_numbers_of_numpy_are_written_as_numbers():
    event = trade(entry_price=np.float64(1.5), exit_price=np.float32(2.5), pnl_usd=np.int64(3))
    assert [fields_of(event)[name] for name in ("entry_price", "exit_price", "pnl_usd")] == [
        "1.5",
        "2.5",
        "3.0",
    ]


def test_a_producer_cannot_make_an_event_that_would_be_refused():
    with pytest.raises(ValidationError, match="confidence"):
        trade(confidence=float("nan"))
    with pytest.raises(ValidationError, match="zone"):
        trade(timestamp=datetime(2026, 1, 5))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fraction": "0.5", "action": "CLOSE"}, "fraction: must be 1 for CLOSE, was 0.5"),
        ({"fraction": "1"}, "fraction: must be in (0, 1) for a part, was 1.0"),
        ({"fraction": "0"}, "fraction: must be in (0, 1) for a part, was 0.0"),
        ({"action": "HOLD"}, "action: must be CLOSE or PARTIAL_CLOSE, was 'HOLD'"),
        ({"scores": "[1]"}, "scores: must be an object of numbers, was '[1]'"),
        ({"scores": '{"hold": "x"}'}, "scores: must be a finite number, was 'x'"),
        ({"reasons": "[1]"}, "reasons: must be a list of texts, was '[1]'"),
        ({"intent_id": ""}, "intent_id: must not be empty"),
    ],
)
def test_an_intent_that_cannot_be_carried_out_is_refused_by_name(changed, said):
    assert refusal(fields_of(intent()) | changed, HarvestIntent) == said


@pytest.mark.parametrize("text", ["[" * 5000, "{", '{"a": NaN}', "\ud800"])
def test_json_that_is_none_is_refused_by_name(text):
    assert refusal(fields_of(intent()) | {"scores": text}, HarvestIntent).startswith("scores: ")
