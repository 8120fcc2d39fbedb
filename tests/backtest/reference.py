"""An independent slow replay: docs/replay_rules.md in plain Python, one bar at a time.

It shares no code with the replay that it is compared with, and takes and gives nothing but plain
values: floats, lists, dicts and dataclasses.
"""

from dataclasses import replace
from datetime import datetime

from tests.backtest.reference_bars import conditions_of, window
from tests.backtest.reference_exits import daily_loss_reached, exit_decision, on, session_closes
from tests.backtest.reference_position import (
    AccountState,
    Numbers,
    Parameters,
    Position,
    bring_up_to_date,
    rounded,
    rounded_window,
)
from tests.backtest.reference_state import (
    Policy,
    Question,
    Settings,
    SlowMarket,
    SlowReplay,
    WaitingEntry,
)
from tests.backtest.reference_stops import asks_again, mind_the_stop, order_partials

STOP_REASONS = {
    "initial": "stop_loss",
    "tightened": "stop_loss",
    "breakeven": "breakeven",
    "trailing": "trailing_stop",
}


def slow_replay(markets: list[SlowMarket], policy: Policy, settings: Settings) -> SlowReplay:
    return _Run(markets, policy, settings).run()


class _Run:
    def __init__(self, markets: list[SlowMarket], policy: Policy, settings: Settings) -> None:
        self.markets, self.policy, self.settings = markets, policy, settings
        self.account = AccountState(equity=settings.equity, high=settings.equity)
        self.cash = self.day_base = settings.equity
        self.day = None
        self.step = -1
        self.closed_now: list[float] = []
        self.found = SlowReplay()
        for market in markets:
            market.known = conditions_of(market.bars, settings.sessions)

    def run(self) -> SlowReplay:
        at: dict[datetime, list[tuple[SlowMarket, int]]] = {}
        for market in self.markets:
            for t, bar in enumerate(market.bars):
                at.setdefault(bar.time, []).append((market, t))
        last_closes: dict[str, float] = {}
        for time in sorted(at):
            self.step += 1
            asking = [(m, t) for m, t in at[time] if self.bar(m, t)]
            last_closes |= {m.symbol: m.bars[t].close for m, t in at[time]}
            self.end_of_step(time, last_closes)
            for market, _ in at[time]:
                market.day = self.day
            for market, t in asking:
                self.ask(market, t)
            for market, _ in at[time]:
                market.recovery = self.recovery(market)
        for market in self.markets:
            if market.position:
                self.found.open_positions.append(self.open_record(market))
        return self.found

    def bar(self, market: SlowMarket, t: int) -> bool:
        """Let one bar of one symbol happen; return whether the policy must be asked."""
        self.orders(market, t)
        if market.position:
            self.inside(market, t)
        if market.position:
            market.position.take_in(market.bars[t].high, market.bars[t].low)
            return self.close_of(market, t)
        signal = market.signals[t]
        return signal != 0 and market.confidences[t] >= market.threshold

    # 1. Orders for this open

    def orders(self, market: SlowMarket, t: int) -> None:
        price = market.bars[t].open
        if market.entry:
            self.enter(market, t)
            return
        pos = market.position
        if pos is None:
            return
        if pos.exit_order:
            self.close_rest(market, t, price, self.full_cost(pos), *pos.exit_order)
            pos.take_in(price)
            return
        orders, pos.partial_orders = pos.partial_orders, []
        for rule, fraction in orders:
            size = self.ordered_size(pos, rule, fraction)
            self.close_share(market, t, price, self.full_cost(pos), size, rule)
            if market.position is None:
                pos.take_in(price)
                return

    def ordered_size(self, pos: Position, rule: str, fraction: float) -> float:
        least = self.settings.min_share
        if rule != "evaluator":
            return pos.partial_size(int(rule[-1]), least)
        size = fraction * pos.left
        return size if size >= least and pos.left - size >= least else 0.0

    def enter(self, market: SlowMarket, t: int) -> None:
        asked, market.entry = market.entry, None
        d, price = asked.side, market.bars[t].open
        known = market.known[asked.bar]
        s = self.settings
        entry = price + d * (s.spread_atr + s.slippage_atr) / 2 * known.atr
        commission = s.commission_atr / 2 * known.atr
        self.cash -= commission * asked.quantity
        market.position = Position(
            symbol=market.symbol,
            side=d,
            quantity=asked.quantity,
            confidence=market.confidences[asked.bar],
            parameters=asked.parameters,
            signal_bar=asked.bar,
            entry_bar=t,
            entry_step=self.step,
            entry=entry,
            risk=asked.distance,
            tick=asked.tick,
            atr0=known.atr,
            regime0=known.regime,
            drawdown_at_entry=self.account.drawdown,
            equity_before=asked.equity,
            stop=entry - d * asked.distance,
            peak=entry,
            worst=entry,
            last_asked=asked.bar,
            commission=commission * asked.quantity,
            fill_costs=d * (entry - price) * asked.quantity,
            decisions=[{"number": 0, "bar": asked.bar, "r": 0.0, "in_force": asked.parameters}],
        )

    # 2. Inside the bar

    def inside(self, market: SlowMarket, t: int) -> None:
        pos, bar = market.position, market.bars[t]
        stop = pos.resting_stop()
        if not pos.better(pos.worst_of(bar), stop):
            price = pos.worse(stop, bar.open)
            reason = STOP_REASONS[pos.kind]
            self.close_rest(market, t, price, self.full_cost(pos), f"stop_{pos.kind}", reason)
            pos.take_in(price)
            return
        final = pos.final_target(market.recovery)
        for k in (1, 2, 3):
            self.partial_target(market, t, k, final)
            if market.position is None:
                return
        if not pos.better(final, pos.best_of(bar)):
            price = pos.best(final, bar.open)
            cost = self.half_spread(pos)
            self.close_rest(market, t, price, cost, "final_target", "take_profit")
            pos.take_in(pos.worst_of(bar), price)

    def partial_target(self, market: SlowMarket, t: int, k: int, final: float) -> None:
        pos, bar = market.position, market.bars[t]
        target = pos.target(k)
        reached = not pos.better(target, pos.best_of(bar)) and not pos.better(target, final)
        if pos.taken[k - 1] or not reached:
            return
        if rounded(pos.parameters["partial_timing_bars"]) >= 1:
            if pos.waiting[k - 1] is None:
                pos.waiting[k - 1] = t
                self.found.seen["partial noted"] += 1
            return
        size = pos.partial_size(k, self.settings.min_share)
        price = pos.best(target, bar.open)
        self.close_share(market, t, price, self.half_spread(pos), size, f"partial_{k}")
        if market.position is None:
            pos.take_in(pos.worst_of(bar), price)

    def recovery(self, market: SlowMarket) -> bool:
        held = market.position or market.entry
        limit = self.settings.recovery_drawdown
        return held is not None and self.account.in_recovery(held.parameters, limit)

    # Fills

    def half_spread(self, pos: Position) -> float:
        return self.settings.spread_atr / 2 * pos.atr0

    def full_cost(self, pos: Position) -> float:
        return (self.settings.spread_atr + self.settings.slippage_atr) / 2 * pos.atr0

    def fill(self, pos: Position, price: float, cost: float, share: float) -> float:
        """Close a share of the original position; return the price with costs."""
        price -= pos.side * cost
        quantity = share * pos.quantity
        commission = self.settings.commission_atr / 2 * pos.atr0 * quantity
        pos.gross += pos.side * (price - pos.entry) * quantity
        pos.commission += commission
        pos.fill_costs += cost * quantity
        pos.closed_value += share * price
        self.cash += pos.side * (price - pos.entry) * quantity - commission
        pos.left = 0.0 if share == pos.left else pos.left - share
        return price

    def close_share(self, market, t: int, price: float, cost: float, share: float, rule: str):
        pos = market.position
        if share <= 0:
            self.found.seen["partial too small"] += 1
            return
        paid = self.fill(pos, price, cost, share)
        if rule != "evaluator":
            pos.taken[int(rule[-1]) - 1] = True
        # Both halves of the commission, per unit.
        gain = pos.side * (paid - pos.entry) - self.settings.commission_atr * pos.atr0
        pos.partials.append(
            {
                "bar": t,
                "price": paid,
                "share": share,
                "rule": rule,
                "quantity": share * pos.quantity,
                "pnl": gain * share * pos.quantity,
                "r": gain / pos.risk,
            }
        )
        delayed = rule != "evaluator" and pos.waiting[int(rule[-1]) - 1] is not None
        self.found.seen["partial " + ("delayed" if delayed else rule)] += 1
        if pos.left == 0:
            self.end_trade(market, t, rule, "partial_exit")

    def close_rest(self, market, t: int, price: float, cost: float, rule: str, reason: str):
        self.fill(market.position, price, cost, market.position.left)
        self.end_trade(market, t, rule, reason)

    def end_trade(self, market: SlowMarket, t: int, rule: str, reason: str) -> None:
        trade = self.record(market, rule, reason) | {"exit_bar": t}
        self.found.trades.append(trade)
        self.found.seen[f"exit {rule}"] += 1
        self.found.seen["partial rejected"] += trade["position"].n_rejected
        for move in trade["position"].stop_moves:
            self.found.seen[f"stop {move['kind']} {move['rule']}"] += 1
        self.closed_now.append(trade["pnl"])
        market.position = None

    def record(self, market: SlowMarket, rule: str, reason: str) -> dict:
        pos = market.position
        pnl = pos.gross - pos.commission
        return {
            "symbol": market.symbol,
            "position": pos,
            "exit_rule": rule,
            "exit_reason": reason,
            "exit_price": pos.closed_value,
            "pnl": pnl,
            "r_multiple": pnl / (pos.risk * pos.quantity),
            "cost_r": (pos.fill_costs + pos.commission) / (pos.risk * pos.quantity),
        }

    def open_record(self, market: SlowMarket) -> dict:
        pos = market.position
        pnl = pos.gross - pos.commission
        pnl += pos.quantity * pos.left * pos.side * (market.bars[-1].close - pos.entry)
        r = pnl / (pos.risk * pos.quantity)
        return {"symbol": market.symbol, "position": pos, "pnl": pnl, "r_multiple": r}

    # 4. The close

    def close_of(self, market: SlowMarket, t: int) -> bool:
        pos, s = market.position, self.settings
        n = Numbers(
            t=t,
            bar=market.bars[t],
            now=market.known[t],
            account=self.account,
            settings=s,
            bars=market.bars,
            minutes_per_bar=market.bar_minutes if s.minutes_per_bar is None else s.minutes_per_bar,
            bar_minutes=market.bar_minutes,
            signal=market.signals[t],
            confidence=market.confidences[t],
        )
        bring_up_to_date(pos, n)
        pos.exit_order = exit_decision(pos, n)
        if pos.exit_order:
            return False
        order_partials(pos, n)
        mind_the_stop(pos, n)
        return asks_again(pos, n)

    # 5. The account

    def end_of_step(self, time: datetime, last_closes: dict[str, float]) -> None:
        before = self.account
        if self.day is not None and time.date() != self.day:
            self.day_base = before.equity
        self.day = time.date()
        open_now = [m.position for m in self.markets if m.position]
        equity = self.cash + sum(
            pos.quantity * pos.left * pos.side * (last_closes[pos.symbol] - pos.entry)
            for pos in open_now
        )
        high = max(before.high, equity)
        self.account = replace(
            before,
            equity=equity,
            high=high,
            drawdown=1 - equity / high,
            daily_loss=max(0.0, 1 - equity / self.day_base) if self.day_base > 0 else 0.0,
        )
        for pnl in self.closed_now:
            self.count_closed(pnl)
        self.closed_now = []
        self.found.equity.append(
            {
                "time": time,
                "equity": equity,
                "drawdown": self.account.drawdown,
                "open_positions": len(open_now),
                "open_risk": len(open_now) * self.settings.risk_per_trade,
            }
        )

    def count_closed(self, pnl: float) -> None:
        if pnl >= 0:
            self.account = replace(self.account, losses=0)
            return
        self.account = replace(
            self.account,
            losses=self.account.losses + 1,
            last_loss_step=self.step,
            last_loss_day=self.day,
        )

    # 6. Parameters and entries

    def ask(self, market: SlowMarket, t: int) -> None:
        pos, atr = market.position, market.known[t].atr
        if pos is None:
            side = market.signals[t]
            asked = Question(market.symbol, 0, t, side, atr, None, 0.0)
            self.ask_entry(market, t, side, self.policy(asked))
            return
        pos.n_updates += 1
        pos.last_asked = t
        r = pos.r_at(market.bars[t].close)
        old = pos.parameters
        new = self.policy(Question(market.symbol, pos.n_updates, t, pos.side, atr, old, r))
        rate = old["dynamic_strategy_adaptation_rate"]
        pos.parameters = {name: old[name] + rate * (new[name] - old[name]) for name in old}
        pos.parameters["current_atr"] = new["current_atr"]
        pos.decisions.append(
            {"number": pos.n_updates, "bar": t, "r": r, "in_force": pos.parameters, "replaced": old}
        )

    def ask_entry(self, market: SlowMarket, t: int, side: int, p: Parameters) -> None:
        reason = self.dropped(market, t, p)
        if reason:
            self.found.skipped[reason] += 1
            return
        atr0, s = market.known[t].atr, self.settings
        tick = market.tick_size if market.tick_size is not None else s.tick_atr * atr0
        good = market.confidences[t] >= p["entry_quality_threshold"]
        accepted = p[f"acceptable_loss_for_{'good' if good else 'bad'}_entry"]
        distance = min(p["stop_mult"] * p["current_atr"] * accepted, p["max_stop_ticks"] * tick)
        distance = max(distance, tick)
        equity = self.account.equity
        quantity = s.risk_per_trade * equity / distance
        market.entry = WaitingEntry(side, t, p, quantity, distance, tick, equity)

    def dropped(self, market: SlowMarket, t: int, p: Parameters) -> str | None:
        n, account, s = rounded_window(p["sideways_detection_bars"]), self.account, self.settings
        close = market.bars[t].close
        busy = [market for market in self.markets if market.position or market.entry]
        held = sum((self.day - market.day).days <= 7 for market in busy)
        too_much = (held + 1) * s.risk_per_trade > s.max_open_risk * (1 + 1e-9)
        if too_much or account.equity <= 0:
            return "open_risk"
        if (
            on(p["sideways_avoid_new_entry"])
            and t + 1 >= n
            and window(market.bars, t, n) <= p["sideways_detection_range_pct"] * close
        ):
            return "sideways"
        if account.losses >= p["consecutive_losses_max"] and account.last_loss_day == self.day:
            return "losing_streak"
        if daily_loss_reached(p, account, s):
            return "daily_loss"
        if session_closes(p, market.known[t], market.bar_minutes):
            return "session_close"
        return None
