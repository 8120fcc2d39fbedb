"""How much labels that share their time share.

Axes: N rows, K vectors.
"""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.overlap import Overlaps
from tests.selection.drawn_rows import HOUR, START, overlap_matrix

# Hours to the next decision and length of the label in hours; some labels have none.
SPANS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 20)), min_size=1, max_size=25)


def hours(spans: list[tuple[int, int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    start_N = np.cumsum([gap for gap, _ in spans])
    return start_N, start_N + [length for _, length in spans]


def overlaps_of(start_N: npt.ArrayLike, end_N: npt.ArrayLike) -> Overlaps:
    return Overlaps(START + np.asarray(start_N) * HOUR, START + np.asarray(end_N) * HOUR)


@given(SPANS, st.integers(0, 2**32 - 1))
def test_forms_are_those_of_the_dense_matrix_and_never_negative(
    spans: list[tuple[int, int]], seed: int
) -> None:
    a_KN = np.random.default_rng(seed).standard_normal((3, len(spans)))
    expected_K = np.einsum("kt,tu,ku->k", a_KN, overlap_matrix(*hours(spans)), a_KN)
    found_K = overlaps_of(*hours(spans)).forms(a_KN)
    assert found_K == pytest.approx(expected_K, abs=1e-9)
    assert (found_K > -1e-9).all()


@given(SPANS)
def test_every_label_shares_all_of_itself(spans: list[tuple[int, int]]) -> None:
    assert (overlaps_of(*hours(spans)).forms(np.eye(len(spans))) == 1.0).all()


def test_a_label_inside_a_longer_one_shares_the_root_of_their_lengths_ratio() -> None:
    found = overlaps_of([0, 1], [4, 2]).forms(np.array([[1.0, 1.0], [1.0, -1.0], [2.0, 3.0]]))
    assert found == pytest.approx([2 + 2 * 0.5, 2 - 2 * 0.5, 4 + 9 + 2 * 6 * 0.5])


def test_labels_that_end_where_the_next_begins_count_in_full() -> None:
    start_N = np.arange(40) * 3
    assert overlaps_of(start_N, start_N + 3).effective_rows == pytest.approx(40)
    assert overlaps_of(start_N, start_N + 4).effective_rows < 39


@pytest.mark.parametrize("depth", [2, 12, 48])
def test_labels_as_deep_as_they_are_long_count_once_in_their_depth(depth: int) -> None:
    start_N = np.arange(5_000)
    effective = overlaps_of(start_N, start_N + depth).effective_rows
    assert effective == pytest.approx(5_000 / depth, rel=0.01)


def test_labels_without_length_overlap_with_nothing() -> None:
    # The second and third lie within the span of the first.
    overlaps = overlaps_of([0, 2, 4, 20], [10, 2, 4, 20])
    assert overlaps.forms(np.array([[1.0, 2.0, 3.0, 4.0]])) == pytest.approx([30.0])
    assert overlaps.effective_rows == 4


def test_a_hundred_thousand_rows_of_48_deep_labels_are_summed() -> None:
    start_N = np.arange(100_000)
    overlaps = overlaps_of(start_N, start_N + 48)
    lag_L = np.arange(1, 48)
    total = 100_000 + 2 * float(((1 - lag_L / 48) * (100_000 - lag_L)).sum())
    assert overlaps.effective_rows == pytest.approx(1e10 / total)


@given(SPANS, st.integers(-(10**6), 10**6))
def test_neither_the_calendar_nor_the_unit_of_time_matters(
    spans: list[tuple[int, int]], shift: int
) -> None:
    start_N, end_N = hours(spans)
    plain = overlaps_of(start_N, end_N)
    t0_N, t1_N = (START + (hour_N + shift) * HOUR for hour_N in (start_N, end_N))
    moved = Overlaps(t0_N.astype("datetime64[us]"), t1_N.astype("datetime64[ms]"))
    a_KN = np.arange(1.0, len(spans) + 1)[None]
    assert moved.forms(a_KN) == pytest.approx(plain.forms(a_KN))


@pytest.mark.parametrize("start_N", [[0, 2, 1], [0, 1, 1]])
def test_decision_times_that_do_not_increase_are_refused(start_N: list[int]) -> None:
    with pytest.raises(ValueError, match="decision times must increase"):
        overlaps_of(start_N, [5, 5, 5])


def test_a_decision_without_a_time_is_refused() -> None:
    t0_N = np.array(["2020-01-01", "NaT", "2020-01-03"], dtype="datetime64[s]")
    with pytest.raises(ValueError, match="decision times must increase"):
        Overlaps(t0_N, t0_N)


def test_lengths_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="every decision time needs a label end, were 3 and 2"):
        overlaps_of([0, 1, 2], [3, 4])
    with pytest.raises(ValueError, match="vectors must have 3 elements, had 4"):
        overlaps_of([0, 1, 2], [3, 4, 5]).forms(np.ones((1, 4)))


def test_no_rows_say_nothing() -> None:
    nothing = overlaps_of([], [])
    assert len(nothing) == 0
    assert nothing.effective_rows == 0
