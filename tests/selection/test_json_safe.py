import json
import warnings
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from selection import to_json_safe
from selection.atomic import write_json_atomically
from selection.json_safe import UnserialisableFieldWarning


class Side(Enum):
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Fold:
    start: np.datetime64
    accuracy: np.float32
    model: object = None


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(max_size=3),
    st.complex_numbers(),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.builds(object),
    st.sampled_from([Path("a/b"), Side.LONG, Fold]),
    hnp.scalar_dtypes().flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_side=2))),
    hnp.scalar_dtypes().flatmap(lambda dtype: hnp.arrays(dtype, ())),
    hnp.scalar_dtypes().flatmap(hnp.from_dtype),
)
KEYS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates())
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.sets(st.one_of(st.integers(), st.text(), st.none()), max_size=3),
        st.dictionaries(st.one_of(KEYS, st.tuples(KEYS, KEYS)), inner, max_size=3),
        st.builds(Fold, inner, inner, inner),
    ),
    max_leaves=8,
)


def quietly(obj: object) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnserialisableFieldWarning)
        return to_json_safe(obj)


@given(ANYTHING)
def test_any_object_becomes_strict_json_and_reads_back_as_itself(obj: object) -> None:
    safe = quietly(obj)
    assert json.loads(json.dumps(safe, allow_nan=False)) == safe
    assert to_json_safe(safe) == safe


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_what_is_json_already_stays_as_it_is(value: object) -> None:
    assert to_json_safe(value) == value


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (float("nan"), None),
        (np.float64("-inf"), None),
        (np.longdouble(0.25), 0.25),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.array([[1, 2], [3, 4]], dtype=np.uint8), [[1, 2], [3, 4]]),
        (np.ma.masked_array([1.0, 2.0], mask=[True, False]), [None, 2.0]),
        (np.array("text"), "text"),
        (np.array([1, "a", None], dtype=object), [1, "a", None]),
        (Path("models/EURUSD"), "models/EURUSD"),
        (Side.LONG, "long"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({3, 1, 2}, [1, 2, 3]),
        (
            {0: "a", None: "b", True: "c", 0.5: "d"},
            {"0": "a", "null": "b", "true": "c", "0.5": "d"},
        ),
        ({("EURUSD", "MLP"): 1, date(2024, 1, 2): 2}, {'["EURUSD", "MLP"]': 1, "2024-01-02": 2}),
    ],
)
def test_values_take_the_form_a_reader_expects(obj: object, expected: object) -> None:
    safe = to_json_safe(obj)
    assert safe == expected
    assert type(safe) is type(expected)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2024, 1, 2, 3), "2024-01-02T03:00:00+00:00"),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-02T03:00:00+00:00"),
        (
            datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
            "2024-01-02T03:00:00+02:00",
        ),
        (date(2024, 1, 2), "2024-01-02"),
        (np.datetime64("2024-01-02"), "2024-01-02"),
        (np.datetime64("2024-01-02T03", "h"), "2024-01-02T03:00:00+00:00"),
        (
            np.datetime64("2024-01-02T03:00:00.000000001", "ns"),
            "2024-01-02T03:00:00.000000001+00:00",
        ),
        (np.datetime64("NaT", "us"), None),
    ],
)
def test_times_are_iso_8601_and_utc_unless_they_say_otherwise(
    moment: object, text: str | None
) -> None:
    assert to_json_safe(moment) == text


def test_everything_that_cannot_be_written_is_named_in_one_warning() -> None:
    fold = Fold(np.datetime64("2024-01-02", "s"), np.float32(0.5), model=object())
    result = {"history": {"folds": [fold], "raw": b"x"}, "wait": timedelta(1), "kept": 1}
    with pytest.warns(UnserialisableFieldWarning) as caught:
        safe = to_json_safe(result)
    folds = [{"start": "2024-01-02T00:00:00+00:00", "accuracy": 0.5}]
    assert safe == {"history": {"folds": folds}, "kept": 1}
    assert len(caught) == 1
    message = str(caught[0].message)
    for name in ("history.folds.0.model (object)", "history.raw (bytes)", "wait (timedelta)"):
        assert name in message


@pytest.mark.parametrize(
    "span", [np.timedelta64(1, "h"), np.ones(2, "m8[h]"), np.ones(2, complex), np.ones(2, "V3")]
)
def test_an_array_or_number_without_a_json_form_is_left_out_as_one_field(span: object) -> None:
    with pytest.warns(UnserialisableFieldWarning, match=r"there: held \([^()]+\)$"):
        assert to_json_safe({"held": span}) == {}


def test_two_keys_of_the_same_text_keep_the_first_and_name_the_second() -> None:
    with pytest.warns(UnserialisableFieldWarning, match="folds.1 "):
        assert to_json_safe({"folds": {1: "a", "1": "b"}}) == {"folds": {"1": "a"}}


def test_an_object_inside_itself_is_cut_and_a_shared_one_is_written_twice() -> None:
    shared = [1]
    result: dict[str, object] = {"a": shared, "b": shared}
    result["again"] = {"result": result}
    with pytest.warns(UnserialisableFieldWarning, match="again.result"):
        assert to_json_safe(result) == {"a": [1], "b": [1], "again": {}}


def test_endless_nesting_ends() -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    with pytest.warns(UnserialisableFieldWarning, match="nested too deeply"):
        json.dumps(to_json_safe(nested))


def test_an_integer_too_long_to_print_is_left_out() -> None:
    with pytest.warns(UnserialisableFieldWarning, match=r"rows \(int\)"):
        assert to_json_safe({"rows": 10**5000}) == {}


def test_an_object_of_no_json_form_at_all_gives_none() -> None:
    with pytest.warns(UnserialisableFieldWarning, match="everything"):
        assert to_json_safe(object()) is None


def test_a_json_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "result.json"
    write_json_atomically(path, {"accuracy": np.float32(0.5), "loss": float("nan")})
    assert json.loads(path.read_text()) == {"accuracy": 0.5, "loss": None}

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_json_atomically(path, {})
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]
    assert json.loads(path.read_text()) == {"accuracy": 0.5, "loss": None}
