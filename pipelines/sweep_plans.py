"""What a sweep is about to do: a study for each model of each symbol, and its default beside it."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from market.bars import DataError
from market.sample_files import map_samples
from market.simulate import SimulatedMarket
from market.splits import Split, known_before
from pipelines.preparation import Preparation
from pipelines.run_digest import DIGEST_CHARS, digest
from pipelines.sweep_settings import Searched, SweepSettings
from pipelines.tasks import make_tasks, taken_over
from selection.holdout_ledger import REAL_MARKET
from training.task import Task
from training.tuning.campaign import Plan
from training.tuning.study import Search, Study
from training.units import unit_key

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_log = logging.getLogger(__name__)


class SweepPlans:
    """Makes the plans of a sweep.

    Parameters
    ----------
    settings : SweepSettings
    data : Preparation
        Of its symbols, their rows in files.
    storage : BaseStorage
        Of the studies.
    """

    def __init__(self, settings: SweepSettings, data: Preparation, storage: "BaseStorage") -> None:
        self._settings, self._data, self._storage = settings, data, storage

    def plans(self, folder: Path, rows: Path, default: Path) -> list[Plan]:
        """Return the plans, by symbol and model in the order of the configuration.

        Parameters
        ----------
        folder : Path
            Of the sweep.
        rows : Path
            Where the part of the rows that trials see is written.
        default : Path
            Folder of the run that trains by default, whose finished fits are taken over.
        """
        train, n_seen = self._settings.train, self._settings.n_seen
        known = self._known(rows)
        searched = {one.model.name: one for one in self._settings.searched}
        every = make_tasks(train, self._data.prepared, folder)
        tasks = [task for task in every if task.model.name in searched]
        if train.resume and (n_fits := taken_over(tasks, default)):
            _log.info("%d fits of the default taken over from %s", n_fits, default)
        simulated = isinstance(train.source, SimulatedMarket)
        plans = []
        for task in tasks:
            split, market = known[task.symbol], self._data.digests[task.symbol]
            study = self._study(searched[task.model.name], task, split)
            plans.append(Plan(study, task, split, n_seen, market if simulated else REAL_MARKET))
        return plans

    def _known(self, rows: Path) -> dict[str, Split]:
        """Return what trials see of each symbol; one that leaves them nothing is left out."""
        known = {}
        for symbol, one in list(self._data.prepared.items()):
            try:
                seen = known_before(one.split, self._settings.n_seen)
            except DataError as error:
                self._data.failed[symbol] = str(error)
                del self._data.prepared[symbol]
                _log.error("%s: %s", symbol, error)
                continue
            mapped = map_samples(seen.development, rows / f"{symbol}_known")
            known[symbol] = replace(seen, development=mapped)
        return known

    def _study(self, searched: Searched, task: Task, known: Split) -> Study:
        sweep = self._settings.sweep
        search = Search(
            sampler=sweep.sampler,
            n_trials=sweep.n_trials,
            n_random=sweep.random_trials,
            at_once=sweep.parallel_trials,
            fold_share=sweep.fold_share,
            epoch_share=sweep.epoch_share,
            prune_from=sweep.prune_from,
        )
        # Whatever decides what a trial's objective is: studies of other rows are other studies.
        seen = replace(task, split=known, stronger=())
        parts = [
            *(unit_key(seen, known.development.digest()), sweep.gap_penalty),
            *(sweep.sampler, sweep.random_trials, sweep.parallel_trials, searched.starts),
            {name: str(tried) for name, tried in searched.space.tried.items()},
        ]
        return Study(
            self._storage,
            f"{task.symbol}_{task.model.name}_{digest(parts)[:DIGEST_CHARS]}",
            symbol=task.symbol,
            model=task.model.name,
            space=searched.space,
            search=search,
            starts=searched.starts,
            seed=self._settings.train.seed,
        )
