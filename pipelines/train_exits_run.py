"""One run of train_exits: read, learn, write the model, report, in that order."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from exits.data_report import DataReport
from exits.decision_rows import DecisionRows, read_decision_rows
from exits.exit_model import save_exit_model
from exits.experience_files import ExperienceError
from exits.learning import LearningError, Learnt, learn
from exits.simple_learning import learn_simple
from exits.simple_learning_file import FILE, save_simple
from pipelines import records
from pipelines import train_exits_records as records_of
from pipelines.command import ALL_TRAINED, ConfigError
from pipelines.console import console
from pipelines.progress import WorkProgress
from pipelines.run_digest import DIGEST_CHARS, RUNS, digest
from pipelines.run_folder import held
from pipelines.tracked import tracked
from pipelines.train_exits_display import EpochDisplay, data_table, show
from pipelines.train_exits_files import (
    EVIDENCE,
    HINDSIGHT_MODEL,
    REJECTED,
    REPORT,
    SUMMARY,
    begin,
    digest_of,
    write_json,
)
from pipelines.train_exits_page import write_page
from pipelines.train_exits_settings import TrainExitsSettings
from pipelines.writable import writable_folder
from tracking.records import RunStart

EXITS = RUNS / "exits"
# What decides where results are put, but not what they are.
PLACES = ("experiences", "model_dir", "name", "output_dir", "tracking")

_log = logging.getLogger(__name__)


class TrainExitsRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: TrainExitsSettings, conf: Mapping[str, Any]) -> None:
        self.settings, self.conf = settings, conf
        self.started = datetime.now(UTC)
        kept = {key: one for key, one in conf.items() if key not in PLACES}
        self.conf_digest = digest([kept, [digest_of(path) for path in settings.files]])
        self.simulated = records_of.simulated(settings.files)

    def run(self) -> int:
        """Run it all; return the exit code."""
        writable_folder("output_dir", self.settings.output_dir or EXITS)
        # It is not made before there is a model.
        there = self.model_dir.exists()
        writable_folder("model_dir", self.model_dir if there else self.model_dir.parent)
        with held(self.folder), tracked(self.settings.tracker, self._start()) as end:
            begin(self.folder)
            told = self._told()
            if not told.learnt.hindsight:
                save_simple(self.model_dir / FILE, told.simple)
            save_exit_model(self.model_dir, told.learnt.model)
            files = self._written(told)
            self.settings.tracker.log_model(records_of.child(told, datetime.now(UTC)))
            end |= records_of.ended(told, files)
        show(console(), told)
        return ALL_TRAINED

    @property
    def folder(self) -> Path:
        """Where report and figures go."""
        return self.settings.output_dir or EXITS / self.conf_digest[:DIGEST_CHARS]

    @property
    def model_dir(self) -> Path:
        """Where the model goes; one that has looked ahead has a place of its own."""
        if self.settings.allow_hindsight:
            return self.folder / HINDSIGHT_MODEL
        return self.settings.model_dir

    def _told(self) -> records_of.Told:
        settings = self.settings
        rows, report = self._rows()
        self.simulated = records_of.market_of(report, self.simulated)
        console().print(data_table(report))
        with EpochDisplay(console(), settings.learning.net.max_epochs) as display:
            try:
                learnt = learn(
                    rows,
                    settings.learning,
                    seed=settings.seed,
                    monitor=settings.monitor,
                    on_epoch=display.ended,
                )
            except LearningError as error:
                raise ConfigError(f"experiences: {error}") from error
        return records_of.Told(
            settings=settings,
            conf_digest=self.conf_digest,
            started=self.started,
            simulated=self.simulated,
            folder=self.folder,
            model_dir=self.model_dir,
            report=report,
            learnt=self._marked(learnt),
            simple=learn_simple(rows),
            effects=records_of.effects_of(rows, learnt),
        )

    def _rows(self) -> tuple[DecisionRows, DataReport]:
        settings = self.settings
        _log.info("reading %d file%s", len(settings.files), "s" * (len(settings.files) != 1))
        with WorkProgress(console(), "reading") as progress:
            try:
                return read_decision_rows(
                    settings.files,
                    allow_hindsight=settings.allow_hindsight,
                    rejected=self.folder / REJECTED,
                    on_progress=progress.update,
                )
            except ExperienceError as error:
                raise ConfigError(f"experiences: {error}") from error

    def _marked(self, learnt: Learnt) -> Learnt:
        """Return what was learnt, its model with what the run knows of it."""
        facts = {**learnt.model.facts, "simulated": self.simulated, "conf_digest": self.conf_digest}
        return replace(learnt, model=replace(learnt.model, facts=facts))

    def _written(self, told: records_of.Told) -> list[Path]:
        """Write all files but the model's; return them."""
        page = self.folder / REPORT
        write_page(page, told)
        files = [write_json(self.folder, EVIDENCE, records_of.evidence(told)), page]
        files.append(write_json(self.folder, SUMMARY, records_of.summary(told)))
        rejected = self.folder / REJECTED
        return [*files, *([rejected] if rejected.exists() else [])]

    def _start(self) -> RunStart:
        name = records_of.run_name(self.settings.name, self.started, None)
        execution = uuid4().hex
        return records.run_start(name, self.conf, simulated=self.simulated, execution=execution)
