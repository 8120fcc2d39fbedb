"""Rows to train on: what is refused, what identifies them, how labels share their bars."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.bars import DataError
from market.samples import Samples, uniqueness

HOUR = np.timedelta64(3_600_000_000, "us")


def four_rows():
    t0_N = np.datetime64("2024-01-01", "us") + np.arange(4) * HOUR
    x_NF = np.arange(8, dtype=float).reshape(4, 2)
    return Samples(x_NF, np.array([0, 1, 1, 0]), np.ones(4), t0_N, t0_N + HOUR, ("rsi", "atr"))


def changed(name, row, value, column=None):
    """Four rows with one value of one array changed."""
    array = getattr(four_rows(), name).copy()
    array[row if column is None else (row, column)] = value
    return dataclasses.replace(four_rows(), **{name: array})


@pytest.mark.parametrize(
    ("name", "place", "value", "sentence"),
    [
        (
            "t0_N",
            (2,),
            np.datetime64("2024-01-01T01:00"),
            r"row 2: decision time 2024-01-01T01.*not",
        ),
        ("t0_N", (2,), np.datetime64("2023-01-01"), r"row 2: decision time 2023-01-01.*not after"),
        ("t0_N", (3,), np.datetime64("NaT"), r"row 3: decision time NaT is not after"),
        (
            "t1_N",
            (1,),
            np.datetime64("2024-01-01"),
            r"row 1: label ends 2024-01-01.*expected a time",
        ),
        ("t1_N", (1,), np.datetime64("NaT"), r"row 1: label ends NaT, expected a time from 2024"),
        ("y_N", (3,), 2, r"row 3: label must be 0 or 1, was 2$"),
        ("y_N", (0,), -1, r"row 0: label must be 0 or 1, was -1$"),
        ("weight_N", (2,), 0.0, r"row 2: weight must be positive, was 0\.0$"),
        ("weight_N", (2,), np.nan, r"row 2: weight must be positive, was nan$"),
        ("weight_N", (2,), np.inf, r"row 2: weight must be positive, was inf$"),
        ("x_NF", (1, 1), np.nan, r"row 1, column atr: nan is not a finite number"),
        ("x_NF", (3, 0), -np.inf, r"row 3, column rsi: -inf is not a finite number"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(name, place, value, sentence):
    with pytest.raises(DataError, match=sentence) as refusal:
        changed(name, place[0], value, *place[1:])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["x_NF", "y_N", "weight_N", "t0_N", "t1_N"])
def test_arrays_of_different_length_are_refused(name):
    short = {name: getattr(four_rows(), name)[:3]}
    with pytest.raises(DataError, match="rows and columns disagree"):
        dataclasses.replace(four_rows(), **short)


def test_each_column_needs_a_name_and_x_two_axes():
    with pytest.raises(DataError, match=r"disagree: x \(4, 2\), .* 4 times, 1 names"):
        dataclasses.replace(four_rows(), names_F=("rsi",))
    with pytest.raises(DataError, match=r"disagree: x \(4,\)"):
        dataclasses.replace(four_rows(), x_NF=np.zeros(4))


def test_no_rows_at_all_are_valid():
    assert len(four_rows().take(slice(0, 0))) == 0


def test_a_slice_gives_views_and_an_index_gives_copies():
    rows = four_rows()
    for name in ("x_NF", "y_N", "weight_N", "t0_N", "t1_N"):
        whole = getattr(rows, name)
        assert np.shares_memory(getattr(rows.take(slice(1, 3)), name), whole), name
        assert not np.shares_memory(getattr(rows.take(np.array([1, 2])), name), whole), name


def test_taken_rows_are_those_asked_for_in_every_array():
    rows = four_rows()
    for taken in (rows.take(slice(1, 4, 2)), rows.take(np.array([1, 3]))):
        assert taken.x_NF.tolist() == [[2, 3], [6, 7]]
        assert taken.y_N.tolist() == [1, 0]
        assert (taken.t0_N == rows.t0_N[[1, 3]]).all()
        assert (taken.t1_N == rows.t1_N[[1, 3]]).all()
        assert taken.names_F == rows.names_F


def test_rows_cannot_be_taken_twice_or_out_of_order():
    for rows in ([1, 1], [2, 1]):
        with pytest.raises(DataError, match="row 1: decision time"):
            four_rows().take(np.array(rows))


def test_the_digest_is_that_of_the_contents_however_they_lie_in_memory():
    rows = four_rows()
    assert rows.digest() == four_rows().digest()
    assert rows.digest() == dataclasses.replace(rows, x_NF=np.asfortranarray(rows.x_NF)).digest()
    assert rows.take(slice(1, 3)).digest() == rows.take(np.array([1, 2])).digest()
    coarse = dataclasses.replace(rows, t0_N=rows.t0_N.astype("datetime64[s]"))
    assert coarse.digest() == rows.digest()


@pytest.mark.parametrize(
    ("name", "value"), [("y_N", 1), ("weight_N", 0.5), ("t0_N", None), ("t1_N", None)]
)
def test_the_digest_changes_with_any_row_of_any_array(name, value):
    rows = four_rows()
    new = getattr(rows, name)[3] + np.timedelta64(1, "us") if value is None else value
    assert changed(name, 3, new).digest() != rows.digest()


def test_the_digest_changes_with_any_feature_its_name_and_the_number_of_rows():
    others = [changed("x_NF", row, 99.0, column) for row in range(4) for column in range(2)]
    others += [dataclasses.replace(four_rows(), names_F=("atr", "rsi"))]
    others += [four_rows().take(slice(0, 3)), four_rows()]
    assert len({rows.digest() for rows in others}) == len(others)


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.booleans()), min_size=1)


def arrays(spans):
    start_N = np.array([start for start, _, _ in spans], dtype=float)
    end_N = np.array([np.inf if open_ else start + n for start, n, open_ in spans])
    return start_N, end_N


def counted(start_N, end_N):
    """Uniqueness bar by bar; what never ends is cut at the last time known."""
    last = int(max(start_N.max(), end_N[np.isfinite(end_N)].max(initial=0)))
    count = [int(np.sum((start_N <= t) & (t < end_N))) for t in range(last)]
    values = []
    for start, end in zip(start_N, np.minimum(end_N, last), strict=True):
        shares = [1 / count[t] for t in range(int(start), int(end))]
        values.append(np.mean(shares) if shares else 1.0)
    return np.array(values)


@settings(max_examples=150, deadline=None)
@given(spans=SPANS)
def test_uniqueness_is_the_mean_share_bar_by_bar(spans):
    start_N, end_N = arrays(spans)
    unique_N = uniqueness(start_N, end_N)
    np.testing.assert_allclose(unique_N, counted(start_N, end_N), rtol=1e-9)
    assert ((unique_N > 0) & (unique_N <= 1 + 1e-12)).all()


@settings(max_examples=150, deadline=None)
@given(spans=SPANS, later=SPANS)
def test_later_labels_change_no_label_that_ended_before_they_start(spans, later):
    start_N, end_N = arrays(spans)
    new_start_N, new_end_N = arrays(later)
    first = end_N[np.isfinite(end_N)].max(initial=start_N.max())
    both = uniqueness(
        np.concatenate([start_N, new_start_N + first]), np.concatenate([end_N, new_end_N + first])
    )
    ended = np.isfinite(end_N)
    assert (both[: len(spans)][ended] == uniqueness(start_N, end_N)[ended]).all()


def test_labels_alone_are_wholly_unique_and_equal_ones_share_evenly():
    assert uniqueness(np.array([0.0, 5.0]), np.array([5.0, 9.0])).tolist() == [1, 1]
    assert uniqueness(np.full(4, 2.0), np.full(4, 7.0)).tolist() == [0.25] * 4
    assert uniqueness(np.zeros(0), np.zeros(0)).tolist() == []
