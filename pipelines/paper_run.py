"""One run of paper: a backtest whose replay goes by way of the events bus."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.period import Window
from backtest.replay import OnProgress
from backtest.replayed import Replayed
from backtest.replaying import Replaying
from exits.evaluator import ExitEvaluator
from exits.policy import ExitPolicy
from live.alerts import Alert
from live.bus import BusDownError
from live.events import HARVEST_INTENT, TRADE_CLOSED, TRADE_REJECTED
from live.executor import Counts
from live.outage import Outage
from live.paper import PaperTrader
from live.paper_account import PaperAccount
from live.paper_book import PaperBook, TradedBy
from live.paper_ledger import FILE, LedgerError, PaperLedger
from market.bars import Bars, DataError
from pipelines.backtest_entries import bars_of
from pipelines.backtest_run import BacktestRun, Traded
from pipelines.backtest_settings import SELECTED
from pipelines.command import NOTHING_TRAINED, ConfigError
from pipelines.console import console
from pipelines.paper_settings import PaperSettings
from pipelines.run_digest import DIGEST_CHARS
from selection.deployed_files import DeploymentError, artifact_root

_NAME: Final = "paper"

_log = logging.getLogger(__name__)


class PaperRun:
    """Everything between a checked configuration and the exit code."""

    def __init__(self, settings: PaperSettings, conf: Mapping[str, Any]) -> None:
        self.settings = settings
        self.told = 0
        self.counts = Counts()
        self.stands = ""
        self.backtest = BacktestRun(
            settings.backtest,
            conf,
            replay=self._traded_on_paper,
            check=self._check_account,
            compares=False,
        )

    def run(self) -> int:
        """Run it all; return the exit code."""
        try:
            self._alert_of_missing_models()
            code = self.backtest.run()
        except BusDownError as error:
            _log.error("%s; the account is kept, and the same command goes on", error)
            return NOTHING_TRAINED
        else:
            self._tell_of_refusals()
            self._show()
            return code
        finally:
            self.settings.bus.close()
            self.settings.alerts.close()

    def _check_account(self, markets: Sequence[Market]) -> None:
        """Refuse an account that cannot go on with these settings and bars."""
        with self._account() as kept:
            kept.markets(markets, self._bars_of, self._n_without_entries)

    @contextmanager
    def _account(self) -> Iterator[PaperAccount]:
        """Open the account of the folder, begun where there is none."""
        path = self.backtest.folder / FILE
        try:
            with closing(PaperLedger(path)) as ledger:
                name = f"{_NAME}-{uuid4().hex[:DIGEST_CHARS]}"
                yield PaperAccount(ledger, name, self.settings.terms)
        except (LedgerError, DataError, DeploymentError) as error:
            raise ConfigError(str(error)) from error

    def _traded_on_paper(
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
        """Trade the bars that the account has not seen; return all that it has ever traded."""
        with self._account() as kept:
            if not markets and kept.is_new:
                return Traded(Replayed.empty(), [])
            replaying = Replaying(
                kept.markets(markets, self._bars_of, self._n_without_entries),
                policy,
                exits=exits,
                costs=costs,
                account=account,
                evaluator=evaluator,
                past=kept.past(),
            )
            kept.restore(replaying)
            self._trade(replaying, kept, evaluator, on_progress)
            return Traded(replaying.replayed(), replaying.markets)

    def _trade(
        self,
        replaying: Replaying,
        kept: PaperAccount,
        evaluator: ExitEvaluator | None,
        on_progress: OnProgress,
    ) -> None:
        book = PaperBook(
            replaying,
            evaluator,
            kept.account_id,
            {market.symbol: self._traded_by(market) for market in replaying.markets},
            kept.still_open,
        )
        settings = self.settings
        outage = Outage(settings.alerts, patience_s=settings.patience_s, who=f"{_NAME} trading")
        trader = PaperTrader(replaying, book, kept, kept.ledger, settings.bus, outage)
        n_before = trader.n_told
        trader.trade(on_progress)
        self.told, self.counts = trader.n_told - n_before, trader.executor.counts
        self.stands = _in_words(kept.account_id, replaying)

    def _bars_of(self, symbol: str) -> Bars:
        return bars_of(self.settings.backtest, symbol)[0]

    def _n_without_entries(self, symbol: str, bars: Bars) -> int:
        """Return how many bars what is open of a symbol without entries is kept on.

        They end where its holdout begins: whoever opens one says so by trading it.
        """
        selections = self.backtest.deployed.manifest["selections"]
        window = Window.of(symbol, selections[symbol]) if symbol in selections else None
        period = replace(self.settings.backtest.period, start=None, opens_holdout=False)
        return len(period.cut(bars, window)[0])

    def _traded_by(self, market: Market) -> TradedBy:
        deployed = self.backtest.deployed
        model_id = market.model or "none"
        selections = deployed.manifest["selections"]
        if self.settings.backtest.entries.model == SELECTED and market.symbol in selections:
            selection = deployed.selection(market.symbol)
            if selection["selected_model"] is not None:
                model_id = artifact_root(market.symbol, selection).name
        return TradedBy(model_id, deployed.sha256)

    def _alert_of_missing_models(self) -> None:
        for symbol, one in self.backtest.deployed.manifest["selections"].items():
            if one["selected_model"] is None:
                text = f"{symbol}: no model is deployed: {one['reason']}"
                self.settings.alerts.send(Alert("symbol_without_model", text, symbol))

    def _tell_of_refusals(self) -> None:
        if n_refused := self.counts.refused:
            text = f"paper trading: {n_refused:,} intents refused, kept on {TRADE_REJECTED}"
            self.settings.alerts.send(Alert("trades_refused", text))

    def _show(self) -> None:
        for line, style in (*self._account_lines(), *self._holdout_line()):
            console().print(line, style=style, markup=False, soft_wrap=True)

    def _account_lines(self) -> Iterator[tuple[str, str]]:
        """Yield where the account stands, and what was told of it now."""
        if self.stands:
            yield f"account   {self.stands}", ""
        counts = self.counts
        intents = f"{counts.placed:,} intents carried out ({HARVEST_INTENT})"
        for n, what in ((counts.repeated, "came again"), (counts.refused, "refused")):
            intents += f", {n:,} {what}" if n else ""
        yield f"events    {self.told:,} closed trades told ({TRADE_CLOSED}), {intents}", ""

    def _holdout_line(self) -> Iterator[tuple[str, str]]:
        """Yield that trading ends where sealed holdouts begin, where it does."""
        period = self.settings.backtest.period
        windows: list[Window] = []
        for symbol, entries in self.backtest.found.entries.items():
            window = Window.of(symbol, self.backtest.deployed.selection(symbol))
            last = entries.market.bars.close_time_T[-1]
            if window is None or period.opens_holdout or last >= window.start:
                continue
            if period.end is None or period.end > window.start:
                windows.append(window)
        if windows:
            first, after = min(one.start for one in windows), max(one.end for one in windows)
            yield (
                f"holdout   bars from {first.astype('datetime64[D]')} on are not traded: the "
                "holdouts are sealed. To trade what comes after them begin an account with "
                f"replay.start={after.astype('datetime64[D]') + 1}; or open them, "
                "replay.holdout=open",
                "yellow",
            )


def _in_words(account_id: str, replaying: Replaying) -> str:
    """Return where an account stands."""
    positions = replaying.world.positions
    n_open, n_waiting = (int((positions[name] == 1).sum()) for name in ("open", "waiting"))
    equity = float(replaying.world.account[0]["equity"])
    words = f"{account_id}: equity {equity:,.0f}, {n_open} open"
    words += f", {n_waiting} waiting for the next open" if n_waiting else ""
    if replaying.step:
        until = replaying.times_S[replaying.step - 1].astype("datetime64[m]")
        words += f", bars up to {str(until).replace('T', ' ')} UTC"
    return words
