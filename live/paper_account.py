"""A paper account between two runs: what of a replay is kept, and how it goes on from there.

Positions know bars and steps by number, so an account goes on only with the history it has traded
on: the same first bars, the same last one. Later bars may be added, symbols may join, and another
manifest may say what is entered from now on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from backtest.entries import bars_from
from backtest.logs import DECISION, PARTIAL, STOP_MOVE, TRADE
from backtest.markets import Market
from backtest.replaying import GROWING, PastSteps, Replaying, with_room
from exits.parameters import N_PARAMETERS
from live.paper_book import TradedBy
from live.paper_ledger import LedgerError, PaperLedger
from market.bars import Bars

BarsOf = Callable[[str], Bars]
Seen = Callable[[str, Bars], int]

_PRICES: Final = ("open", "high", "low", "close")
STEP: Final = np.dtype([("time_us", "i8"), ("equity", "f8"), ("drawdown", "f8"), ("n_open", "i8")])
# The last bar that was gone through, and how many were.
ANCHOR: Final = np.dtype(
    [("n_bars", "i8"), ("start_us", "i8"), *((name, "f8") for name in _PRICES)]
)
_ROWS: Final = {"trades": TRADE, "partials": PARTIAL, "moves": STOP_MOVE, "decisions": DECISION}
_OF_WORLD: Final = ("positions", "parameters", "answers", "account")
_OF_STATE: Final = ("standing", "past", "kept")
_ACCOUNT_ID, _SYMBOLS, _STILL_OPEN, _TERMS = "account_id", "symbols", "still_open", "terms"


class PaperAccount:
    """What is kept of one account, in its ledger.

    Parameters
    ----------
    ledger : PaperLedger
    account_id : str
        What a new account is called; one that goes on keeps its name.
    terms : mapping of str to str
        What must not change while it goes on: costs, exits and the like, by the name of their key.

    Attributes
    ----------
    is_new : bool
        It has traded nothing yet.

    Raises
    ------
    LedgerError
        If the account was begun on other terms.
    """

    def __init__(self, ledger: PaperLedger, account_id: str, terms: Mapping[str, str]) -> None:
        self.ledger = ledger
        begun = ledger.fact(_ACCOUNT_ID)
        self.account_id: str = begun or account_id
        self._terms = dict(terms)
        if begun is None:
            # Before anything of it is seen outside: whatever happens then, it keeps its name.
            with ledger.transaction():
                ledger.write_fact(_ACCOUNT_ID, account_id)
                ledger.write_fact(_TERMS, self._terms)
        else:
            self._check_terms()
        self.is_new = ledger.fact(_SYMBOLS) is None
        self._written = dict.fromkeys((*GROWING, "steps", "sets"), 0)

    @property
    def symbols(self) -> list[str]:
        """The symbols that it has had so far, in their order."""
        return [] if self.is_new else list(self.ledger.fact(_SYMBOLS))

    @property
    def still_open(self) -> dict[int, TradedBy]:
        """By number of the trade: by whom what is open was entered."""
        known = {} if self.is_new else self.ledger.fact(_STILL_OPEN)
        return {int(trade): TradedBy(*one) for trade, one in known.items()}

    def markets(self, found: Sequence[Market], bars_of: BarsOf, may_see: Seen) -> list[Market]:
        """Return the markets in the account's order, on the bars that it knows.

        A symbol that has no entries any more stays without any: what is open of it is kept.

        Parameters
        ----------
        found : sequence of Market
            With the entries from now on.
        bars_of : callable
            Returns all bars of a symbol; raises DataError where there are none.
        may_see : callable
            Returns how many of them a symbol without entries may be kept on.

        Raises
        ------
        LedgerError
            If bars are not those that the account has traded on.
        """
        if self.is_new:
            return list(found)
        first_us: dict[str, int] = self.ledger.fact(_SYMBOLS)
        by_symbol = {market.symbol: market for market in found}
        anchors = self.ledger.array("anchors")
        self._check_kind("anchors", anchors, np.zeros(0, ANCHOR))
        known = []
        for (symbol, start_us), anchor in zip(first_us.items(), anchors, strict=True):
            bars, market = bars_of(symbol), by_symbol.get(symbol)
            first = _first_bar(bars, symbol, start_us)
            _check_last(bars, first, anchor)
            if market is None:
                last = max(first + int(anchor["n_bars"]), may_see(symbol, bars))
                known.append(_without_entries(bars_from(bars.until(last), first)))
            else:
                known.append(_on_bars(bars, first, market))
        return [*known, *(one for one in found if one.symbol not in first_us)]

    def past(self) -> PastSteps:
        """Return the steps that it has behind it."""
        if self.is_new:
            return PastSteps.none()
        steps = self.ledger.joined_pieces("steps", np.zeros(0, STEP))
        n_bars = self.ledger.array("anchors")["n_bars"].tolist()
        return PastSteps(
            times_S=steps["time_us"].astype("datetime64[us]"),
            equity_S=steps["equity"],
            drawdown_S=steps["drawdown"],
            n_open_S=steps["n_open"],
            n_bars=dict(zip(self.symbols, n_bars, strict=True)),
        )

    def restore(self, replaying: Replaying) -> None:
        """Put positions and records into a replay that was made with `past`.

        Raises
        ------
        LedgerError
            If they are of another version.
        """
        if self.is_new:
            return
        ledger, world = self.ledger, replaying.world
        for holder, names in ((world, _OF_WORLD), (world.state, _OF_STATE)):
            for name in names:
                kept, place = ledger.array(name), getattr(holder, name)
                self._check_kind(name, kept, place)
                place[: len(kept)] = kept
        # A place in the rows of all symbols; there are more rows now.
        first_row_S = ledger.array("first_rows")
        moved_S = world.symbols["first_row"][: len(first_row_S)] - first_row_S
        world.positions["at"][: len(first_row_S)] += moved_S
        # Those of a new symbol have no answers yet, the others know their rows in `sets`.
        values_MP = ledger.joined_pieces("sets", np.empty((0, N_PARAMETERS)))
        sources = ledger.joined_pieces("sources", np.empty(0, "U1"))
        if len(sources):
            replaying.sets.keep(0)
            replaying.sets.add(values_MP, sources.tolist())
        run = ledger.array("run")
        self._check_kind("run", run, replaying.logs.run)
        n_past = replaying.step
        replaying.logs.run[:] = run
        replaying.logs.run["step"] = n_past
        skipped = ledger.array("skipped")
        replaying.logs.skipped[:] = skipped
        for name in GROWING:
            rows = ledger.joined_pieces(name, np.zeros(0, _ROWS[name]))
            self._check_kind(name, rows, getattr(replaying.logs, name))
            while len(getattr(replaying.logs, name)) < len(rows):
                replaying.logs = with_room(replaying.logs, len(rows))
            getattr(replaying.logs, name)[: len(rows)] = rows
            self._written[name] = len(rows)
        self._written |= {"steps": n_past, "sets": len(sources)}

    def save(self, replaying: Replaying, still_open: Mapping[int, TradedBy]) -> None:
        """Write down where the account stands; to be called inside the ledger's transaction."""
        ledger, world, logs = self.ledger, replaying.world, replaying.logs
        if len(self.symbols) < len(replaying.markets):
            firsts = {one.symbol: int(_us(one.bars)[0]) for one in replaying.markets}
            ledger.write_fact(_SYMBOLS, firsts)
            self.is_new = False
        open_by = {str(n): [one.model_id, one.manifest_sha256] for n, one in still_open.items()}
        ledger.write_fact(_STILL_OPEN, open_by)
        ledger.write_arrays(
            {
                **{name: getattr(world, name) for name in _OF_WORLD},
                **{name: getattr(world.state, name) for name in _OF_STATE},
                "run": logs.run,
                "skipped": logs.skipped,
                "first_rows": world.symbols["first_row"],
                "anchors": _anchors(replaying),
            }
        )
        for name in GROWING:
            self._add(name, getattr(logs, name), int(logs.run[0][f"n_{name}"]))
        self._add_sets(replaying)
        self._add_steps(replaying)

    def _add(self, name: str, rows: Any, n_rows: int) -> None:
        first = self._written[name]
        self.ledger.add_piece(name, first, rows[first:n_rows])
        self._written[name] = n_rows

    def _add_sets(self, replaying: Replaying) -> None:
        """Add the parameters that were decided on; answers to dropped entries may follow them."""
        logs, first = replaying.logs, self._written["sets"]
        n_decisions = int(logs.run[0]["n_decisions"])
        n_sets = int(logs.decisions["parameters"][n_decisions - 1]) + 1 if n_decisions else 0
        sources = np.array(replaying.sets.sources[first:n_sets], dtype=str)
        self.ledger.add_piece("sources", first, sources)
        self._add("sets", replaying.sets.values_MP, n_sets)

    def _add_steps(self, replaying: Replaying) -> None:
        first, logs = self._written["steps"], replaying.logs
        rows = np.zeros(replaying.step - first, STEP)
        done = slice(first, replaying.step)
        rows["time_us"] = replaying.times_S[done].astype("datetime64[us]").astype(np.int64)
        for name in ("equity", "drawdown", "n_open"):
            rows[name] = getattr(logs, name)[done]
        self.ledger.add_piece("steps", first, rows)
        self._written["steps"] = replaying.step

    def _check_terms(self) -> None:
        begun: dict[str, str] = self.ledger.fact(_TERMS)
        for name in {**begun, **self._terms}:
            if begun.get(name) != self._terms.get(name):
                raise LedgerError(
                    f"{name}: {self.ledger.path.parent} holds a paper account with "
                    f"{begun.get(name, 'none')}, now it would be {self._terms.get(name, 'none')}; "
                    "go on as it was begun, or begin another in another output_dir"
                )

    def _check_kind(self, name: str, kept: Any, expected: Any) -> None:
        if kept.dtype != expected.dtype:
            raise LedgerError(
                f"{self.ledger.path}: {name} was written by another version; begin another "
                "account in another output_dir"
            )


def _anchors(replaying: Replaying) -> Any:
    """Return how many bars of each symbol were gone through, and the last of them."""
    anchors = np.zeros(len(replaying.markets), ANCHOR)
    for row, market, n_bars in zip(anchors, replaying.markets, replaying.bars_done(), strict=True):
        row["n_bars"] = n_bars
        if n_bars:
            row["start_us"] = _us(market.bars)[n_bars - 1]
            for name in _PRICES:
                row[name] = getattr(market.bars, f"{name}_T")[n_bars - 1]
    return anchors


def _check_last(bars: Bars, first: int, anchor: Any) -> None:
    """Refuse bars that do not hold the last one that the account has gone through in its place."""
    n_bars = int(anchor["n_bars"])
    if not n_bars:
        return
    last, place = anchor["start_us"].astype("datetime64[us]"), first + n_bars - 1
    began = f"{last.astype('datetime64[s]')} UTC"
    if place >= len(bars):
        raise LedgerError(
            f"{bars.symbol}: these bars end earlier than the account has gone, the bar from "
            f"{began}; give the same history, longer if you like"
        )
    same = bars.start_T[place] == last
    if not same or any(getattr(bars, f"{name}_T")[place] != anchor[name] for name in _PRICES):
        raise LedgerError(
            f"{bars.symbol}: the account has traded on {n_bars:,} bars, the last from {began} at "
            f"{anchor['close']:g}; these are other bars: give the same history, longer if you "
            "like, or begin another account in another output_dir"
        )


def _first_bar(bars: Bars, symbol: str, first_us: int) -> int:
    """Return where the account's bars of a symbol begin."""
    start_us = _us(bars)
    first = int(np.searchsorted(start_us, first_us))
    if first == len(start_us) or start_us[first] != first_us:
        begun = np.datetime64(first_us, "us").astype("datetime64[s]")
        raise LedgerError(
            f"{symbol}: the account's bars begin at {begun} UTC, and there is none at that time; "
            "give the same history, longer if you like"
        )
    return first


def _without_entries(bars: Bars) -> Market:
    none_T = np.full(len(bars), np.nan)
    signal_T = np.zeros(len(bars), np.int8)
    return Market(
        symbol=bars.symbol, bars=bars, signal_T=signal_T, confidence_T=none_T, threshold=1.0
    )


def _on_bars(bars: Bars, first: int, market: Market) -> Market:
    """Return a market on a symbol's bars from the account's first one on."""
    last = int(np.searchsorted(_us(bars), _us(market.bars)[-1])) + 1
    kept = bars_from(bars.until(last), first)
    signal_T, confidence_T = np.zeros(len(kept), np.int8), np.full(len(kept), np.nan)
    shared_T = np.isin(_us(kept), _us(market.bars))
    own_T = np.isin(_us(market.bars), _us(kept))
    signal_T[shared_T], confidence_T[shared_T] = market.signal_T[own_T], market.confidence_T[own_T]
    return replace(market, bars=kept, signal_T=signal_T, confidence_T=confidence_T)


def _us(bars: Bars) -> Any:
    return bars.start_T.astype("datetime64[us]").astype(np.int64)
