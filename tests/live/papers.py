"""A paper account over made markets, as `pipelines.paper` drives one."""

from contextlib import closing

import polars as pl

from backtest.replaying import Replaying
from live.alerts import NoAlerts
from live.events import TRADE_CLOSED, TradeClosed, decoded
from live.outage import Outage
from live.paper import PaperTrader
from live.paper_account import PaperAccount
from live.paper_book import PaperBook, TradedBy
from live.paper_ledger import FILE, PaperLedger
from live.sqlite_bus import SqliteBus

NAME = "paper-of-tests"
BY = TradedBy("Council-0123456789ab", "ab" * 32)
FRAMES = ("trades", "open_positions", "partials", "stop_moves", "decisions", "equity")


def sqlite_bus(folder):
    return SqliteBus(path=str(folder / "events.db"), prefix="test:", timeout_s=5.0)


def on_paper(
    folder,
    bus,
    markets,
    policy,
    *,
    stop_at=None,
    terms=None,
    patience_s=0.0,
    by=BY,
    kept_bars=(),
    **settings,
):
    """Trade what there is on the account of a folder; return all it has traded and its executor.

    ``stop_at``: the call of the bus at which to be interrupted. ``kept_bars``: of symbols that have
    no market any more.
    """
    bars = {one.symbol: one for one in (*(market.bars for market in markets), *kept_bars)}
    if stop_at is not None:
        bus = Interrupting(bus, stop_at)
    with closing(PaperLedger(folder / FILE)) as ledger:
        account = PaperAccount(ledger, NAME, terms or {})
        known = account.markets(markets, bars.__getitem__, lambda symbol, bars: len(bars))
        replaying = Replaying(known, policy, past=account.past(), **settings)
        account.restore(replaying)
        book = PaperBook(
            replaying,
            settings.get("evaluator"),
            account.account_id,
            {market.symbol: by for market in known},
            account.still_open,
        )
        outage = Outage(NoAlerts(), patience_s=patience_s, who="paper trading")
        trader = PaperTrader(replaying, book, account, ledger, bus, outage)
        trader.trade()
        return replaying.replayed(), trader.executor


class Interrupting:
    """A bus whose user is interrupted at a call: before its effect, or after it."""

    def __init__(self, bus, stop_at):
        self._bus, self._left, self._after = bus, stop_at // 2, stop_at % 2 == 1

    def __getattr__(self, name):
        made = getattr(self._bus, name)

        def call(*args, **kwargs):
            self._left -= 1
            if self._left < 0 and not self._after:
                raise KeyboardInterrupt
            found = made(*args, **kwargs)
            if self._left < 0:
                raise KeyboardInterrupt
            return found

        return call


def told(bus, group="test"):
    """Return the closed trades on a bus, each as often as it is there."""
    found = []
    while came := bus.take(TRADE_CLOSED, group, group, most=500, wait_s=0.0):
        found += [decoded(TradeClosed, one.fields) for one in came]
    return found


def differences(one, other):
    """Return the names of the frames in which two replays differ by anything."""
    differing = [name for name in FRAMES if not _plain(one, name).equals(_plain(other, name))]
    if one.decided_KP.tobytes() != other.decided_KP.tobytes():
        differing.append("parameters")
    if dict(one.skipped) != dict(other.skipped):
        differing.append("skipped")
    return differing


def _plain(replayed, name) -> pl.DataFrame:
    # Where parameters stand in their table is no part of what was decided.
    return getattr(replayed, name).drop("parameters", "before", strict=False)
