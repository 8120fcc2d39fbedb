"""One run of backtest: entries, holdouts written down, replay, statistics, files, in that order."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from backtest.holdout import Look, Shown, record_looks
from backtest.period import first_tradable
from backtest.replay import replay
from backtest.replayed import Replayed
from backtest.report import write_report
from backtest.research import EXECUTION
from backtest.stats import statistics
from exits.experience import experiences, write_experiences
from market.simulate import SimulatedMarket
from pipelines import backtest_records as records_of
from pipelines import records
from pipelines.backtest_display import ReplayProgress, show
from pipelines.backtest_entries import Found, find_entries
from pipelines.backtest_files import EXPERIENCES, REPORT, begin, write_summary, write_tables
from pipelines.backtest_settings import BacktestSettings
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError
from pipelines.console import console
from pipelines.run_digest import DIGEST_CHARS, RUNS, digest, without_places
from pipelines.run_folder import held
from pipelines.writable import writable_folder
from selection import DeployedModels
from selection.deployed_files import DeploymentError
from tracking.records import Status

BACKTESTS = RUNS / "backtests"
# Of experiences; several thousand trades.
MOST_TRACKED_BYTES = 50_000_000

_log = logging.getLogger(__name__)


class BacktestRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: BacktestSettings, conf: Mapping[str, Any]) -> None:
        self.settings, self.conf = settings, conf
        self.started = datetime.now(UTC)
        self.simulated = isinstance(settings.source, SimulatedMarket)
        self.deployed = _deployed(settings, simulated=self.simulated)
        kept = {key: one for key, one in without_places(conf).items() if key != "public_key"}
        self.conf_digest = digest([self.deployed.sha256, kept])
        self.found = Found()
        self.shown: dict[str, Shown] = {}

    def run(self) -> int:
        """Run it all; return the exit code."""
        folder = writable_folder("output_dir", self.settings.output_dir or BACKTESTS)
        if (folder / EXECUTION).exists():
            raise ConfigError(f"output_dir: {folder} holds a run of train_all; name another folder")
        self.found = find_entries(self.settings, self.deployed)
        for warning in self.found.warnings:
            _log.warning("%s", warning)
        if self.found.failed and not (self.found.entries or self.found.untraded):
            for line in self.found.failed.values():
                _log.error("%s", line)
            return NOTHING_TRAINED
        with held(self.folder), self._tracked() as end:
            self._record_looks()
            told = self._told(self._replayed())
            end |= records_of.ended(told, self._written(told))
        show(console(), told, str(self.folder))
        return SOME_FAILED if self.found.failed else ALL_TRAINED

    @property
    def folder(self) -> Path:
        """Where the files go."""
        # A replay that could not take in all its symbols must not take the place of one that did.
        replayed = sorted(self.found.entries)
        name = digest([self.conf_digest, self.found.digests, replayed])[:DIGEST_CHARS]
        return self.settings.output_dir or BACKTESTS / name

    def _record_looks(self) -> None:
        """Write down which holdouts will be seen: before anything is replayed."""
        look = Look(self.conf_digest, self.found.digests)
        try:
            self.shown = record_looks(self.deployed, self.found.entries.values(), look)
        except ValueError as error:
            raise ConfigError(f"replay.holdout: {error}") from error

    def _replayed(self) -> Replayed:
        settings = self.settings
        markets = [one.market for one in self.found.entries.values()]
        if not markets:
            return Replayed.empty()
        n_bars = sum(len(market.bars) for market in markets)
        _log.info("replaying %s bars (the rules are compiled where that is not done yet)", n_bars)
        with ReplayProgress(console()) as progress:
            replayed = replay(
                markets,
                settings.policy,
                exits=settings.exits,
                costs=settings.costs,
                account=settings.account,
                evaluator=settings.evaluator,
                on_progress=progress.update,
            )
        since = first_tradable(markets, settings.period.start)
        # Days on which only indicators warmed up would dilute the Sharpe ratio and the exposure.
        return replace(replayed, equity=replayed.equity.filter(pl.col("time") >= since))

    def _told(self, replayed: Replayed) -> records_of.Told:
        settings = self.settings
        return records_of.Told(
            settings=settings,
            manifest_sha256=self.deployed.sha256,
            conf_digest=self.conf_digest,
            started=self.started,
            simulated=self.simulated,
            found=self.found,
            shown=self.shown,
            replayed=replayed,
            statistics=statistics(replayed, n_trials=self._trials(), seed=settings.seed),
        )

    def _trials(self) -> int:
        """Return how many replays this one is the best of: at least as many as the ledger knows."""
        known = [one.openings.n_configurations for one in self.shown.values()]
        return max(self.settings.trials, *known, 1)

    def _written(self, told: records_of.Told) -> list[Path]:
        """Write all files; return them."""
        settings, folder, page = self.settings, self.folder, self.folder / REPORT
        begin(folder)
        files = write_tables(folder, told.replayed)
        learnt = experiences(
            told.replayed,
            {symbol: one.market.bars for symbol, one in self.found.entries.items()},
            costs=settings.costs,
            daily_loss_limit=settings.account.daily_loss_limit,
            sessions=settings.exits.sessions,
        )
        write_experiences(folder / EXPERIENCES, learnt)
        write_report(page, told.replayed, told.statistics, records_of.context(told))
        summary = write_summary(folder, records_of.summary(told))
        kept = [folder / EXPERIENCES]
        if kept[0].stat().st_size > MOST_TRACKED_BYTES:
            _log.info("%s is left out of the tracker: it is large, and can be made again", *kept)
            kept = []
        return [*files, *kept, page, summary]

    @contextmanager
    def _tracked(self) -> Iterator[dict[str, Any]]:
        """Tell the tracker of the run; what is put into the yielded dict is its last facts."""
        tracker = self.settings.tracker
        status: Status = "FAILED"
        end: dict[str, Any] = {"metrics": {}, "tags": {}, "artifacts": []}
        name = records_of.run_name(self.settings.name, self.started, None, self.simulated)
        execution = uuid4().hex
        tracker.start(
            records.run_start(name, self.conf, simulated=self.simulated, execution=execution)
        )
        try:
            yield end
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            tracker.finish(**end, status=status)


def _deployed(settings: BacktestSettings, *, simulated: bool) -> DeployedModels:
    try:
        deployed = DeployedModels.from_manifest(
            settings.manifest, public_key=settings.public_key, skip_broken=True
        )
    except DeploymentError as error:
        raise ConfigError(f"manifest: {error}") from error
    of_simulation = deployed.manifest.get("provenance", {}).get("simulated")
    if of_simulation is not None and of_simulation != simulated:
        kinds = ("real prices", "a simulated market")
        raise ConfigError(
            f"data: the models were trained on {kinds[of_simulation]}, these bars are of "
            f"{kinds[simulated]}"
        )
    return deployed
