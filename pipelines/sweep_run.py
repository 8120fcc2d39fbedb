"""One run of sweep: prepare, search, compare, write what was found, in that order."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market.simulate import SimulatedMarket
from pipelines import sweep_outcome
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError
from pipelines.console import console
from pipelines.preparation import Preparation, data_digests, prepare_symbols
from pipelines.run_digest import (
    DIGEST_CHARS,
    RUNS,
    default_folder,
    digest,
    identity,
    without_places,
)
from pipelines.run_folder import RunFolder, opened
from pipelines.settings import train_settings
from pipelines.sweep_display import SweepDisplay
from pipelines.sweep_plans import SweepPlans
from pipelines.sweep_settings import SweepSettings, training_conf
from pipelines.sweep_tracking import SweepTracking
from pipelines.tasks import n_workers, prepare
from pipelines.tuned import LAST_FILE, PROCEDURE, ROWS
from pipelines.writable import writable_folder
from selection.atomic import write_bytes_atomically
from selection.tuned_file import TunedFile, TunedModel, write_tuned
from training.engine import libraries
from training.pool import Pool, ThisProcess, Workers
from training.tuning.campaign import Campaign, Plan, Rules
from training.tuning.storage import StorageError, open_journal, opened_database
from training.tuning.verdicts import Decided, Verdicts

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SWEEPS = RUNS / "sweeps"
LOOKS = "look_ledger.jsonl"
TUNED, JOURNAL = "tuned.json", "journal.log"
# What drawing a study's plots and telling the tracker takes, about.
PLOTS_S = 1.0
# Of the configuration: what may change while a sweep goes on.
GOES_ON_WITH = (
    *("n_trials", "time_budget_min", "storage", "heartbeat_s", "retrain"),
    *("symbols_from", "max_test_accuracy", "timeout_s"),
)

_log = logging.getLogger(__name__)


class SweepRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: SweepSettings, conf: Mapping[str, Any]) -> None:
        self.settings, self.conf = settings, conf
        self.train, self.sweep = settings.train, settings.sweep
        self.simulated = isinstance(self.train.source, SimulatedMarket)
        self.data = Preparation()
        self.started = datetime.now(UTC)
        # Whether a comparison could not be made that there was time for.
        self.failed = False

    def run(self) -> int:
        """Run it all; return the exit code."""
        if not self.train.symbols:
            _log.info("no symbol of %s needs a sweep", self.train.manifest_path)
            return ALL_TRAINED
        writable_folder("output_dir", self.train.output_dir or RUNS)
        digests = data_digests(replace(self.train, symbols=self.settings.all_symbols))
        own = {symbol: digests[symbol] for symbol in self.train.symbols}
        with self._opened(own) as folder:
            found = self._sweep(folder, default_folder(training_conf(self.conf), digests))
        if not self.sweep.retrain or not found:
            return self._exit_code(found)
        return max(self._exit_code(found), self._retrain(folder.folder / TUNED))

    @contextmanager
    def _opened(self, digests: Mapping[str, str | None]) -> Iterator[RunFolder]:
        """Open the sweep's folder; of processes that share studies each has one of its own."""
        first, identity = self._folder(digests), self._identity(digests)
        with ExitStack() as stack:
            for number in count(1):
                folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
                try:
                    found = stack.enter_context(opened(folder, identity, resume=self.train.resume))
                    break
                except ConfigError:
                    if self.sweep.storage is None or self.train.output_dir is not None:
                        raise
            yield found

    def _folder(self, digests: Mapping[str, str | None]) -> Path:
        search = [self.conf["search"], self._lasting(), without_places(self.conf), digests]
        return self.train.output_dir or SWEEPS / digest(search)[:DIGEST_CHARS]

    def _identity(self, digests: Mapping[str, str | None]) -> str:
        return identity({**self.conf, "sweep": self._lasting()}, digests)

    def _lasting(self) -> dict[str, Any]:
        """Return the keys of the sweep with which other work begins where they change."""
        own = self.conf["sweep"]
        return {key: one for key, one in own.items() if key not in GOES_ON_WITH}

    def _sweep(self, run_folder: RunFolder, default: Path) -> dict[tuple[str, str], TunedModel]:
        folder = run_folder.folder
        if not self.train.resume:
            (folder / JOURNAL).unlink(missing_ok=True)
        # Before anything slow, so that a wrong address is told at once.
        with self._storage(folder) as storage:
            prepare(self.train)
            self.data = prepare_symbols(self.train)
            return self._found(run_folder, default, storage)

    def _found(
        self, run_folder: RunFolder, default: Path, storage: "BaseStorage"
    ) -> dict[tuple[str, str], TunedModel]:
        folder, found = run_folder.folder, dict[tuple[str, str], TunedModel]()
        with self.data.rows_in_files(folder) as rows:
            plans = SweepPlans(self.settings, self.data, storage).plans(folder, rows, default)
            if not plans:
                return found
            sweep_outcome.show_spaces(console(), self.settings.searched, self.sweep)
            tracking = SweepTracking(
                self.train.tracker,
                self.conf,
                self.settings.n_seen,
                simulated=self.simulated,
                shared=self.sweep.storage is not None,
            )
            with tracking.run(run_folder.execution.id, plans, len(self.train.symbols)):
                for decided in self._searched(plans, tracking):
                    found[decided.plan.key] = decided.tuned
                    self.failed |= decided.failed
                in_order = {plan.key: found[plan.key] for plan in plans}
                self._write(folder, in_order)
                tracking.finish(plans, in_order, folder)
        sweep_outcome.show(console(), in_order, self.settings.n_seen, simulated=self.simulated)
        path = folder / TUNED
        console().print(f"found     {path}", markup=False, soft_wrap=True)
        told = f"to train  python -m pipelines.train_all tuned={path} and the same data"
        console().print(told, markup=False, soft_wrap=True)
        return in_order

    def _searched(self, plans: list[Plan], tracking: SweepTracking) -> Iterator[Decided]:
        """Make all trials and compare what they found; yield each study's verdict."""
        sweep, workers_wanted = self.sweep, n_workers(self.train, self.data.prepared)
        rules = Rules(
            gap_penalty=sweep.gap_penalty,
            # The manifest has been read: what makes a symbol poor is, among others, its last block.
            alpha=sweep.alpha / 2 if sweep.from_manifest else sweep.alpha,
            timeout_s=sweep.timeout_s,
            heartbeat_s=sweep.heartbeat_s,
            looks=self.train.manifest_path.parent / LOOKS,
            shared=sweep.storage is not None,
        )
        display = SweepDisplay(console(), plans, self._left_s())
        with self._workers(workers_wanted) as workers, display:
            left_s = self._left_s()
            if left_s is not None:
                left_s = max(0.0, left_s - PLOTS_S * len(plans))
            campaign = Campaign(plans, rules, workers, workers_wanted, left_s)
            try:
                for ended in campaign.trials():
                    display.ended(ended)
                    tracking.ended(ended)
            except BaseException:
                # Whatever ends this process early: the trials it had begun wait for the next one.
                with suppress(OSError):
                    campaign.give_back()
                raise
            tracking.flush()
            display.compares()
            verdicts = Verdicts(
                plans, rules, workers, workers_wanted, campaign.turns, campaign.until_s
            )
            for decided in verdicts:
                display.decided(decided)
                yield decided

    def _left_s(self) -> float | None:
        """Return what is left of the budget, which is for all of the command."""
        if self.sweep.budget_s is None:
            return None
        spent_s = (datetime.now(UTC) - self.started).total_seconds()
        return max(0.0, self.sweep.budget_s - spent_s)

    @contextmanager
    def _workers(self, wanted: int) -> Iterator[Workers]:
        limit_bytes = self.train.memory_limit_bytes
        imported = libraries(augments=self.train.augmentation != "none")
        # Others must hear that a trial is under way while it is.
        alone = wanted == 1 and limit_bytes is None and self.sweep.storage is None
        workers: Workers = ThisProcess(imported) if alone else Pool(wanted, imported, limit_bytes)
        try:
            yield workers
        finally:
            workers.end()

    @contextmanager
    def _storage(self, folder: Path) -> "Iterator[BaseStorage]":
        url = self.sweep.storage
        try:
            if url is None:
                yield open_journal(folder / JOURNAL)
            else:
                with opened_database(url, self.sweep.heartbeat_s) as storage:
                    yield storage
        except StorageError as error:
            raise ConfigError(str(error) if url is None else f"sweep.storage: {error}") from error

    def _write(self, folder: Path, found: Mapping[tuple[str, str], TunedModel]) -> None:
        studies: dict[str, dict[str, TunedModel]] = {}
        for (symbol, model), tuned in found.items():
            studies.setdefault(symbol, {})[model] = tuned
        plain = without_places(training_conf(self.conf))
        file = TunedFile(
            timestamp=datetime.now(UTC),
            simulated=self.simulated,
            seed=self.train.seed,
            definitions={section: plain[section] for section in (*ROWS, *PROCEDURE)},
            studies=studies,
        )
        write_tuned(folder / TUNED, file)
        sweep_outcome.write_csv(folder / "sweep.csv", found)
        if any(one.best_trial is not None for one in found.values()):
            write_bytes_atomically(LAST_FILE, (folder / TUNED).read_bytes())

    def _retrain(self, tuned: Path) -> int:
        """Train all symbols of the configuration with what was found, and certify them anew.

        All of them: a symbol must pass among as many others as it did before.
        """
        from pipelines.cost import RunCost
        from pipelines.training_run import TrainingRun

        output_dir = self.train.output_dir
        conf = {
            **training_conf(self.conf),
            "tuned": str(tuned),
            "symbols": self.settings.all_symbols,
            "output_dir": None if output_dir is None else str(output_dir / "train_all"),
        }
        _log.info("training with what was found: train_all tuned=%s", tuned)
        if left_out := sorted(set(self.settings.in_manifest) - set(self.settings.all_symbols)):
            told = "%s has %s too, and the new one will not: name all symbols to keep them"
            _log.warning(told, self.train.manifest_path, ", ".join(left_out))
        return TrainingRun(train_settings(conf), conf, RunCost()).run()

    def _exit_code(self, found: Mapping[tuple[str, str], TunedModel]) -> int:
        fruitless = [one for one in found.values() if one.best_trial is None]
        if len(fruitless) == len(found):
            return NOTHING_TRAINED
        # One that had no time for a trial is as the budget was meant.
        impaired = self.data.failed or self.failed or any(one.n_trials for one in fruitless)
        return SOME_FAILED if impaired else ALL_TRAINED
