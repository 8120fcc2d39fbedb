"""Which study the next trial is of: one after another, or the promising ones longer.

With a budget of time, by successive halving over the studies (Jamieson and Talwalkar, AISTATS 2016,
section 3): all have an equal share of the first round, the better half of them one of the next, and
so on. What time is left after the last round goes to whichever promises most.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from training.tuning.study import Study

MOST_ROUNDS = 4


class Turns:
    """Gives studies their turns.

    Parameters
    ----------
    studies : sequence of Study
    budget_s : float or None
        Seconds of all workers together for trials; None lets each study make all of its own.
    """

    def __init__(self, studies: Sequence[Study], budget_s: float | None) -> None:
        self._studies = list(studies)
        self._budget_s = budget_s
        self._alive = list(studies)
        self._n_rounds = min(MOST_ROUNDS, math.ceil(math.log2(max(1, len(studies)))) + 1)
        self._round = 1
        self._in_round_s = dict.fromkeys(studies, 0.0)
        self._spent_s = dict.fromkeys(studies, 0.0)
        self._n_ended = dict.fromkeys(studies, 0)
        self._longest_s = dict.fromkeys(studies, 0.0)
        self._gain = dict.fromkeys(studies, 0.0)

    @property
    def dropped(self) -> list[Study]:
        """Return the studies that did not reach the round that is on."""
        return [one for one in self._studies if one not in self._alive]

    def gain(self, study: Study) -> float:
        """Return what the last trial that ended left a study to promise."""
        return self._gain[study]

    def ended(self, study: Study, wall_s: float) -> None:
        """Take note of a trial that took so long."""
        self._in_round_s[study] += wall_s
        self._spent_s[study] += wall_s
        self._n_ended[study] += 1
        self._longest_s[study] = max(wall_s, self._longest_s[study])
        self._gain[study] = study.gain()

    def expected_s(self, study: Study) -> float:
        """Return how long a trial of a study takes, by those that have ended; 0 before any."""
        return self._spent_s[study] / max(1, self._n_ended[study])

    def longest_s(self, study: Study) -> float:
        """Return how long the longest trial of a study took: one that nothing cut short."""
        return self._longest_s[study]

    def _typical_s(self, model: str) -> float:
        """Return how long a trial of a model takes, whatever its symbol; 0 before any has ended."""
        studies = [one for one in self._studies if one.model == model]
        n_ended = sum(self._n_ended[one] for one in studies)
        return sum(self._spent_s[one] for one in studies) / max(1, n_ended)

    def order(self) -> Iterator[Study]:
        """Yield the studies that may have the next trial, the first choice first."""
        if self._budget_s is None:
            yield from self._studies
            return
        self._begin_next_round()
        number = 0
        while number != self._round:
            number = self._round
            due = [one for one in self._alive if self._is_due(one)]
            yield from sorted(due, key=lambda one: self._in_round_s[one])
            # Rather than wait for the end of a round, the most promising go on.
            yield from self._by_promise(one for one in self._alive if one not in due)
            # None of them may have had a trial left.
            self._begin_next_round()
        yield from self._by_promise(self.dropped) if self._is_last else ()

    @property
    def _is_last(self) -> bool:
        return self._round >= self._n_rounds

    def _is_due(self, study: Study) -> bool:
        """Return whether a study has some of its share of the round left."""
        assert self._budget_s is not None  # noqa: S101 - only asked for with a budget
        share_s = self._budget_s / self._n_rounds / len(self._alive)
        if self._n_ended[study] == 0:
            # Where the model takes longer than that for other symbols, its one trial here would
            # have nothing to gain on.
            return study.n_under_way == 0 and self._typical_s(study.model) <= share_s
        under_way_s = study.n_under_way * self.expected_s(study)
        return self._in_round_s[study] + under_way_s + self.expected_s(study) <= share_s

    def _is_open(self, study: Study) -> bool:
        """Return whether a round must go on for a study: what it promises is not known before."""
        if self._n_ended[study] == 0 and study.n_under_way:
            return True
        return self._is_due(study) and not study.is_exhausted

    def _begin_next_round(self) -> None:
        """Go on with the better half where nobody has a share left."""
        while not self._is_last and not any(self._is_open(one) for one in self._alive):
            best = self._by_promise(self._alive)
            self._alive = best[: math.ceil(len(best) / 2)]
            self._in_round_s = dict.fromkeys(self._studies, 0.0)
            self._round += 1

    def _by_promise(self, studies: Iterable[Study]) -> list[Study]:
        return sorted(studies, key=lambda one: -self._gain[one])
