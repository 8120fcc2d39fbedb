"""One run of backtest: entries, holdouts written down, replay, statistics, files, in that order."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import polars as pl

from backtest.costs import Account, Costs, ExitSettings
from backtest.holdout import Look, Shown, record_looks
from backtest.markets import Market
from backtest.period import first_tradable
from backtest.replay import OnProgress, replay
from backtest.replayed import Replayed
from backtest.report import write_report
from backtest.research import EXECUTION
from backtest.stats import statistics
from exits.evaluator import ExitEvaluator
from exits.experience import experiences, write_experiences
from exits.policy import Defaults, ExitPolicy
from market.simulate import SimulatedMarket
from pipelines import backtest_records as records_of
from pipelines import records
from pipelines.backtest_compared import LEARNED, Compared, compared
from pipelines.backtest_display import show
from pipelines.backtest_entries import Found, find_entries
from pipelines.backtest_exits import BarrierExits, Barriers, ExitChoice, barriers_of
from pipelines.backtest_files import (
    COMPARED,
    EXPERIENCES,
    REPORT,
    begin,
    write_summary,
    write_table,
    write_tables,
)
from pipelines.backtest_settings import BacktestSettings
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError
from pipelines.console import console
from pipelines.later_bars import check_any_later, from_learning_on
from pipelines.learned_exits import LearnedExits, falls_logged_once, falls_of, required
from pipelines.live_inputs import check_same_market, opened
from pipelines.progress import WorkProgress
from pipelines.run_digest import DIGEST_CHARS, RUNS, digest, without_places
from pipelines.run_folder import held
from pipelines.tracked import tracked
from pipelines.writable import writable_folder
from tracking.records import RunStart

BACKTESTS = RUNS / "backtests"
# Of experiences; several thousand trades.
MOST_TRACKED_BYTES = 50_000_000

_log = logging.getLogger(__name__)


class Traded(NamedTuple):
    """What was traded, and on which markets: an account that goes on may have more of them."""

    replayed: Replayed
    markets: Sequence[Market]


class Replay(Protocol):
    """What trades markets: by `backtest.replay.replay`, or as that does."""

    def __call__(
        self,
        markets: Sequence[Market],
        policy: ExitPolicy,
        *,
        exits: ExitSettings,
        costs: Costs,
        account: Account,
        evaluator: ExitEvaluator | None,
        on_progress: OnProgress,
    ) -> Traded:
        """Return what was traded."""
        ...


def no_check(markets: Sequence[Market]) -> None:
    """Find nothing in the way of a replay."""


def replayed_at_once(
    markets: Sequence[Market],
    policy: ExitPolicy,
    *,
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None,
    on_progress: OnProgress,
) -> Traded:
    """Return the replay of markets; an empty one where there are none."""
    if not markets:
        return Traded(Replayed.empty(), [])
    replayed = replay(
        markets,
        policy,
        exits=exits,
        costs=costs,
        account=account,
        evaluator=evaluator,
        on_progress=on_progress,
    )
    return Traded(replayed, markets)


class BacktestRun:
    """Everything between a checked configuration and the exit code.

    Parameters
    ----------
    settings : BacktestSettings
    conf : mapping
        What they were made of.
    replay : Replay
    check : callable
        Raises ConfigError where the markets cannot be traded: before a holdout is opened.
    compares : bool
        Whether learnt exits are held against defaults and barriers.
    """

    def __init__(
        self,
        settings: BacktestSettings,
        conf: Mapping[str, Any],
        *,
        replay: Replay = replayed_at_once,
        check: Callable[[Sequence[Market]], None] = no_check,
        compares: bool = True,
    ) -> None:
        self.settings, self.conf = settings, conf
        self._replay, self._check, self._compares = replay, check, compares
        self.started = datetime.now(UTC)
        self.simulated = isinstance(settings.source, SimulatedMarket)
        self.deployed = opened("manifest", settings.manifest, settings.public_key)
        check_same_market(self.deployed, settings.source)
        if isinstance(settings.exits, LearnedExits):
            self.settings = from_learning_on(settings, settings.exits, simulated=self.simulated)
        kept = {key: one for key, one in without_places(conf).items() if key != "public_key"}
        learnt: list[Any] = (
            [settings.exits.digest] if isinstance(settings.exits, LearnedExits) else []
        )
        self.conf_digest = digest([self.deployed.sha256, kept, *learnt])
        self.found = Found()
        self.shown: dict[str, Shown] = {}
        self.barriers: Barriers | None = None
        self.policy: ExitPolicy = Defaults()
        self.markets: Sequence[Market] = []

    def run(self) -> int:
        """Run it all; return the exit code."""
        settings = self.settings
        folder = writable_folder("output_dir", settings.output_dir or BACKTESTS)
        if (folder / EXECUTION).exists():
            raise ConfigError(f"output_dir: {folder} holds a run of train_all; name another folder")
        self.found = find_entries(settings, self.deployed)
        for warning in self.found.warnings:
            _log.warning("%s", warning)
        if not self._any_left():
            return NOTHING_TRAINED
        if needs_barriers(settings.exits):
            self.barriers = barriers_of(self.deployed, self.found.entries)
        self.policy = settings.exits.policy(settings.seed, self.barriers)
        with (
            held(self.folder),
            tracked(settings.tracker, self._start()) as end,
            falls_logged_once(),
        ):
            self._check(self._found_markets())
            self._record_looks()
            self._announce()
            told = self._told(self._replayed())
            begin(self.folder)
            told = replace(told, n_experiences=self._learnable(told.replayed))
            end |= records_of.ended(told, self._written(told))
        show(console(), told, str(self.folder))
        return SOME_FAILED if self.found.failed else ALL_TRAINED

    def _any_left(self) -> bool:
        """Return whether there is anything to tell of; raises ConfigError as `check_any_later`."""
        found = self.found
        if not found.entries and (found.not_later or not found.untraded):
            for line in found.failed.values():
                _log.error("%s", line)
        check_any_later(self.settings, traded=bool(found.entries), not_later=bool(found.not_later))
        return bool(found.entries or found.untraded or found.not_later or not found.failed)

    @property
    def folder(self) -> Path:
        """Where the files go."""
        # A replay that could not take in all its symbols must not take the place of one that did.
        replayed = sorted(self.found.entries)
        name = digest([self.conf_digest, self.found.digests, replayed])[:DIGEST_CHARS]
        return self.settings.output_dir or BACKTESTS / name

    def _found_markets(self) -> list[Market]:
        return [one.market for one in self.found.entries.values()]

    def _record_looks(self) -> None:
        """Write down which holdouts will be seen: before anything is replayed."""
        look = Look(self.conf_digest, self.found.digests)
        try:
            self.shown = record_looks(self.deployed, self.found.entries.values(), look)
        except ValueError as error:
            raise ConfigError(f"replay.holdout: {error}") from error

    def _announce(self) -> None:
        n_bars = sum(len(one.market.bars) for one in self.found.entries.values())
        draws = self.settings.exits.draws
        times = f", {draws} times" if draws > 1 else ""
        if n_bars:
            _log.info("replaying %s bars%s", f"{n_bars:,}", times)

    def _replayed(self) -> Replayed:
        settings = self.settings
        with WorkProgress(console(), "replaying") as progress, required():
            replayed, self.markets = self._replay(
                self._found_markets(),
                self.policy,
                exits=settings.exits.settings,
                costs=settings.costs,
                account=settings.account,
                evaluator=settings.evaluator,
                on_progress=progress.update,
            )
        if not self.markets:
            return replayed
        since = first_tradable(self.markets, settings.period.start)
        # Days on which only indicators warmed up would dilute the Sharpe ratio and the exposure.
        return replace(replayed, equity=replayed.equity.filter(pl.col("time") >= since))

    def _compared(self, replayed: Replayed) -> Compared | None:
        """Hold what was learnt against the rest."""
        exits = self.settings.exits
        markets = [one.market for one in self.found.entries.values()]
        if not self._compares or not markets:
            return None
        if not isinstance(exits, LearnedExits) or self.barriers is None:
            return None
        _log.info("holding what was learnt against defaults and barriers")
        with required():
            return compared(markets, self.settings, replayed.trades, self.barriers)

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
            compared=self._compared(replayed),
            policy=name_of(self.settings.exits, self.policy),
            falls=falls_of(self.policy),
        )

    def _trials(self) -> int:
        """Return how many replays this one is the best of: at least as many as the ledger knows."""
        known = [one.openings.n_configurations for one in self.shown.values()]
        return max(self.settings.trials, *known, 1)

    def _written(self, told: records_of.Told) -> list[Path]:
        """Write all files; return them."""
        folder, page = self.folder, self.folder / REPORT
        files = write_tables(folder, told.replayed)
        if told.compared is not None:
            files.append(write_table(folder / COMPARED, told.compared.trades))
        write_report(page, told.replayed, told.statistics, records_of.context(told))
        summary = write_summary(folder, records_of.summary(told))
        kept = [folder / EXPERIENCES]
        if kept[0].stat().st_size > MOST_TRACKED_BYTES:
            _log.info("%s is left out of the tracker: it is large, and can be made again", *kept)
            kept = []
        return [*files, *kept, page, summary]

    def _learnable(self, replayed: Replayed) -> int:
        """Write the experiences; return how many there are."""
        n_written = 0

        def counted() -> Iterator[dict[str, Any]]:
            nonlocal n_written
            for one in self._experiences(replayed):
                n_written += 1
                yield one

        write_experiences(self.folder / EXPERIENCES, counted())
        return n_written

    def _experiences(self, replayed: Replayed) -> Iterator[dict[str, Any]]:
        """Yield the experiences of the replay, and of those with other draws."""
        settings = self.settings
        bars = {market.symbol: market.bars for market in self.markets}
        exits = settings.exits
        learnt_until = exits.opened.learnt_until if isinstance(exits, LearnedExits) else None
        for draw in range(settings.exits.draws):
            if draw:
                self.policy = settings.exits.policy(settings.seed, self.barriers, draw)
                replayed = self._replayed()
            yield from experiences(
                replayed,
                bars,
                costs=settings.costs,
                daily_loss_limit=settings.account.daily_loss_limit,
                sessions=settings.exits.settings.sessions,
                simulated=self.simulated,
                policy_learnt_until=learnt_until,
            )

    def _start(self) -> RunStart:
        name = records_of.run_name(self.settings.name, self.started, None, self.simulated)
        execution = uuid4().hex
        return records.run_start(name, self.conf, simulated=self.simulated, execution=execution)


def name_of(exits: ExitChoice, policy: ExitPolicy) -> str:
    """Return what a replay's policy is called."""
    if not isinstance(exits, LearnedExits):
        return policy.name
    return f"{LEARNED}, explored" if exits.variation.explore else LEARNED


def needs_barriers(exits: ExitChoice) -> bool:
    """Return whether a replay holds to barriers, or holds anything against them."""
    # Explored, it is no policy to be judged.
    return isinstance(exits, BarrierExits) or (
        isinstance(exits, LearnedExits) and not exits.variation.explore
    )
