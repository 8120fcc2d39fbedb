"""Closed trades to publish, record and read."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from live.events import TradeClosed, fields_of

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PRICES = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
ZONES = st.timezones() | st.just(UTC)


def trade(number=0, **changed):
    values = {
        "timestamp": datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=number),
        "symbol": "EURUSD",
        "side": "LONG",
        "order_id": f"o{number}",
        "entry_price": 1.1 + number / 1e5,
        "exit_price": 1.25,
        "pnl_percent": 0.4,
        "pnl_usd": 12.5,
        "R_net": 0.7,
        "confidence": 0.61,
        "model_id": "xgboost-EURUSD",
        "reason": "target",
        "source": "paper",
    }
    return TradeClosed(**values | changed)


def fields(number=0, **changed):
    """Return a trade as a producer publishes it; None takes a field out."""
    found = fields_of(trade(number)) | changed
    return {name: value for name, value in found.items() if value is not None}


def in_bytes(event):
    return {name.encode(): value.encode() for name, value in event.items()}


def any_trade():
    return st.builds(
        TradeClosed,
        timestamp=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=ZONES),
        symbol=TEXTS,
        side=st.sampled_from(["LONG", "SHORT"]),
        order_id=TEXTS,
        entry_price=PRICES,
        exit_price=PRICES,
        pnl_percent=NUMBERS,
        pnl_usd=NUMBERS,
        R_net=NUMBERS,
        confidence=st.floats(0, 1),
        model_id=TEXTS,
        reason=TEXTS,
        source=TEXTS,
        quantity=st.none() | PRICES,
        manifest_sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    )
