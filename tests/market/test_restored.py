import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.checks.bar_report import Dropped
from market.checks.clock import ClockEvidence, YearClock
from market.checks.day_pattern import ClockChange
from market.restored import restored, time_text
from selection import to_json_safe

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(-(2**62), 2**62)
TEXT = st.text(max_size=6)
TIMES = st.integers(-(2**50), 2**55).map(lambda count: np.datetime64(count, "us"))
CLOCKS = st.builds(
    ClockEvidence,
    kind=st.sampled_from(["week", "every day"]),
    sentence=TEXT,
    looks_wrong=st.booleans(),
    busiest_hours=st.lists(COUNTS, max_size=3).map(tuple),
    session=st.none() | TEXT,
    best_share=NUMBERS,
    years=st.lists(st.builds(YearClock, COUNTS, TEXT, NUMBERS), max_size=2).map(tuple),
    changes=st.lists(st.builds(ClockChange, TEXT, COUNTS), max_size=2).map(tuple),
)


@dataclass(frozen=True, slots=True)
class Everything:
    """One field of each type that a report has."""

    clock: ClockEvidence
    dropped: Mapping[str, Dropped]
    repairs: Mapping[str, int]
    at_utc: np.datetime64 | None
    share: float
    name: str | None


REPORTS = st.builds(
    Everything,
    CLOCKS,
    st.dictionaries(TEXT, st.builds(Dropped, COUNTS, COUNTS), max_size=3),
    st.dictionaries(TEXT, COUNTS, max_size=3),
    st.none() | TIMES,
    NUMBERS,
    st.none() | TEXT,
)


def there_and_back(value):
    return restored(type(value), json.loads(json.dumps(asdict(value), default=time_text)))


@given(REPORTS)
def test_what_comes_back_is_equal_and_prints_the_same(report):
    back = there_and_back(report)
    assert back == report
    assert repr(back) == repr(report)
    assert json.dumps(to_json_safe(back)) == json.dumps(to_json_safe(report))


def test_the_order_of_a_mapping_is_kept():
    report = Everything(ClockEvidence("week", ""), {}, {"b": 1, "a": 2}, None, 0.0, None)
    assert list(there_and_back(report).repairs) == ["b", "a"]


@pytest.mark.parametrize("value", [np.int64(3), np.bool_(True), np.datetime64("2024-01-01", "s")])
def test_what_json_would_not_give_back_is_refused(value):
    with pytest.raises(TypeError, match="has no place in JSON"):
        json.dumps(value, default=time_text)


def test_a_missing_field_is_no_report():
    with pytest.raises(KeyError, match="first_row"):
        restored(Dropped, {"count": 1})
