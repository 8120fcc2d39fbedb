"""The trials of all studies of a sweep, made side by side."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from market.splits import Split
from training.pool import Gone, Workers
from training.task import Failure, Task
from training.tuning.jobs import Jobs
from training.tuning.storage import HEARTBEATS_MISSED
from training.tuning.study import Asked, Study
from training.tuning.trial import Attempt, Trial
from training.tuning.turns import Turns
from training.worker import Told

POLL_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A study and what it is about.

    Attributes
    ----------
    study : Study
    default : Task
        The default procedure over all blocks.
    known : Split
        The part of its split that trials see.
    n_seen : int
        Number of blocks in it.
    market : str
        See `Opening`.
    """

    study: Study
    default: Task
    known: Split
    n_seen: int
    market: str

    @property
    def key(self) -> tuple[str, str]:
        """Return symbol and model."""
        return self.study.symbol, self.study.model


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all studies of a sweep.

    Attributes
    ----------
    gap_penalty, alpha : float
        See `Trial` and `adoption.compared`.
    timeout_s : float
        Of one trial.
    heartbeat_s : float
        Between signs of life of trials under way.
    looks : Path
        The ledger of looks at later blocks.
    shared : bool
        Whether other processes work on the same studies.
    """

    gap_penalty: float
    alpha: float
    timeout_s: float
    heartbeat_s: float
    looks: Path
    shared: bool

    @property
    def longest_s(self) -> float:
        """Return how long a trial may be under way at most."""
        return self.timeout_s + HEARTBEATS_MISSED * self.heartbeat_s


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial and what became of it."""

    plan: Plan
    asked: Asked
    attempt: Attempt


class Campaign:
    """Makes the trials of a sweep.

    Parameters
    ----------
    plans : sequence of Plan
    rules : Rules
    workers : Workers
    n_workers : int
    budget_s : float or None
        Seconds that all of it may take from now, verdicts included.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        rules: Rules,
        workers: Workers,
        n_workers: int,
        budget_s: float | None,
    ) -> None:
        self._plans = {plan.study: plan for plan in plans}
        self._rules = rules
        self._n_workers = n_workers
        self.until_s = None if budget_s is None else time.monotonic() + budget_s
        share = None if budget_s is None else budget_s * n_workers
        self.turns = Turns(list(self._plans), share)
        self._jobs: Jobs[tuple[Plan, Asked]] = Jobs(workers, rules.heartbeat_s)
        self._beaten_s = -math.inf

    def trials(self) -> Iterator[TrialEnded]:
        """Make trials until there are none left, or no time; yield each as it ends.

        Raises
        ------
        OSError
            If the disk takes no more.
        """
        for study in self._plans:
            if self._rules.shared:
                study.fail_stale(self._rules.longest_s)
            else:
                study.take_back()
        ended: list[TrialEnded] = []
        while True:
            self._ask()
            self._jobs.give()
            # Only now, when no worker waits for work.
            yield from ended
            ended = []
            if not self._jobs and not self._others_are_at_work():
                break
            for (plan, asked), _, told in self._jobs.told():
                if (attempt := attempt_of(told)) is not None:
                    plan.study.told(asked.number, attempt)
                    if self._rules.shared:
                        # Others wait for it, and know no turns.
                        plan.study.settle()
                    self.turns.ended(plan.study, attempt.wall_s)
                    ended.append(TrialEnded(plan, asked, attempt))
            self._show_life()
        for study in self._plans:
            study.settle()

    def give_back(self) -> None:
        """Queue the trials under way again: this process ends before them."""
        for study in self._plans:
            study.give_back()

    def _ask(self) -> None:
        """Ask for as many trials as can be begun at once."""
        while self._jobs.n_free > 0:
            for study in self.turns.order():
                if study.is_exhausted or not self._has_time(study):
                    continue
                if (asked := study.ask()) is not None:
                    plan = self._plans[study]
                    self._jobs.add(self._trial(plan, asked), (plan, asked))
                    break
            else:
                return

    def _trial(self, plan: Plan, asked: Asked) -> Trial:
        task = task_with(plan.default, asked.hyperparameters, plan.known)
        return Trial(task, 1, self._rules.gap_penalty, asked.rivals, self._rules.timeout_s)

    def _has_time(self, study: Study) -> bool:
        if self.until_s is None:
            return True
        ends_s = time.monotonic() + self.turns.expected_s(study)
        return ends_s + self._reserve_s() < self.until_s

    def _reserve_s(self) -> float:
        """Return about how long the verdicts of the studies that promise something will take."""
        promising = [one for one in self._plans if self.turns.gain(one) > 0]
        seconds = sum(verdict_s(self._plans[study], self.turns) for study in promising)
        return seconds / self._n_workers

    def _others_are_at_work(self) -> bool:
        """Wait a moment for trials of other processes, which may leave theirs to this one."""
        if not self._rules.shared or (self.until_s and time.monotonic() > self.until_s):
            return False
        if not any(study.n_elsewhere for study in self._plans):
            return False
        time.sleep(POLL_S)
        self._show_life()
        return True

    def _show_life(self) -> None:
        now_s = time.monotonic()
        if self._rules.shared and now_s - self._beaten_s >= self._rules.heartbeat_s:
            self._beaten_s = now_s
            for study in self._plans:
                study.show_life()
                study.fail_stale(self._rules.longest_s)


def task_with(default: Task, hyperparameters: dict[str, Any], split: Split) -> Task:
    """Return a task that only predicts, with these hyperparameters as they stand."""
    return replace(
        default,
        model=type(default.model)(**hyperparameters),
        stronger=(),
        split=split,
        augmentation="always" if default.augmentation == "always" else "none",
        calibrates=False,
        folder=None,
        keeping=None,
    )


def attempt_of(told: Told | Gone) -> Attempt | None:
    """Return how a trial ended, a death included; None where it goes on."""
    if isinstance(told, Gone):
        return Attempt("failed", error=told.how)
    if isinstance(told, Failure):
        return Attempt("failed", error=told.error)
    return told if isinstance(told, Attempt) else None


def verdict_s(plan: Plan, turns: Turns) -> float:
    """Return about how long it takes to compare what a study found with the default procedure."""
    rows = [len(fold.train_N) for fold in plan.default.split.folds]
    n_all, n_seen = sum(rows) + len(plan.default.split.development), sum(rows[: plan.n_seen])
    # The stronger steps of a path are quicker than the weakest.
    n_steps = 1 + len(plan.default.stronger) / 2
    return turns.longest_s(plan.study) * n_steps * n_all / n_seen
