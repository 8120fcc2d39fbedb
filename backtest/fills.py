"""How orders fill: entries, partials, exits, and what they cost.

Records as in `exits.rules.numbers`; ``logs`` is `backtest.logs.Logs`.
"""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.numbers import peak_in_r, recovering, rounded
from exits.rules.partials import final_target, partial_share, target_price
from exits.rules.rule_names import AT_BARRIER, AT_PARTIAL, AT_STOP, AT_TARGET
from exits.rules.stops import resting_stop


@rule
def fill_entry(s: Any, bar: Any, t: int, account: Any, settings: Any, logs: Any) -> None:
    """Open the waiting position at the open of bar ``t``."""
    run = logs.run[0]
    run.n_open += 1
    s.waiting, s.open = 0, 1
    s.entry_bar, s.entry_step = t, run.step
    worse = (settings.half_spread + settings.half_slippage) * s.atr
    s.entry = bar.open + s.side * worse
    s.stop = s.initial_stop = s.entry - s.side * s.risk
    s.peak = s.worst = s.entry
    s.drawdown_before = account.drawdown
    commission = settings.half_commission * s.atr * s.quantity
    account.cash -= commission
    s.pnl = -commission
    s.costs = commission + worse * s.quantity


@rule
def take_in(s: Any, price: float) -> None:
    """Let a price count for peak and worst."""
    if s.side > 0.0:
        s.peak, s.worst = max(s.peak, price), min(s.worst, price)
    else:
        s.peak, s.worst = min(s.peak, price), max(s.worst, price)


@rule
def close_share(
    s: Any, share: float, raw: float, slips: bool, account: Any, settings: Any
) -> tuple[float, float]:
    """Close a share of the original position; return its fill price and its profit."""
    worse = settings.half_spread * s.atr
    if slips:
        worse += settings.half_slippage * s.atr
    price = raw - s.side * worse
    quantity = s.quantity * share
    commission = settings.half_commission * s.atr * quantity
    net = s.side * (price - s.entry) * quantity - commission
    account.cash += net
    s.pnl += net
    s.costs += worse * quantity + commission
    s.closed_value += quantity * price
    s.share = 0.0 if share >= s.share else s.share - share
    return price, net - commission


@rule
def close_position(
    s: Any, raw: float, slips: bool, closed_by: int, t: int, at_open: bool, symbol: int,
    account: Any, settings: Any, logs: Any,
) -> None:  # fmt: skip
    """Close what is left and write the trade down."""
    close_share(s, s.share, raw, slips, account, settings)
    log_trade(s, closed_by, t, at_open, symbol, account, logs)


@rule
def log_trade(
    s: Any, closed_by: int, t: int, at_open: bool, symbol: int, account: Any, logs: Any
) -> None:
    """Write down a position of which nothing is left, and whether it was a loss."""
    run = logs.run[0]
    row = logs.trades[run.n_trades]
    run.n_trades += 1
    run.n_busy -= 1
    run.n_open -= 1
    s.open = 0
    row.trade, row.symbol, row.side = s.trade, symbol, int(s.side)
    row.signal_bar, row.entry_bar, row.exit_bar = s.signal_bar, s.entry_bar, t
    row.exit_at_open, row.closed_by, row.regime = int(at_open), closed_by, s.regime
    row.n_partials, row.n_rejected = s.n_partials, s.n_rejected
    row.n_stop_moves, row.n_updates = s.n_stop_moves, s.n_updates
    row.breakeven_bar, row.trailing_bar = s.breakeven_bar, s.trailing_bar
    row.entry, row.exit, row.quantity = s.entry, s.closed_value / s.quantity, s.quantity
    row.risk, row.initial_stop, row.atr, row.tick = s.risk, s.initial_stop, s.atr, s.tick
    row.pnl, row.costs = s.pnl, s.costs
    row.mae_r = min(0.0, s.side * (s.worst - s.entry) / s.risk)
    row.mfe_r = peak_in_r(s)
    row.confidence, row.equity_before = s.confidence, s.equity_before
    if s.pnl < 0.0:
        account.losses_now += 1
        account.last_loss_step_now = run.step
        account.last_loss_day_now = run.day
    else:
        account.losses_now = 0


@rule
def take_partial(
    s: Any, share: float, which: int, raw: float, slips: bool, t: int, at_open: bool, symbol: int,
    account: Any, settings: Any, logs: Any,
) -> None:  # fmt: skip
    """Close a share of the original position; the trade ends where nothing is left."""
    left = s.share
    price, net = close_share(s, share, raw, slips, account, settings)
    run = logs.run[0]
    row = logs.partials[run.n_partials]
    run.n_partials += 1
    s.n_partials += 1
    if which < 3:
        s.taken[which] = 1
    row.trade, row.symbol, row.bar = s.trade, symbol, t
    row.at_open, row.which, row.price = int(at_open), which, price
    row.share = min(share, left)
    row.quantity = s.quantity * row.share
    row.pnl = net
    s.sold += row.quantity
    s.banked += net
    row.r = net / (row.quantity * s.risk)
    if s.share <= 0.0:
        log_trade(s, AT_PARTIAL + which, t, at_open, symbol, account, logs)


@rule
def fill_at_open(
    p: Any, s: Any, bar: Any, t: int, symbol: int, account: Any, settings: Any, logs: Any
) -> None:
    """Fill what the bar before has ordered: the exit, or partials."""
    if s.exit_ordered > 0:
        take_in(s, bar.open)
        close_position(s, bar.open, True, s.exit_ordered, t, True, symbol, account, settings, logs)
        return
    for which in range(4):
        if s.ordered[which] <= 0.0 or not s.open:
            continue
        if which < 3:
            share = partial_share(p, s, which, settings.min_share)
        else:
            share = s.ordered[which] * s.share
            if s.share - share < settings.min_share or share < settings.min_share:
                share = 0.0
        s.ordered[which] = 0.0
        if share <= 0.0:
            continue
        if s.share <= share:
            take_in(s, bar.open)
        take_partial(s, share, which, bar.open, True, t, True, symbol, account, settings, logs)


@rule
def fill_inside(
    p: Any, s: Any, bar: Any, t: int, symbol: int, account: Any, settings: Any, logs: Any
) -> None:
    """Fill stop or targets within bar ``t``, the stop first; then let the bar's extremes count."""
    long = s.side > 0.0
    worst = bar.low if long else bar.high
    best = bar.high if long else bar.low
    stop = s.stop if settings.barrier else resting_stop(p, s)
    if s.side * (worst - stop) <= 0.0:
        raw = min(bar.open, stop) if long else max(bar.open, stop)
        take_in(s, raw)
        closed_by = AT_STOP + s.stop_kind
        close_position(s, raw, True, closed_by, t, False, symbol, account, settings, logs)
        return
    final, closed_by = s.entry + s.side * settings.barrier_profit_atr * s.atr, AT_BARRIER
    if not settings.barrier:
        # As it was known when the bar opened: bars of another length may have ended within it.
        recovery = recovering(p, logs.drawdown[s.step], settings)
        final, closed_by = final_target(p, s, recovery), AT_TARGET
        _fill_targets(p, s, bar.open, best, worst, final, t, symbol, account, settings, logs)
        if not s.open:
            return
    take_in(s, worst)
    if s.side * (best - final) >= 0.0:
        raw = max(bar.open, final) if long else min(bar.open, final)
        take_in(s, raw)
        close_position(s, raw, False, closed_by, t, False, symbol, account, settings, logs)
    else:
        take_in(s, best)


@rule
def _fill_targets(
    p: Any, s: Any, opened: float, best: float, worst: float, final: float, t: int, symbol: int,
    account: Any, settings: Any, logs: Any,
) -> None:  # fmt: skip
    at_once = rounded(p.partial_timing_bars) == 0
    for k in range(3):
        if s.taken[k] or not s.open:
            continue
        target = target_price(p, s, k)
        if s.side * (best - target) < 0.0 or s.side * (target - final) > 0.0:
            continue
        if not at_once:
            if s.touched_bar[k] < 0:
                s.touched_bar[k] = t
            continue
        share = partial_share(p, s, k, settings.min_share)
        if share <= 0.0:
            continue
        raw = max(opened, target) if s.side > 0.0 else min(opened, target)
        if s.share <= share:
            take_in(s, worst)
            take_in(s, raw)
        take_partial(s, share, k, raw, False, t, False, symbol, account, settings, logs)
