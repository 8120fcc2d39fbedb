"""One run of train_all: prepare, train, select, certify, report, in that order."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from market.bars import DataError
from market.simulate import SimulatedMarket
from market.table_files import TableFiles
from pipelines import outcome, records
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError
from pipelines.cost import RunCost
from pipelines.settings import TrainSettings
from selection import to_json_safe
from selection.atomic import write_json_atomically
from tracking.records import LoggedModel
from training.certify import Definitions, deployable, described, refused
from training.engine import Finished, available_cores, run_tasks
from training.prepare import Prepared, prepare
from training.result import Payoff, library_versions, training_result
from training.walk_forward import Task

# What decides where results are put, or how fast they come, but not what they are.
PLACES = ("execution", "manifest", "name", "output_dir", "tracking")
DATA_PLACE = "dir"
RUNS = Path("runs")
DIGEST_CHARS = 12

Result = dict[str, Any]


class TrainingRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: TrainSettings, conf: Mapping[str, Any], cost: RunCost) -> None:
        self.settings = settings
        self.cost = cost
        self.console = Console(highlight=False)
        self.started = datetime.now(UTC)
        self.simulated = isinstance(settings.source, SimulatedMarket)
        self.conf = _without_places(conf)
        self.conf_digest = _digest(self.conf)
        self.prepared: dict[str, Prepared] = {}
        self.failed: dict[str, str] = {}
        self.undeployed: dict[str, str] = {}
        self.written: list[Path] = []
        self.results: dict[str, dict[str, Result]] = {}
        self.logged: dict[tuple[str, str], LoggedModel] = {}
        self.run_id: str | None = None
        costs, labels = settings.costs, settings.labels
        self.payoff = Payoff(
            labels.profit_atr,
            labels.stop_atr,
            costs.total_atr,
            settings.training.decision_threshold,
        )

    def run(self) -> int:
        """Run it all; return the exit code."""
        self._check_writable()
        self._prepare()
        folder = self._output_dir()
        folder.mkdir(parents=True, exist_ok=True)
        with self._tracked(folder):
            self._train(folder)
            selections = self._certify(folder)
            code = self._exit_code()
            leaderboard = folder / "leaderboard.csv"
            outcome.write_leaderboard(self.results, self.settings.selector, leaderboard)
            self.written.append(leaderboard)
            # What is live stays live where there is nothing to take its place.
            if code != NOTHING_TRAINED:
                self._deploy(selections)
        cost = self.cost.measured(self.results, self.settings.tracker.cpu_seconds)
        write_json_atomically(folder / "run.json", self._run_record(selections, cost, code))
        if self.results:
            outcome.show(self.console, self.results, selections, simulated=self.simulated)
            outcome.show_cost(self.console, cost)
        self._show_places(folder, code)
        return code

    def _show_places(self, folder: Path, code: int) -> None:
        written = code != NOTHING_TRAINED
        manifest = self.settings.manifest_path if written else "not written: nothing was trained"
        self.console.print(f"results   {folder}", markup=False, soft_wrap=True)
        self.console.print(f"manifest  {manifest}", markup=False, soft_wrap=True)
        if self.settings.tracker.failure:
            failure = f"tracking  failed: {self.settings.tracker.failure}"
            self.console.print(failure, markup=False, soft_wrap=True)

    def _check_writable(self) -> None:
        """Find out before the work, not after it, that its results could not be kept."""
        for key, folder in (
            ("output_dir", self.settings.output_dir or RUNS),
            ("manifest.path", self.settings.manifest_path.parent),
        ):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"{key}: {folder} cannot be made: {error.strerror}") from error
            if not os.access(folder, os.W_OK):
                raise ConfigError(f"{key}: {folder} cannot be written to")

    def _prepare(self) -> None:
        settings = self.settings
        for symbol in settings.symbols:
            try:
                self.prepared[symbol] = self._prepared(symbol)
            except DataError as error:
                self.failed[symbol] = str(error)
                self.console.print(f"{symbol}: {error}", style="red", markup=False, soft_wrap=True)
        kind = "simulated" if self.simulated else "real"
        rows = sum(len(one.split.development) for one in self.prepared.values())
        self.console.print(
            f"{len(self.prepared)} of {len(settings.symbols)} symbols ready ({kind} data): "
            f"{rows} development rows"
        )

    def _prepared(self, symbol: str) -> Prepared:
        settings = self.settings
        prepared = prepare(
            settings.source,
            symbol,
            seed=settings.seed,
            features=settings.features,
            events=settings.events,
            labels=settings.labels,
            split=settings.split,
            max_feature_auc=settings.training.max_feature_auc,
        )
        for note in prepared.notes:
            self.console.print(f"{symbol}: {note}", style="yellow", markup=False, soft_wrap=True)
        return prepared

    def _output_dir(self) -> Path:
        if self.settings.output_dir is not None:
            return self.settings.output_dir
        data = {symbol: one.source_digest for symbol, one in self.prepared.items()}
        return RUNS / _digest([self.conf, data])[:DIGEST_CHARS]

    @contextmanager
    def _tracked(self, folder: Path) -> Iterator[None]:
        tracker = self.settings.tracker
        name = f"{'simulated ' if self.simulated else ''}train_all {folder.name}"
        status: Any = "KILLED"
        try:
            start = records.run_start(name, self.conf, simulated=self.simulated)
            self.run_id = tracker.start(start)
            yield
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            counts = {"symbols": len(self.settings.symbols), "symbols_failed": len(self.failed)}
            manifest = self.settings.manifest_path
            tags = {"manifest": str(manifest)} if manifest in self.written else {}
            tracker.finish(metrics=counts, tags=tags, artifacts=self.written, status=status)

    def _train(self, folder: Path) -> None:
        """Train all tasks, longest first; keep the results in the order of the configuration."""
        tasks = [
            self._task(symbol, model, folder)
            for symbol in self.prepared
            for model in [*self.settings.models, *self.settings.null_models]
        ]
        self.results = {symbol: {} for symbol in self.prepared}
        done: dict[tuple[str, str], Result] = {}
        workers = self.settings.workers or available_cores()
        # Closed explicitly: an interrupt must end the worker processes at once.
        with (
            self._progress(len(tasks)) as advance,
            closing(run_tasks(tasks, workers)) as ended,
        ):
            for finished in ended:
                result = self._recorded(finished, folder)
                done[finished.task.symbol, finished.task.model.name] = result
                advance(result)
        for task in tasks:
            self.results[task.symbol][task.model.name] = done[task.symbol, task.model.name]

    def _task(self, symbol: str, model: Any, folder: Path) -> Task:
        settings = self.settings
        return Task(
            symbol=symbol,
            model=model,
            split=self.prepared[symbol].split,
            early_stopping_fraction=settings.training.early_stopping_fraction,
            new_augmenter=settings.new_augmenter,
            new_monitor=settings.new_monitor,
            seed=settings.seed,
            folder=folder / "models" / f"{symbol}_{model.name}",
        )

    @contextmanager
    def _progress(self, n_tasks: int) -> Iterator[Any]:
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        live = self.console.is_terminal
        with Progress(*columns, console=self.console, disable=not live, transient=True) as bar:
            task_id, done = bar.add_task("training", total=n_tasks), 0

            def advance(result: Result) -> None:
                nonlocal done
                done += 1
                line = outcome.progress_line(result)
                self.console.print(f"[{done}/{n_tasks}] {line}", markup=False, soft_wrap=True)
                notes = self.prepared[result["symbol"]].notes
                if warned := outcome.warning_line(result, notes):
                    self.console.print(warned, markup=False, soft_wrap=True, style="yellow")
                bar.advance(task_id)

            yield advance

    def _recorded(self, finished: Finished, folder: Path) -> Result:
        """Write the result file and mirror it to the tracker."""
        task, prepared = finished.task, self.prepared[finished.task.symbol]
        is_null = task.model.name in {model.name for model in self.settings.null_models}
        if finished.trained is None:
            result: Result = {
                "symbol": task.symbol,
                "model_name": task.model.name,
                "timestamp": datetime.now(UTC).isoformat(),
                "null_model": is_null,
                "error": finished.error,
            }
        else:
            result = to_json_safe(
                training_result(
                    task,
                    finished.trained,
                    payoff=self.payoff,
                    null_model=is_null,
                    conf_digest=self.conf_digest,
                    notes=prepared.notes,
                    now=datetime.now(UTC),
                )
            )
        write_json_atomically(folder / "results" / f"{task.symbol}_{task.model.name}.json", result)
        record = records.model_record(
            result,
            development=prepared.split.development,
            source=prepared.source_digest,
            artifact_folder=task.folder,
            simulated=self.simulated,
        )
        self.logged[task.symbol, task.model.name] = self.settings.tracker.log_model(record)
        return result

    def _certify(self, folder: Path) -> dict[str, Result]:
        """Select per symbol, then describe each selection as the manifest holds it."""
        candidates = {
            symbol: {name: one for name, one in models.items() if not one["null_model"]}
            for symbol, models in self.results.items()
        }
        chosen = self.settings.selector.select_best_models(candidates)
        selections = {
            symbol: refused(f"Data could not be used: {error}")
            for symbol, error in self.failed.items()
        }
        for symbol, selection in chosen.items():
            try:
                selections[symbol] = self._described(symbol, selection, folder)
            except (ValueError, OSError) as error:
                self.undeployed[symbol] = f"Artifacts could not be stored: {error}"
                selections[symbol] = refused(self.undeployed[symbol])
        return {symbol: selections[symbol] for symbol in self.settings.symbols}

    def _described(self, symbol: str, selection: Result, folder: Path) -> Result:
        settings, prepared, models = self.settings, self.prepared[symbol], self.results[symbol]
        selection = described(
            selection,
            models,
            prepared,
            definitions=self._definitions(),
            selector=settings.selector,
        )
        model = selection["selected_model"]
        if model is None:
            return selection
        logged = self.logged[symbol, model]
        selection |= {"model_version": logged.version, "model_uri": logged.uri}
        return deployable(
            selection,
            models[model],
            prepared,
            model_folder=folder / "models" / f"{symbol}_{model}",
            deploy_folder=settings.manifest_path.parent,
            payoff=self.payoff,
        )

    def _definitions(self) -> Definitions:
        conf = self.conf
        if isinstance(self.settings.source, TableFiles):
            barriers = {key: conf["labels"][key] for key in ("profit_atr", "stop_atr")}
            return Definitions(None, {"kind": "table", **barriers}, conf["split"])
        definition = {"features": conf["features"], "events": conf["events"]}
        return Definitions(definition, conf["labels"], conf["split"])

    def _deploy(self, selections: dict[str, Result]) -> None:
        """Write the manifest, then point the tracker's champions at what it names."""
        self.settings.selector.save_deployment_manifest(
            selections,
            self.settings.manifest_path,
            provenance={
                "run_id": self.run_id,
                "simulated": self.simulated,
                "git_commit": records.git_commit(),
                "conf_digest": self.conf_digest,
                "library_versions": library_versions(),
                "seed": self.settings.seed,
                "costs_atr": self.payoff.cost_atr,
            },
        )
        self.written.append(self.settings.manifest_path)
        for symbol, selection in selections.items():
            if selection.get("model_version") is not None:
                self.settings.tracker.set_champion(symbol, selection["model_version"])

    def _exit_code(self) -> int:
        trained = [
            result
            for models in self.results.values()
            for result in models.values()
            if not result["null_model"]
        ]
        if all("error" in result for result in trained):
            return NOTHING_TRAINED
        some_failed = bool(self.failed or self.undeployed) or any(
            "error" in result for result in trained
        )
        return SOME_FAILED if some_failed else ALL_TRAINED

    def _run_record(self, selections: dict[str, Result], cost: Result, code: int) -> Result:
        return {
            "run_id": self.run_id,
            "simulated": self.simulated,
            "started": self.started,
            "ended": datetime.now(UTC),
            "exit_code": code,
            "seed": self.settings.seed,
            "conf_digest": self.conf_digest,
            "manifest": None if code == NOTHING_TRAINED else str(self.settings.manifest_path),
            "models": [model.name for model in self.settings.models],
            "null_models": [model.name for model in self.settings.null_models],
            "symbols": {
                symbol: self._symbol_record(symbol, selections[symbol])
                for symbol in self.settings.symbols
            },
            "tracking_failure": self.settings.tracker.failure,
            "timings": cost,
        }

    def _symbol_record(self, symbol: str, selection: Result) -> Result:
        if symbol in self.failed:
            return {"status": "failed", "error": self.failed[symbol], "models": {}}
        prepared = self.prepared[symbol]
        statuses = {
            name: {"status": "failed", "error": result["error"]}
            if "error" in result
            else {"status": "trained"}
            for name, result in self.results[symbol].items()
        }
        tried = [statuses[model.name]["status"] for model in self.settings.models]
        return {
            "status": "trained" if "trained" in tried else "failed",
            "events": prepared.n_events,
            "development_rows": len(prepared.split.development),
            "holdout_rows": len(prepared.holdout.samples) if prepared.holdout else 0,
            "notes": prepared.notes,
            "selected_model": selection["selected_model"],
            "reason": selection["reason"],
            "models": statuses,
        }


def _without_places(conf: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in conf.items() if key not in PLACES}
    kept["data"] = {key: value for key, value in conf["data"].items() if key != DATA_PLACE}
    return kept


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
