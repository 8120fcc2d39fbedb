"""Whose turn it is: each study's, or with a budget the promising ones' more often.

Time is made up: every trial of a study takes so many seconds and improves it by so much.
"""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.tuning.studies import study
from training.tuning.study import Study
from training.tuning.trial import Attempt
from training.tuning.turns import Turns


def studies(n_studies: int, **changes: Any) -> list[Study]:
    rules = {"sampler": "random", "n_trials": 400, "starts": [{}], "at_once": 10, **changes}
    found = [study(None, **rules) for _ in range(n_studies)]
    for number, one in enumerate(found):
        one.model = f"Model {number}"
    return found


def searched(
    found: Sequence[Study],
    budget_s: float | None,
    *,
    per_trial: Sequence[float],
    seconds: Sequence[float] | None = None,
    n_workers: int = 1,
    ends: bool = True,
) -> list[int]:
    """Make trials until there are none left, or no time; return whose each was, in their order.

    With ``ends`` none begins that would end too late.
    """
    turns = Turns(found, None if budget_s is None else budget_s * n_workers)
    seconds = [1.0] * len(found) if seconds is None else seconds
    until_s = budget_s if ends and budget_s is not None else math.inf
    under_way: list[tuple[float, int, int]] = []
    begun, now_s = [], 0.0
    while True:
        while len(under_way) < n_workers:
            for one in turns.order():
                number = found.index(one)
                if now_s + seconds[number] > until_s or (asked := one.ask()) is None:
                    continue
                begun.append(number)
                heapq.heappush(under_way, (now_s + seconds[number], asked.number, number))
                break
            else:
                break
        if not under_way:
            return begun
        now_s, trial, number = heapq.heappop(under_way)
        found[number].told(trial, Attempt("complete", (0.7 - per_trial[number] * trial,)))
        found[number].settle()
        turns.ended(found[number], seconds[number])


def test_without_a_budget_one_study_after_another_makes_all_its_trials() -> None:
    begun = searched(studies(3, n_trials=4), None, per_trial=[0.0, 0.1, 0.2])
    assert begun == [0] * 4 + [1] * 4 + [2] * 4
    few = searched(studies(3, n_trials=4, at_once=1), None, per_trial=[0.0] * 3, n_workers=2)
    assert few == [0, 1] * 4 + [2] * 4


def test_with_a_budget_the_better_half_of_each_round_shares_the_next() -> None:
    # Three rounds of 40 s: 10 s for each of four, 20 s for each of two, 40 s for the last.
    begun = searched(studies(4), 120.0, per_trial=[0.0, 0.003, 0.001, 0.002])
    assert Counter(begun) == {0: 10, 1: 10 + 20 + 40, 2: 10, 3: 10 + 20}
    assert set(begun[:4]) == {0, 1, 2, 3}
    assert set(begun[40:80]) == {1, 3}
    assert set(begun[80:]) == {1}


def test_shares_are_of_time_and_not_of_trials() -> None:
    begun = searched(studies(2), 120.0, per_trial=[0.0, 0.001], seconds=[1.0, 3.0])
    # Two rounds of 60 s, of which the first is shared.
    assert begun.count(0) == 30
    assert begun.count(1) == (30 + 60) / 3


@pytest.mark.parametrize("n_workers", [2, 3])
def test_many_workers_share_the_budget_alike(n_workers: int) -> None:
    # Trials that never end at the same time.
    seconds = [0.9, 1.1, 1.3, 0.7]
    begun = searched(
        studies(4), 60.0, per_trial=[0.0, 0.01, 0.005, 0.02], seconds=seconds, n_workers=n_workers
    )
    made = Counter(begun)
    spent = {number: made[number] * seconds[number] for number in range(4)}
    share = 60 * n_workers / 3
    # As one worker would, but for the trials that are under way as a round ends.
    expected = {0: share / 4, 1: share / 4 + share / 2, 2: share / 4, 3: share * 7 / 4}
    assert spent == pytest.approx(expected, abs=2 * n_workers)


def test_studies_that_were_dropped_come_back_when_the_promising_ones_have_nothing_left() -> None:
    few, many = studies(1, n_trials=12), studies(3)
    begun = searched([*few, *many], 120.0, per_trial=[0.01, 0.0, 0.001, 0.002])
    assert len(begun) == 120
    assert begun.count(0) == 12
    # The last round is the third one's own; only then, and with time left, comes another's turn.
    assert begun.count(3) > begun.count(2) > 0


def test_where_one_trial_takes_more_than_its_share_each_study_has_one_and_the_best_go_on() -> None:
    found = studies(4)
    turns = Turns(found, 0.4)
    for one, value in zip(found, (0.7, 0.6, 0.65, 0.7), strict=True):
        assert next(turns.order()) is one
        for number in range(2):
            asked = one.ask()
            assert asked is not None
            one.told(asked.number, Attempt("complete", (0.7 if number == 0 else value,)))
        one.settle()
        turns.ended(one, 1.0)
        assert turns.expected_s(one) == 1.0
    assert [turns.gain(one) for one in found] == pytest.approx([0.0, 0.1, 0.05, 0.0])
    assert [found.index(one) for one in turns.order()] == [1, 2, 0, 3]
    assert [found.index(one) for one in turns.dropped] == [0, 2, 3]


@settings(max_examples=20, deadline=None)
@given(
    per_trial=st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=6),
    seconds=st.lists(st.floats(0.01, 50.0), min_size=6, max_size=6),
    budget_s=st.floats(0.01, 300.0),
    n_workers=st.integers(1, 3),
    at_once=st.integers(1, 2),
)
def test_no_study_starves_while_there_is_time(
    per_trial: list[float], seconds: list[float], budget_s: float, n_workers: int, at_once: int
) -> None:
    found = studies(len(per_trial), n_trials=5, at_once=at_once)
    begun = searched(
        found, budget_s, per_trial=per_trial, seconds=seconds, n_workers=n_workers, ends=False
    )
    assert Counter(begun) == dict.fromkeys(range(len(found)), 5)
    # Each has its first before any has its second share, however long it takes.
    firsts = [begun.index(number) for number in range(len(found))]
    assert max(firsts) < len(found) + n_workers * at_once * len(found)


def test_a_study_without_a_trial_gets_its_first_before_others_go_on() -> None:
    begun = searched(studies(5), 1000.0, per_trial=[0.01] * 5, seconds=[1, 1, 1, 1, 900])
    assert set(begun[:5]) == {0, 1, 2, 3, 4}


def test_one_study_alone_has_all_of_the_budget() -> None:
    assert searched(studies(1), 30.0, per_trial=[0.0]) == [0] * 30


def test_a_model_that_takes_more_than_a_share_is_not_begun_for_every_symbol() -> None:
    found = studies(6)
    for one in found[3:]:
        one.model = "LSTM"
    # Three rounds of 40 s: 6.7 s for each of six, less than an LSTM takes.
    begun = searched(found, 120.0, per_trial=[0.001] * 6, seconds=[1, 1, 1, 9, 9, 9])
    assert Counter(begun[:20]).keys() == {0, 1, 2, 3}
    assert begun.count(3) == 1
