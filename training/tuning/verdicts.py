"""What studies come to: the best trial beside the default, once, on blocks no trial has seen."""

import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from market.reading.safe_names import printable
from selection.certified import in_digits
from selection.holdout_ledger import Opening
from selection.tuned_file import Adoption, Compared, Score, TunedModel
from training.pool import Gone, Workers
from training.task import Task, Trained
from training.tuning.adoption import DefaultScores, Later, compared, default_scores, look_number
from training.tuning.campaign import Plan, Rules, attempt_of, task_with, verdict_s
from training.tuning.jobs import Jobs
from training.tuning.rivals import Rivals
from training.tuning.study import MADE, Study
from training.tuning.trial import Attempt, Trial
from training.tuning.turns import Turns
from training.worker import Job, Told

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


LEAST_S = 0.01
NO_TIME = "no time was left for a trial"


@dataclass(frozen=True, slots=True)
class Decided:
    """What a study came to.

    Attributes
    ----------
    plan : Plan
    tuned : TunedModel
    failed : bool
        Whether there was something to compare, and it could not be.
    """

    plan: Plan
    tuned: TunedModel
    failed: bool


@dataclass(frozen=True, slots=True)
class _End:
    """Where a study stood when its trials were over."""

    best: "FrozenTrial | None"
    trials: dict[str, int]

    @classmethod
    def of(cls, study: Study) -> "_End":
        return cls(study.best(), study.counts())


class Verdicts:
    """Finds what studies come to.

    Parameters
    ----------
    plans : sequence of Plan
    rules : Rules
    workers : Workers
    n_workers : int
    turns : Turns
        Of their trials.
    until_s : float or None
        When time is out, by the monotonic clock.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        rules: Rules,
        workers: Workers,
        n_workers: int,
        turns: Turns,
        until_s: float | None,
    ) -> None:
        # Where time may run out, most gain for the time first.
        self._plans = sorted(
            plans, key=lambda plan: -plan.study.gain() / max(verdict_s(plan, turns), LEAST_S)
        )
        # Once for all: other processes may go on, and what is adopted must be what was looked at.
        self._ends = {plan: _End.of(plan.study) for plan in plans}
        self._rules, self._n_workers = rules, n_workers
        self._turns, self._until_s = turns, until_s
        self._jobs: Jobs[Plan] = Jobs(workers, rules.heartbeat_s)
        self._defaults: dict[Plan, tuple[Trained, DefaultScores]] = {}

    def __iter__(self) -> Iterator[Decided]:
        """Compare what was found with the default procedure; yield each study's verdict.

        A study whose best trial is no better than what it was started with is compared last, and
        where time is short not at all.
        """
        todo = deque(self._plans)
        while todo or self._jobs:
            while todo and self._jobs.n_free > 0:
                plan = todo.popleft()
                if (decided := self._without_default(plan)) is not None:
                    yield decided
                else:
                    self._jobs.add(plan.default, plan)
            self._jobs.give()
            for plan, job, told in self._jobs.told():
                if (decided := self._heard(plan, job, told)) is not None:
                    yield decided

    def _look(self, plan: Plan, hyperparameters: dict[str, Any]) -> Trial:
        """Return the best trial's fits for the blocks that no trial has seen."""
        split = plan.default.split
        later = replace(split, folds=split.folds[plan.n_seen :], refits=False)
        task = task_with(plan.default, hyperparameters, later)
        return Trial(task, plan.n_seen + 1, 0.0, Rivals(), math.inf)

    def _without_default(self, plan: Plan) -> Decided | None:
        """Decide where the default procedure need not be asked."""
        end = self._ends[plan]
        if end.best is None:
            tried = sum(end.trials.values())
            why = f"no trial was completed{_first_error(plan.study)}" if tried else NO_TIME
            return self._decided(plan, why)
        out_of_time = self._until_s is not None and (
            time.monotonic() + verdict_s(plan, self._turns) / self._n_workers > self._until_s
        )
        if not out_of_time:
            return None
        if sum(end.trials.values()) <= plan.study.n_starts:
            return self._decided(plan, "no time was left to search beyond what it is started with")
        if plan.study.gain() <= 0:
            return self._decided(plan, "no trial was better than what it was started with")
        return self._decided(plan, "no time was left to compare it with the default")

    def _heard(self, plan: Plan, job: Job, told: Told | Gone) -> Decided | None:
        """Take what a worker says of a default procedure, or of a look; return a verdict if so."""
        if isinstance(told, Trained):
            return self._after_default(plan, told)
        attempt = attempt_of(told)
        if attempt is None:
            return None
        if isinstance(job, Task):
            return self._undecided(plan, f"the default could not be fitted: {attempt.error}")
        return self._after_look(plan, attempt, *self._defaults.pop(plan))

    def _after_default(self, plan: Plan, trained: Trained) -> Decided | None:
        best = self._best(plan)
        try:
            scores = default_scores(
                plan.default.split, trained, plan.n_seen, self._rules.gap_penalty
            )
        except ValueError as error:
            return self._undecided(plan, f"the default could not be scored: {error}")
        cross = Compared(scores.score, _score_of(best, scores.score.rows))
        if best.value is None or best.value >= scores.objective:
            where = blocks_in_words(1, plan.n_seen)
            return self._decided(plan, f"no trial was better than the default on {where}", cross)
        self._defaults[plan] = trained, scores
        self._jobs.add(self._look(plan, best.user_attrs[MADE]), plan)
        return None

    def _after_look(
        self, plan: Plan, attempt: Attempt, trained: Trained, scores: DefaultScores
    ) -> Decided:
        best = self._best(plan)
        cross = Compared(scores.score, _score_of(best, scores.score.rows))
        split, n_all = plan.default.split, len(plan.default.split.folds)
        where = blocks_in_words(plan.n_seen + 1, n_all)
        if attempt.error is not None:
            return self._undecided(plan, f"{where} could not be predicted: {attempt.error}", cross)
        later = Later.of(split, plan.n_seen)
        try:
            look = look_number(self._rules.looks, self._opening(plan, later, best.user_attrs[MADE]))
        except (ValueError, OSError) as error:
            return self._undecided(plan, f"{where} stay unseen: {error}", cross)
        both, adoption = compared(
            split.development,
            later,
            default_N=trained.p_N,
            tuned_M=attempt.p_N,
            alpha=self._rules.alpha,
            look=look,
        )
        return self._decided(plan, _verdict(adoption, where), cross, both, adoption)

    def _best(self, plan: Plan) -> "FrozenTrial":
        best = self._ends[plan].best
        assert best is not None  # noqa: S101 - or the default would not have been asked
        return best

    def _opening(self, plan: Plan, later: Later, hyperparameters: dict[str, Any]) -> Opening:
        development = plan.default.split.development
        end = development.t0_N[later.rows[-1]].astype("datetime64[us]").item()
        candidate = json.dumps(hyperparameters, sort_keys=True)
        return Opening(
            symbol=plan.study.symbol,
            market=plan.market,
            start_utc=later.since_utc,
            end_utc=end.replace(tzinfo=UTC),
            conf_digest=hashlib.sha256(candidate.encode()).hexdigest(),
            data_digest=development.digest(),
            run_id=None,
            time_utc=datetime.now(UTC),
            model=plan.study.model,
            execution=plan.study.name,
        )

    def _undecided(self, plan: Plan, reason: str, cross: Compared | None = None) -> Decided:
        return replace(self._decided(plan, reason, cross), failed=True)

    def _decided(
        self,
        plan: Plan,
        reason: str,
        cross: Compared | None = None,
        later: Compared | None = None,
        adoption: Adoption | None = None,
    ) -> Decided:
        study, end = plan.study, self._ends[plan]
        best = end.best
        made = plan.default.model.hyperparameters if best is None else best.user_attrs[MADE]
        tuned = TunedModel(
            symbol=study.symbol,
            model=study.model,
            study=study.name,
            hyperparameters=made,
            adopted=adoption is not None and adoption.p_value < adoption.alpha,
            reason=printable(" ".join(reason.split())),
            trials=end.trials,
            best_trial=None if best is None else best.number,
            tuned_until=Later.of(plan.default.split, plan.n_seen).since_utc,
            development_digest=plan.default.split.development.digest(),
            cross_validated=cross,
            later=later,
            adoption=adoption,
        )
        return Decided(plan, tuned, failed=False)


def _score_of(best: "FrozenTrial", rows: int) -> Score:
    attributes = best.user_attrs
    return Score(attributes["log_loss"], attributes["accuracy"], rows)


def _first_error(study: Study) -> str:
    errors = (one.user_attrs.get("error") for one in study.optuna_study.get_trials(deepcopy=False))
    first = next((one for one in errors if one), None)
    return f": {first}" if first else ""


def blocks_in_words(first: int, last: int) -> str:
    """Return ``blocks 1 to 4``."""
    if first == last:
        return f"block {first}"
    return f"blocks {first} {'and' if last == first + 1 else 'to'} {last}"


def _verdict(adoption: Adoption, where: str) -> str:
    p, alpha = in_digits(adoption.p_value), f"{adoption.alpha:g}"
    where = f"{where} ({adoption.rows} rows)"
    again = "" if adoption.look == 1 else f", look number {adoption.look}"
    gain = 1000 * adoption.gain
    if adoption.p_value < adoption.alpha:
        return f"gains {gain:.1f} thousandths of a nat on {where} (p = {p}{again})"
    if adoption.gain <= 0:
        return f"worse than the default on {where} by {-gain:.1f} thousandths of a nat"
    return f"its gain does not stand on {where} (p = {p}, below {alpha} needed{again})"
