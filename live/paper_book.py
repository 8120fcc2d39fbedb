"""The paper broker's book: which orders its positions have, and what was filled.

Orders that the rules decide on at a close are taken out of the positions and told as intents; only
what an executor places in the book is filled, at the next open, by the code of the backtest.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from backtest.period import aware
from backtest.replaying import Replaying
from exits.evaluator import ExitEvaluator, PositionState
from exits.rules.numbers import peak_in_r
from exits.rules.partials import partial_share
from exits.rules.rule_names import (
    AT_PARTIAL,
    CLOSINGS,
    EVALUATOR_CLOSE,
    EXIT_REASONS,
    EXIT_RULES,
    NONE,
)
from live.events import HarvestIntent, TradeClosed

SOURCE: Final = "paper"
BY_EVALUATOR: Final = 3
PARTIALS: Final = tuple(CLOSINGS[AT_PARTIAL + which][0] for which in range(BY_EVALUATOR + 1))

_NAME_OF_OTHERS: Final = {
    "CLOSE": EXIT_RULES[EVALUATOR_CLOSE][0],
    "PARTIAL_CLOSE": PARTIALS[BY_EVALUATOR],
}
_EXIT_CODES: Final = {name: code for code, (name, _) in enumerate(EXIT_RULES) if code != NONE}


class OrderRefusedError(ValueError):
    """An intent that the book cannot take; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class TradedBy:
    """Which model a position was entered by, and in which manifest it stood."""

    model_id: str
    manifest_sha256: str


class PaperBook:
    """The open positions of one paper account, seen from its executor.

    Parameters
    ----------
    replaying : Replaying
        What fills the orders.
    evaluator : ExitEvaluator or None
        Whose points intents tell.
    account_id : str
        Orders are called ``<account_id>-<number of the trade>``.
    traded_by : mapping of str to TradedBy
        By symbol, of entries from now on.
    still_open : mapping of int to TradedBy
        By number of the trade, of those that were begun before.
    """

    def __init__(
        self,
        replaying: Replaying,
        evaluator: ExitEvaluator | None,
        account_id: str,
        traded_by: Mapping[str, TradedBy],
        still_open: Mapping[int, TradedBy],
    ) -> None:
        self.account_id = account_id
        self.still_open = dict(still_open)
        self._replaying, self._evaluator = replaying, evaluator
        self._traded_by = traded_by
        self._symbols = [market.symbol for market in replaying.markets]

    def note_entries(self) -> None:
        """Write down by which models the positions were begun that are new."""
        positions = self._positions
        for k in np.flatnonzero(positions["open"] + positions["waiting"] > 0).tolist():
            trade = int(positions[k]["trade"])
            if trade not in self.still_open:
                self.still_open[trade] = self._traded_by[self._symbols[k]]

    def intents(self, placed: Mapping[str, str]) -> list[HarvestIntent]:
        """Take the orders out of the positions that no intent has placed; return them as intents.

        Parameters
        ----------
        placed : mapping
            By intent id, what became of those that were carried out: they stay in the book.
        """
        positions = self._positions
        has_order = (positions["exit_ordered"] > 0) | (positions["ordered"] > 0.0).any(axis=1)
        found: list[HarvestIntent] = []
        for k in np.flatnonzero((positions["open"] == 1) & has_order).tolist():
            for slot, intent in self._orders(k):
                if intent.intent_id in placed:
                    continue
                if slot is None:
                    positions["exit_ordered"][k] = NONE
                else:
                    positions["ordered"][k, slot] = 0.0
                found.append(intent)
        return found

    def place(self, intent: HarvestIntent, *, of_rules: bool) -> str:
        """Order what an intent asks for, at the next open of its symbol.

        Parameters
        ----------
        intent : HarvestIntent
        of_rules : bool
            It is one of `intents`, and its first reason names the rule. Others' are recorded as
            the evaluator's.

        Returns
        -------
        str
            By which intent id the book knows the order.

        Raises
        ------
        OrderRefusedError
            If no position of that order is open, it goes the other way, a close is ordered
            already, or what would be taken or left is less than is worth an order.
        """
        k = self._place_of(intent)
        positions = self._positions
        name = intent.reasons[0] if of_rules else _NAME_OF_OTHERS[intent.action]
        if positions["exit_ordered"][k] > 0:
            raise OrderRefusedError(f"order_id: {intent.order_id} is to be closed already")
        if name in PARTIALS[:BY_EVALUATOR]:
            positions["ordered"][k, PARTIALS.index(name)] = 1.0
        elif intent.action == "CLOSE":
            positions["exit_ordered"][k] = _EXIT_CODES[name]
        else:
            positions["ordered"][k, BY_EVALUATOR] = self._fraction(intent, positions[k])
        return self._intent_id(k, name)

    def _fraction(self, intent: HarvestIntent, s: Any) -> float:
        """Return what share of the rest is to be closed, with what is ordered already."""
        before, least = float(s["ordered"][BY_EVALUATOR]), self._least
        fraction = 1.0 - (1.0 - before) * (1.0 - intent.fraction) if before else intent.fraction
        share = float(s["share"])
        if fraction * share < least or share - fraction * share < least:
            raise OrderRefusedError(
                f"fraction: {intent.fraction:g} of the {share * (1.0 - before):.3g} that is left "
                f"of {intent.order_id} would take or leave less than {least:g} of the position"
            )
        return fraction

    def closed(self, first: int) -> list[TradeClosed]:
        """Return the trades from a number on, in the order in which they were closed."""
        logs = self._replaying.logs
        rows = logs.trades[first : int(logs.run[0]["n_trades"])]
        return [self._closed(row) for row in rows]

    def forget_closed(self, first: int) -> None:
        """Leave out of `still_open` the trades that were closed from a number on."""
        logs = self._replaying.logs
        for trade in logs.trades["trade"][first : int(logs.run[0]["n_trades"])].tolist():
            self.still_open.pop(trade, None)

    def order_id(self, trade: int) -> str:
        """Return what a trade is called outside."""
        return f"{self.account_id}-{trade}"

    @property
    def _positions(self) -> Any:
        return self._replaying.world.positions

    @property
    def _least(self) -> float:
        return float(self._replaying.world.settings[0]["min_share"])

    def _place_of(self, intent: HarvestIntent) -> int:
        if intent.symbol not in self._symbols:
            raise OrderRefusedError(f"symbol: {intent.symbol} is not traded by {self.account_id}")
        k = self._symbols.index(intent.symbol)
        s = self._positions[k]
        if not s["open"] or self.order_id(int(s["trade"])) != intent.order_id:
            raise OrderRefusedError(f"order_id: {intent.order_id} is no open position")
        if intent.side != _side(s):
            raise OrderRefusedError(f"side: {intent.order_id} is {_side(s)}, not {intent.side}")
        return k

    def _orders(self, k: int) -> Iterator[tuple[int | None, HarvestIntent]]:
        """Yield the orders of a position: slot (None closes it) and intent, as they would fill."""
        world = self._replaying.world
        # A copy: what is filled first changes how much the next one takes.
        s = world.positions[k : k + 1].copy()[0]
        if s["exit_ordered"] > 0:
            name = EXIT_RULES[int(s["exit_ordered"])][0]
            yield None, self._intent(k, name, 1.0, partial=False)
            return
        for which in range(BY_EVALUATOR + 1):
            wanted = float(s["ordered"][which])
            if wanted <= 0.0:
                continue
            share = wanted * float(s["share"])
            if which < BY_EVALUATOR:
                share = float(partial_share(world.parameters[k], s, which, self._least))
            # Too little for an order: the open finds the same, and nobody need hear of it.
            if share <= 0.0 or s["share"] <= 0.0:
                continue
            fraction = wanted if which == BY_EVALUATOR else share / float(s["share"])
            yield which, self._intent(k, PARTIALS[which], fraction, partial=fraction < 1.0)
            s["share"] -= share

    def _intent(self, k: int, name: str, fraction: float, *, partial: bool) -> HarvestIntent:
        world = self._replaying.world
        s = world.positions[k]
        first_row = int(world.symbols[k]["first_row"])
        t = int(s["at"]) - first_row
        order_id = self.order_id(int(s["trade"]))
        hold, leave, reasons = self._points(k, t)
        return HarvestIntent(
            timestamp=aware(self._replaying.closes[k][t]),
            symbol=self._symbols[k],
            side=_side(s),
            order_id=order_id,
            action="PARTIAL_CLOSE" if partial else "CLOSE",
            fraction=fraction if partial else 1.0,
            entry_price=float(s["entry"]),
            current_price=float(s["last_close"]),
            r=_r(s),
            scores={} if reasons is None else {"hold": hold, "exit": leave},
            reasons=(name, *(reasons or ())),
            intent_id=self._intent_id(k, name),
        )

    def _intent_id(self, k: int, name: str) -> str:
        """Return what the order by a rule is called, at the latest close of its symbol."""
        world = self._replaying.world
        s = world.positions[k]
        t = int(s["at"]) - int(world.symbols[k]["first_row"])
        return f"{self.order_id(int(s['trade']))}-{t}-{name}"

    def _points(self, k: int, t: int) -> tuple[float, float, tuple[str, ...] | None]:
        """Return points for holding and for an exit, and what counted; None without evaluator."""
        if self._evaluator is None:
            return 0.0, 0.0, None
        world = self._replaying.world
        s, at = world.positions[k], int(world.positions[k]["at"])
        bar, back = world.rows[at], int(self._evaluator.momentum_bars)
        momentum = math.nan
        if t >= back:
            moved = float(s["side"] * (bar["close"] - world.rows[at - back]["close"]))
            momentum = moved / float(bar["atr"])
        latest = float(s["latest_confidence"])
        peak_r = float(peak_in_r(s))
        said = self._evaluator.evaluate(
            PositionState(
                regime_changed=bool(s["regime_off"]),
                atr_ratio=float(bar["atr"] / s["atr"]),
                momentum_atr=momentum,
                entry_confidence=float(s["confidence"]),
                latest_confidence=None if math.isnan(latest) else latest,
                age_bars=t - int(s["entry_bar"]) + 1,
                r=_r(s),
                peak_r=peak_r,
                share_left=float(s["share"]),
            )
        )
        return said.hold, said.exit, said.factors

    def _closed(self, row: Any) -> TradeClosed:
        k, trade = int(row["symbol"]), int(row["trade"])
        bars, t = self._replaying.markets[k].bars, int(row["exit_bar"])
        ended = bars.start_T[t] if row["exit_at_open"] else self._replaying.closes[k][t]
        quantity, pnl = float(row["quantity"]), float(row["pnl"])
        entered_by = self.still_open[trade]
        return TradeClosed(
            timestamp=aware(ended),
            symbol=self._symbols[k],
            side=_side(row),
            order_id=self.order_id(trade),
            entry_price=float(row["entry"]),
            exit_price=float(row["exit"]),
            pnl_percent=100.0 * pnl / (float(row["entry"]) * quantity),
            pnl_usd=pnl,
            R_net=pnl / (quantity * float(row["risk"])),
            confidence=float(row["confidence"]),
            model_id=entered_by.model_id,
            reason=EXIT_REASONS[CLOSINGS[int(row["closed_by"])][1]],
            source=SOURCE,
            quantity=quantity,
            manifest_sha256=entered_by.manifest_sha256,
        )


def _side(s: Any) -> Literal["LONG", "SHORT"]:
    return "LONG" if s["side"] > 0 else "SHORT"


def _r(s: Any) -> float:
    return float(s["side"] * (s["last_close"] - s["entry"]) / s["risk"])
