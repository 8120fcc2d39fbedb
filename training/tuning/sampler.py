"""A sampler that draws for each trial from a seed of its own.

So a study that was killed goes on as it would have, and no two processes on one study draw alike.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

# Of a trial that takes the place of one whose process was gone, the number of the first such, and
# those of all (Optuna's own keys).
RETRIED = "failed_trial"
HISTORY = "retry_history"


class SeededByTrial(BaseSampler):
    """Hands each trial to a sampler made for it.

    Parameters
    ----------
    make : callable
        Makes a sampler for the trial of a place; see `places`.
    begun : callable
        Told the storage's id of each trial before anything is drawn for it.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], begun: Callable[[int], None] = lambda _: None
    ) -> None:
        self._make, self._begun = make, begun
        self._number = -1
        self._sampler = make(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell that the trial has begun, and make its sampler."""
        # Without a first sign of life nobody would ever miss it.
        self._begun(trial._trial_id)
        self._of(study, trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is sampled together."""
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values that are sampled together."""
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value that is sampled by itself."""
        sampler = self._of(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the trial's sampler know its end."""
        self._of(study, trial).after_trial(study, trial, state, values)

    def _of(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            place = places(study.get_trials(deepcopy=False))[trial.number]
            self._number, self._sampler = trial.number, self._make(place)
        return self._sampler


def places(trials: Sequence[FrozenTrial]) -> list[int]:
    """Return the number that each of a study's trials would have if no process had been killed.

    A trial that was tried again has that of its first try.
    """
    n_again = list(itertools.accumulate(RETRIED in one.system_attrs for one in trials))
    firsts = [one.system_attrs.get(RETRIED, one.number) for one in trials]
    return [first - n_again[first] for first in firsts]
