"""One study: which hyperparameters of one model of one symbol are tried next, and what came of it.

Trials that are under way at the same time are told in the order in which they were asked for: a
study with so many at a time has the same trials however long each one takes.
"""

import copy
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from training.fitting import generator
from training.tuning.rivals import Rivals, rivals_of
from training.tuning.space import SearchSpace
from training.tuning.storage import undisturbed
from training.tuning.trial import Attempt

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Sampling = Literal["tpe", "random", "listed"]
_log = logging.getLogger(__name__)
MADE = "hyperparameters"
CURVE = "curve"


@dataclass(frozen=True, slots=True)
class Search:
    """How a study goes about it.

    Attributes
    ----------
    sampler : str
        ``tpe``; ``random``; or ``listed``: nothing but what it is started with.
    n_trials : int
        Of all processes together, those that were tried again counted once.
    n_random : int
        Trials between those it is started with and those that TPE draws.
    at_once : int
        Trials under way at the same time.
    fold_share, epoch_share : float
        See `Rivals`.
    prune_from : int
        Trials before any is pruned.
    """

    sampler: Sampling
    n_trials: int
    n_random: int
    at_once: int
    fold_share: float
    epoch_share: float
    prune_from: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial that is to be made."""

    number: int
    hyperparameters: dict[str, Any]
    rivals: Rivals


class Study:
    """Asks Optuna for trials in turn, and tells it what became of them.

    Parameters
    ----------
    storage : BaseStorage
    name : str
    symbol, model : str
    space : SearchSpace
    search : Search
    starts : sequence of dict
        Hyperparameters that are tried first, in this order: the configured ones, and others that
        the space has.
    seed : int
        The run's.
    """

    def __init__(
        self,
        storage: "BaseStorage",
        name: str,
        *,
        symbol: str,
        model: str,
        space: SearchSpace,
        search: Search,
        starts: Sequence[Mapping[str, Any]],
        seed: int,
    ) -> None:
        self.name, self.symbol, self.model = name, symbol, model
        self.space, self.search = space, search
        # When others' trials were first seen to be under way.
        self._seen_s: dict[int, float] = {}
        # Whether the last question found no trial left to be asked for.
        self.is_exhausted = False
        self._seed = seed
        self._storage = storage
        self._starts: list[dict[str, Any]] = []
        for params in map(space.params, starts):
            if params is not None and params not in self._starts:
                self._starts.append(params)
        with undisturbed(self._storage):
            import optuna

            from training.tuning.sampler import SeededByTrial

            self.optuna_study = optuna.create_study(
                storage=storage,
                study_name=name,
                sampler=SeededByTrial(self._sampler, self._beat),
                pruner=optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
        self._untold: dict[int, tuple[Trial, Attempt | None]] = {}
        self._to_start = list(self._starts)

    def ask(self) -> Asked | None:
        """Return the next trial; None where there is none, or others must end before."""
        self.is_exhausted = self.n_left == 0
        if self.is_exhausted or not self._has_room():
            return None
        with undisturbed(self._storage):
            self._queue_start()
            trial = self.optuna_study.ask(self.space.distributions())
            self._untold[trial.number] = trial, None
            made = self.space.hyperparameters(trial.params)
            trial.set_user_attr(MADE, made)
        return Asked(trial.number, made, self._rivals(trial.number))

    def told(self, number: int, attempt: Attempt) -> None:
        """Take note of what became of a trial; the storage learns of it in its turn."""
        trial, _ = self._untold[number]
        self._untold[number] = trial, attempt
        if self.search.at_once == 1:
            self._tell(number)

    def settle(self) -> None:
        """Tell the storage all that has ended."""
        for number, (_, attempt) in list(self._untold.items()):
            if attempt is not None:
                self._tell(number)

    def give_back(self) -> None:
        """Queue the trials under way again, since this process ends before them."""
        self.settle()
        under_way, self._untold = set(self._untold), {}
        for trial in self._trials():
            if trial.number in under_way:
                self._queue_again(trial)

    def take_back(self) -> int:
        """Queue all trials again that are under way, but not this process's; return how many.

        To be called where no other process works on the storage.
        """
        from optuna.trial import TrialState

        running = self._trials([TrialState.RUNNING])
        gone = [trial for trial in running if trial.number not in self._untold]
        for trial in gone:
            self._queue_again(trial)
        self.is_exhausted &= not gone
        return len(gone)

    def fail_stale(self, longest_s: float) -> None:
        """Fail other processes' trials that show no sign of life, and queue them again.

        Parameters
        ----------
        longest_s : float
            One that has been under way for longer, as seen from here, is gone too: it may have
            been cut off before its first sign of life.
        """
        from optuna.storages import fail_stale_trials
        from optuna.trial import TrialState

        n_queued, now_s = self._n_in(TrialState.WAITING), time.monotonic()
        with undisturbed(self._storage):
            fail_stale_trials(self.optuna_study)
        for trial in self._trials([TrialState.RUNNING]):
            since_s = self._seen_s.setdefault(trial.number, now_s)
            if trial.number not in self._untold and now_s - since_s > longest_s:
                self._queue_again(trial)
        self.is_exhausted &= self._n_in(TrialState.WAITING) <= n_queued

    def _queue_again(self, trial: "FrozenTrial") -> None:
        from optuna.storages import RetryHeartbeatStaleTrialCallback
        from optuna.trial import TrialState

        from training.tuning.sampler import HISTORY

        # Optuna writes its history into it.
        again = copy.deepcopy(trial)
        if len(again.params) < len(self.space.tried):
            # Cut off while it was drawn: the rest would be drawn otherwise than all at once.
            again.params, again.distributions = {}, {}
        with undisturbed(self._storage):
            # Queued first, once: between the two a kill costs nothing.
            if all(trial.number not in one.system_attrs.get(HISTORY, ()) for one in self._trials()):
                RetryHeartbeatStaleTrialCallback()(self.optuna_study, again)
            self.optuna_study.tell(trial.number, state=TrialState.FAIL)

    def show_life(self) -> None:
        """Let other processes know that the trials under way are."""
        for trial, _ in self._untold.values():
            self._beat(trial._trial_id)

    def _beat(self, trial_id: int) -> None:
        # Databases take signs of life, a journal has nobody to read them.
        if (record := getattr(self._storage, "record_heartbeat", None)) is not None:
            record(trial_id)

    @property
    def n_under_way(self) -> int:
        """Number of trials that this process has asked for and that have not ended."""
        return sum(attempt is None for _, attempt in self._untold.values())

    @property
    def n_elsewhere(self) -> int:
        """Number of trials under way that are not this process's."""
        from optuna.trial import TrialState

        running = self._trials([TrialState.RUNNING])
        return sum(trial.number not in self._untold for trial in running)

    @property
    def n_left(self) -> int:
        """Number of trials that are still to be asked for."""
        from optuna.trial import TrialState

        states = Counter(trial.state for trial in self._trials())
        begun = states.total() - states[TrialState.WAITING] - self._n_again()
        is_listed = self.search.sampler == "listed"
        return max(0, (len(self._starts) if is_listed else self.search.n_trials) - begun)

    def counts(self) -> dict[str, int]:
        """Return how many trials were completed, pruned and failed."""
        from optuna.trial import TrialState

        return {
            "complete": self._n_in(TrialState.COMPLETE),
            "pruned": self._n_in(TrialState.PRUNED),
            "failed": self._n_in(TrialState.FAIL) - self._n_again(),
        }

    def ended(self) -> set[int]:
        """Return the numbers of the trials that have ended, however."""
        return {one.number for one in self._trials() if one.state.is_finished()}

    def frozen(self, numbers: set[int]) -> "list[FrozenTrial]":
        """Return those of some trials that the storage knows to have ended."""
        return [one for one in self._trials() if one.number in numbers and one.state.is_finished()]

    @property
    def n_starts(self) -> int:
        """Number of trials that a study is started with."""
        return len(self._starts)

    def best(self) -> "FrozenTrial | None":
        """Return the completed trial with the smallest objective, the first of equals."""
        from optuna.trial import TrialState

        done = self._trials([TrialState.COMPLETE])
        return min(done, key=lambda one: (one.value, one.number), default=None)

    def first_value(self) -> float:
        """Return the objective of the first trial that was completed; NaN before that."""
        from optuna.trial import TrialState

        done = self._trials([TrialState.COMPLETE])
        return next((one.value for one in done if one.value is not None), math.nan)

    def start_value(self) -> float:
        """Return the best objective of what the study was started with; NaN before that.

        Where it was started with nothing, that of its first trial.
        """
        from optuna.trial import TrialState

        if not self._starts:
            return self.first_value()
        done = self._trials([TrialState.COMPLETE])
        values = [one.value for one in done if one.params in self._starts]
        return min((value for value in values if value is not None), default=math.nan)

    def gain(self) -> float:
        """Return by how much the best trial's objective is below that of any start."""
        best, start = self.best(), self.start_value()
        if best is None or best.value is None or math.isnan(start):
            return 0.0
        return start - best.value

    def _queue_start(self) -> None:
        """Queue the next start, unless one waits that was under way as a process was killed."""
        from optuna.trial import TrialState

        while self._to_start and not self._n_in(TrialState.WAITING):
            self.optuna_study.enqueue_trial(self._to_start.pop(0), skip_if_exists=True)

    def _has_room(self) -> bool:
        """Tell the storage just so much that as few trials are open as may be."""
        while len(self._untold) >= self.search.at_once:
            first = next(iter(self._untold))
            if self._untold[first][1] is None:
                return False
            self._tell(first)
        return True

    def _tell(self, number: int) -> None:
        from optuna.trial import TrialState

        states = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        with undisturbed(self._storage):
            trial, attempt = self._untold.pop(number)
            assert attempt is not None  # noqa: S101 - only called with what has ended
            if self.frozen({number}):
                # This process was silent for so long that another has given the trial up.
                _log.warning("%s: trial %d came too late and is left out", self.name, number)
                return
            for step, value in enumerate(attempt.values, start=1):
                trial.report(value, step)
            for name, fact in _facts(attempt).items():
                trial.set_user_attr(name, fact)
            if attempt.state == "complete":
                self.optuna_study.tell(trial, attempt.values[-1])
            else:
                self.optuna_study.tell(trial, state=states[attempt.state])

    def _rivals(self, number: int) -> Rivals:
        """Return what a trial is compared with: all that were told when it was first asked for."""
        from optuna.trial import TrialState

        from training.tuning.sampler import places

        search = self.search
        if search.fold_share >= 1 and search.epoch_share >= 1:
            return Rivals()
        trials, useful = self._trials(), (TrialState.COMPLETE, TrialState.PRUNED)
        place = places(trials)
        last = place[number] - self.search.at_once
        told = [one for one in trials if one.state in useful and place[one.number] <= last]
        values = [
            [one.intermediate_values[s] for s in sorted(one.intermediate_values)] for one in told
        ]
        kept, curve_RKC = rivals_of(values, [one.user_attrs.get(CURVE, []) for one in told])
        return Rivals(kept, curve_RKC, search.fold_share, search.epoch_share, search.prune_from)

    def _trials(self, states: Sequence[Any] | None = None) -> "list[FrozenTrial]":
        wanted = None if states is None else tuple(states)
        return self.optuna_study.get_trials(deepcopy=False, states=wanted)

    def _n_in(self, state: Any) -> int:
        return len(self._trials([state]))

    def _n_again(self) -> int:
        """Return how many trials were tried again because their process was gone."""
        from training.tuning.sampler import RETRIED

        return sum(RETRIED in one.system_attrs for one in self._trials())

    def _sampler(self, number: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler

        # No more than 32 bits are taken.
        seed = int(
            generator(self._seed, self.symbol, self.model, f"trial {number}").integers(2**32)
        )
        if self.search.sampler == "random":
            return RandomSampler(seed)
        n_startup = len(self._starts) + self.search.n_random
        return TPESampler(
            n_startup_trials=n_startup, multivariate=True, constant_liar=True, seed=seed
        )


def _facts(attempt: Attempt) -> dict[str, Any]:
    """Return what is kept of a trial beside its values."""
    scores = {name: getattr(attempt, name) for name in ("log_loss", "accuracy", "gap", "cpu_s")}
    facts: dict[str, Any] = {name: one for name, one in scores.items() if math.isfinite(one)}
    if np.isfinite(attempt.curve_KC).any():
        curve = attempt.curve_KC.tolist()
        facts[CURVE] = [[None if math.isnan(one) else one for one in fit] for fit in curve]
    if attempt.error is not None:
        facts["error"] = attempt.error
    return facts
