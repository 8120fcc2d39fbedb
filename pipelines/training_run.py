"""One run of train_all: prepare, train, select, certify, report, in that order."""

import gc
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from market.source import is_simulated
from pipelines import outcome, records
from pipelines.certification import (
    Run,
    candidates,
    certify,
    selected_by_reference,
    write_manifest,
)
from pipelines.command import NOTHING_TRAINED
from pipelines.console import console
from pipelines.cost import RunCost
from pipelines.descriptions import registered_page, run_page
from pipelines.display import TrainingDisplay
from pipelines.finalists import reseeded
from pipelines.preparation import Preparation, data_digests, prepare_symbols
from pipelines.run_digest import RUNS, default_folder, digest, identity, sha256_of, without_places
from pipelines.run_end import Ended, shown_again
from pipelines.run_folder import RunFolder, opened
from pipelines.run_record import exit_code, failed_result, symbol_records
from pipelines.settings import TrainSettings
from pipelines.tasks import fits_made, make_tasks, n_workers, prepare, taken_over
from pipelines.tuned import applied, tuning_of
from pipelines.writable import writable_folder
from selection import ModelSelector, to_json_safe
from selection.atomic import write_json_atomically
from selection.out_of_fold import OutOfFold
from tracking.records import LoggedModel, Status
from training.engine import Finished, Step, run_tasks
from training.predictions import out_of_fold, write_predictions
from training.result import training_result
from training.task import Failure, Task

Result = dict[str, Any]

_log = logging.getLogger(__name__)


class TrainingRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: TrainSettings, conf: Mapping[str, Any], cost: RunCost) -> None:
        self.settings = settings
        self.cost = cost
        self.started = datetime.now(UTC)
        self.simulated = is_simulated(settings.source)
        self.tuning = tuning_of(settings, conf)
        tuned = self.tuning.digest
        self.conf = without_places(conf, tuned)
        self.conf_digest = digest(self.conf)
        self.name = str(conf["name"])
        self.digests = data_digests(settings)
        self.identity = identity(conf, self.digests, tuned)
        self.output_dir = settings.output_dir or default_folder(conf, self.digests, tuned)
        self.untuned = default_folder(conf, self.digests)
        self.execution = ""
        self.data = Preparation()
        self.artifacts: list[tuple[Path, str]] = []
        self.results: dict[str, dict[str, Result]] = {}
        self.tasks: dict[tuple[str, str], Task] = {}
        self.predictions: dict[str, dict[str, OutOfFold]] = {}
        self.selections: dict[str, Result] = {}
        self.logged: dict[tuple[str, str], LoggedModel] = {}
        self.run_id: str | None = None
        self.would_repeat = True

    def run(self) -> int:
        """Run it all, or show it where that has been done; return the exit code."""
        writable_folder("output_dir", self.settings.output_dir or RUNS)
        writable_folder("manifest.path", self.settings.manifest_path.parent)
        with opened(self.output_dir, self.identity, resume=self.settings.resume) as folder:
            code = shown_again(folder, self.settings, simulated=self.simulated)
            return self._run(folder) if code is None else code

    def _run(self, run_folder: RunFolder) -> int:
        folder, self.execution = run_folder.folder, run_folder.execution.id
        prepare(self.settings)
        self.data = prepare_symbols(self.settings)
        if self.data.passing or any(
            self.digests[symbol] != read for symbol, read in self.data.digests.items()
        ):
            self._may_go_otherwise()
        self._show_data()
        if run_folder.held_other_work:
            _log.warning("%s held another run (settings, data or code); it is replaced", folder)
        with self.data.rows_in_files(folder), self._tracked():
            self._log_data(folder)
            self._train(folder, is_resumed=run_folder.is_resumed)
            code = self._certify(folder)
        cost = self.cost.measured(self.results, self.settings.tracker.cpu_seconds)
        write_json_atomically(folder / "selections.json", self.selections)
        write_json_atomically(folder / "run.json", self._run_record(cost, code))
        if self.would_repeat:
            run_folder.end()
        ended = Ended(folder, self.results, self.selections, cost, code)
        ended.show(self.settings, simulated=self.simulated)
        return code

    def _may_go_otherwise(self) -> None:
        """Note that the same command may have another outcome: it is not shown again, but run."""
        self.would_repeat = False

    def _show_data(self) -> None:
        kind = "simulated" if self.simulated else "real"
        rows = sum(len(one.split.development) for one in self.data.prepared.values())
        _log.info(
            "%d of %d symbols ready (%s data): %d development rows",
            len(self.data.prepared),
            len(self.settings.symbols),
            kind,
            rows,
        )

    @contextmanager
    def _tracked(self) -> Iterator[None]:
        tracker = self.settings.tracker
        status: Status = "FAILED"
        try:
            name = self._run_name(None)
            start = records.run_start(
                name, self.conf, simulated=self.simulated, execution=self.execution
            )
            self.run_id = tracker.start(start)
            # What was imported stays: no collection need look at it.
            gc.freeze()
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            self._finish_tracking(status)

    def _finish_tracking(self, status: Status) -> None:
        """End the parent run; one that was cut off before the selection has little to tell."""
        tracker, selections = self.settings.tracker, self.selections
        if not selections:
            tracker.finish(metrics={}, tags={}, artifacts=self.artifacts, status=status)
            return
        path = self.settings.manifest_path
        manifest = path if (path, "") in self.artifacts else None
        page = run_page(self.results, selections, simulated=self.simulated, manifest=manifest)
        selected = sum(one["selected_model"] is not None for one in selections.values())
        tracker.finish(
            metrics=records.run_metrics(self.results, selections),
            tags=records.run_tags(selections) | ({"manifest": str(manifest)} if manifest else {}),
            artifacts=self.artifacts,
            status=status,
            name=self._run_name(selected),
            description=page,
        )

    def _run_name(self, n_selected: int | None) -> str:
        return records.run_name(
            self.name,
            self.started,
            n_symbols=len(self.settings.symbols),
            n_selected=n_selected,
            simulated=self.simulated,
        )

    def _log_data(self, folder: Path) -> None:
        """Write what is known of each symbol's data; tell the tracker what could not be used."""
        for symbol, path in self.data.write_reports(folder / "data").items():
            if symbol in self.data.prepared:
                self.artifacts.append((path, "data"))
            else:
                error = self.data.failed[symbol]
                failed = records.failed_data(symbol, error, path, simulated=self.simulated)
                self.settings.tracker.log_failed_data(failed)

    def _train(self, folder: Path, *, is_resumed: bool) -> None:
        """Train all tasks; keep the results in the order of the configuration."""
        models = [*self.settings.models, *self.settings.null_models]
        tasks = make_tasks(
            self.settings, self.data.prepared, folder, applied(self.tuning, self.data.prepared)
        )
        goes_on = self.tuning.found and self.settings.resume
        # What is not tuned is fitted as it is without tuned=..., and may have been.
        if goes_on and (n_fits := taken_over(tasks, self.untuned)):
            _log.info("%d fits taken over from %s", n_fits, self.untuned)
        self.tasks = {(task.symbol, task.model.name): task for task in tasks}
        self.results = {symbol: {} for symbol in self.data.prepared}
        self.predictions = {symbol: {} for symbol in self.data.prepared}
        done: dict[tuple[str, str], Result] = {}
        _log.info("training %d models with %d at a time", len(tasks), self._n_workers)
        n_made, n_fits = fits_made(tasks)
        if n_made or is_resumed:
            _log.info("resuming: %d of %d fits were made by an earlier start", n_made, n_fits)
        display = TrainingDisplay(
            console(),
            list(self.data.prepared),
            [model.name for model in models],
            n_workers=self._n_workers,
            notes={symbol: one.notes for symbol, one in self.data.prepared.items()},
        )
        # Closed explicitly: an interrupt must end the worker processes at once.
        running = run_tasks(tasks, self._n_workers, self.settings.memory_limit_bytes)
        with display, closing(running) as events:
            for event in events:
                if isinstance(event, Step):
                    display.step(event)
                    continue
                result = self._recorded(event, folder)
                done[event.task.symbol, event.task.model.name] = result
                display.finished(result)
        for task in tasks:
            self.results[task.symbol][task.model.name] = done[task.symbol, task.model.name]

    @cached_property
    def _n_workers(self) -> int:
        return n_workers(self.settings, self.data.prepared)

    def _recorded(self, finished: Finished, folder: Path) -> Result:
        """Write the result file and mirror it to the tracker."""
        task, prepared = finished.task, self.data.prepared[finished.task.symbol]
        is_null = task.model in self.settings.null_models
        if isinstance(finished.outcome, Failure):
            result = failed_result(task, finished.outcome, null_model=is_null)
            if not finished.outcome.repeats:
                self._may_go_otherwise()
        else:
            trained = finished.outcome
            predicted = out_of_fold(task.split, trained, task.judged_from)
            if not is_null:
                self.predictions[task.symbol][task.model.name] = predicted
            path = folder / "predictions" / f"{task.symbol}_{task.model.name}.parquet"
            written = write_predictions(path, task.split, trained, task.judged_from)
            measured = training_result(
                task,
                trained,
                payoff=self.settings.payoff,
                null_model=is_null,
                conf_digest=self.conf_digest,
                notes=prepared.notes,
                now=datetime.now(UTC),
            )
            result = {**to_json_safe(measured), "predictions": to_json_safe(written)}
        write_json_atomically(folder / "results" / f"{task.symbol}_{task.model.name}.json", result)
        record = records.model_record(
            result,
            development=prepared.split.development,
            source=self.data.digests[task.symbol],
            artifact_folder=folder / "models" / f"{task.symbol}_{task.model.name}",
            simulated=self.simulated,
        )
        self.logged[task.symbol, task.model.name] = self.settings.tracker.log_model(record)
        return result

    def _certify(self, folder: Path) -> int:
        """Select, write leaderboard and manifest, tell the tracker; return the exit code."""
        settings = self.settings
        certified = certify(
            settings,
            self.conf,
            self.data,
            self.results,
            self._selected(),
            self.logged,
            models_folder=folder / "models",
            predictions_folder=folder / "predictions",
            run=Run(self.run_id, self.execution, simulated=self.simulated),
        )
        self.selections = certified.selections
        if certified.undeployed:
            self._may_go_otherwise()
        reference = isinstance(settings.selector, ModelSelector)
        judged = candidates(self.results, council=not reference)
        code = exit_code(self.data, judged, certified.undeployed)
        leaderboard = folder / "leaderboard.csv"
        outcome.write_leaderboard(self.results, self.selections, leaderboard)
        self.artifacts.append((leaderboard, ""))
        settings.tracker.log_verdicts(
            records.verdicts(self.results, self.selections, self.logged, simulated=self.simulated)
        )
        # What is live stays live where there is nothing to take its place.
        if code != NOTHING_TRAINED:
            self._deploy()
        return code

    def _selected(self) -> dict[str, Result]:
        """Select; a net that was chosen must hold up from other seeds as well."""
        selector, results = self.settings.selector, candidates(self.results, council=True)
        if isinstance(selector, ModelSelector):
            return selected_by_reference(selector, results)
        further: dict[tuple[str, str], list[OutOfFold]] = {}
        selections = selector.select(results, self.predictions)
        # Where one net is turned down another may come up.
        while finalists := selector.finalists(selections, further):
            tasks = [self.tasks[finalist] for finalist in finalists]
            limit_bytes = self.settings.memory_limit_bytes
            further |= reseeded(
                tasks, selector.seeds, self._n_workers, limit_bytes, self._may_go_otherwise
            )
            selections = selector.select(results, self.predictions, further)
        return selections

    def _deploy(self) -> None:
        """Write the manifest, then point the tracker's champions at what it names."""
        settings = self.settings
        write_manifest(
            settings,
            self.selections,
            execution=self.execution,
            run_id=self.run_id,
            simulated=self.simulated,
            conf_digest=self.conf_digest,
            cost_atr=self.settings.payoff.cost_atr,
        )
        self.artifacts.append((settings.manifest_path, ""))
        for symbol, selection in self.selections.items():
            model = selection["selected_model"]
            if model is None or not settings.promotes:
                continue
            kept = settings.tracker.promote(
                symbol,
                # One that waits for the store has none yet, and is known by its name.
                selection["model_version"],
                model=model,
                simulated=self.simulated,
                description=registered_page(symbol, settings.manifest_path),
                manifest=settings.manifest_path,
            )
            if kept is not None:
                _log.warning("%s: %s", symbol, kept)

    def _run_record(self, cost: Result, code: int) -> Result:
        return {
            "run_id": self.run_id,
            "simulated": self.simulated,
            "started": self.started,
            "ended": datetime.now(UTC),
            "exit_code": code,
            "seed": self.settings.seed,
            "conf_digest": self.conf_digest,
            "manifest": None if code == NOTHING_TRAINED else str(self.settings.manifest_path),
            "manifest_sha256": None
            if code == NOTHING_TRAINED
            else sha256_of(self.settings.manifest_path),
            "models": [model.name for model in self.settings.models],
            "null_models": [model.name for model in self.settings.null_models],
            "symbols": symbol_records(self.data, self.results, self.selections),
            "tracking_failure": self.settings.tracker.failure,
            "timings": cost,
        }
