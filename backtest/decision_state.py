"""The 208 features of a decision inside a replay: the numbers that its experience will hold.

What each is, and when it is known, is said in ``exits.feature_table``. Written for a policy that
reads them alone. Axes: N bars of all symbols, S symbols, F the 208 features, P the 132 parameters.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from backtest.markets import Market
from exits.account_past import RECENT_TRADES
from exits.experience import ASIA_HOUR, LONDON_HOUR, NEW_YORK_HOUR
from exits.feature_table import FEATURES, NAMES
from exits.market_state import market_states
from exits.parameters import INDEX, N_PARAMETERS, defaults
from exits.rules.compiled import rule
from exits.rules.numbers import peak_in_r
from exits.rules.records import PARAMETERS
from market.bars import TimeArray

DAY_US: Final = 86_400_000_000
_HOUR_US: Final = DAY_US // 24
_MINUTE_US: Final = _HOUR_US // 60
_ATR_P: Final = INDEX["current_atr"]
# Sums are kept from after the last few trades back to before them.
_N_SUMS: Final = RECENT_TRADES + 1
_PNL_DIGITS: Final = 1e6

STATE: Final = np.dtype([(name.replace(".", "_"), "f8") for name in NAMES])
NEUTRAL_F: Final = np.array([feature.neutral for feature in FEATURES])

# Of a bar, beside `exits.rules.records.BAR`.
SEEN: Final = np.dtype(
    [
        *((name, "i8") for name in ("opened_us", "closed_us")),
        *((name, "f8") for name in ("rsi", "vwap_distance", "vix")),
    ]
)

# The account's closed trades so far.
PAST: Final = np.dtype(
    [
        *((name, "i8") for name in ("n_trades", "day", "streak")),
        *((name, "f8") for name in ("pnl", "pnl_at_midnight")),
        ("sums", "f8", (_N_SUMS,)),  # of profit after each of the last trades
        ("recent_pnl", "f8"),
        *((name, "i8") for name in ("recent_wins", "recent_losses")),
    ]
)

# A symbol's open trade: the account at its signal, and how it has gone.
STANDING: Final = np.dtype(
    [
        *((name, "f8") for name in ("cumulative_pnl", "daily_pnl", "wins", "losses")),
        *((name, "f8") for name in ("peak_pnl", "fall", "max_r", "min_r")),
        ("bars_below_peak", "i8"),
        ("r_at_update", "f8"),  # of the latest update; `r_asked` becomes it once that is answered
        ("r_asked", "f8"),
    ]
)


class State(NamedTuple):
    """What a decision's state is made from; one row of each where no policy reads it.

    ``seen`` (n_rows,); ``standing`` (n_symbols,); ``past`` (1,); ``kept`` (n_symbols,): parameters
    of each symbol's latest decision, and ``kept_SP`` the same as numbers, `current_atr` 0 where
    there was none; ``states`` (n_symbols,): the rows that are asked with, in the order of the
    asking, and ``states_KF`` the same as numbers; ``neutral_F``.
    """

    seen: Any
    standing: Any
    past: Any
    kept: Any
    kept_SP: Any
    states: Any
    states_KF: Any
    neutral_F: Any


def state_of(
    markets: Sequence[Market],
    closes: Sequence[TimeArray],
    sessions: Sequence[str],
    *,
    n_symbols: int,
    is_read: bool,
) -> State:
    """Return what states are made from, before the first bar.

    Parameters
    ----------
    markets : sequence of Market
        In the order of their rows.
    closes : sequence of datetime64[us] arrays
        When their bars are complete.
    sessions : sequence of str
        When sessions close.
    n_symbols : int
        Positions that there can be at a time.
    is_read : bool
        Whether the policy reads it.
    """
    rows = [_seen(*one, sessions) for one in zip(markets, closes, strict=True)] if is_read else []
    n_kept = n_symbols if is_read else 1
    kept = np.zeros(n_kept, PARAMETERS)
    states = np.zeros(n_kept, STATE)
    state = State(
        seen=np.concatenate(rows) if rows else np.zeros(1, SEEN),
        standing=np.zeros(n_kept, STANDING),
        past=np.zeros(1, PAST),
        kept=kept,
        kept_SP=kept.view(np.float64).reshape(n_kept, N_PARAMETERS),
        states=states,
        states_KF=states.view(np.float64).reshape(n_kept, len(NAMES)),
        neutral_F=NEUTRAL_F.copy(),
    )
    forget(state)
    return state


def forget(state: State) -> None:
    """Put in force before each symbol's next decision what is in force before its first."""
    state.kept_SP[:] = defaults(1.0)
    state.kept_SP[:, _ATR_P] = 0.0


def _seen(market: Market, close_T: TimeArray, sessions: Sequence[str]) -> Any:
    found = market_states(market.bars, sessions=sessions)
    rows = np.empty(len(market.bars), SEEN)
    rows["opened_us"] = market.bars.start_T.astype("datetime64[us]").astype(np.int64)
    rows["closed_us"] = close_T.astype("datetime64[us]").astype(np.int64)
    rows["rsi"], rows["vix"] = found.rsi_T, found.vix_T
    rows["vwap_distance"] = found.vwap_distance_T
    return rows


@rule
def note_close(standing: Any, s: Any, close: float) -> None:
    """Take in how an open trade stands at a close."""
    gain = s.side * (close - s.entry)
    r = gain / s.risk
    standing.max_r, standing.min_r = max(standing.max_r, r), min(standing.min_r, r)
    # As it is recorded: sums that are equal but for their last digits are no drawdown.
    pnl = np.rint(profit(s, close) * _PNL_DIGITS) / _PNL_DIGITS
    standing.peak_pnl = max(standing.peak_pnl, pnl)
    if pnl < standing.peak_pnl:
        standing.bars_below_peak += 1
        standing.fall = max(standing.fall, standing.peak_pnl - pnl)


@rule
def profit(s: Any, close: float) -> float:
    """Return net profit of the partials so far and unrealised profit of the rest, in money."""
    net: float = s.banked + (s.quantity - s.sold) * (s.side * (close - s.entry))
    return net


@rule
def note_trades(past: Any, trades: Any, n_trades: int, symbols: Any, seen: Any) -> None:
    """Take in the trades that were closed since the last look, in the order of closing."""
    if n_trades == past.n_trades:
        return
    for k in range(past.n_trades, n_trades):
        row = trades[k]
        day = seen[symbols[row.symbol].first_row + row.exit_bar].closed_us // DAY_US
        if day != past.day:
            past.day, past.pnl_at_midnight = day, past.pnl
        past.pnl += row.pnl
        past.sums[(k + 1) % _N_SUMS] = past.pnl
        sign = 1 if row.pnl > 0.0 else -1 if row.pnl < 0.0 else 0
        past.streak = past.streak + sign if past.streak * sign > 0 else sign
    past.n_trades = n_trades
    first = max(n_trades - RECENT_TRADES, 0)
    past.recent_pnl = past.pnl - past.sums[first % _N_SUMS]
    past.recent_wins, past.recent_losses = 0, 0
    for k in range(first, n_trades):
        past.recent_wins += 1 if trades[k].pnl > 0.0 else 0
        past.recent_losses += 1 if trades[k].pnl < 0.0 else 0


@rule
def note_decision(state: Any, symbol: int, p: Any, number: int) -> None:
    """Take in that an asking was answered."""
    state.kept[symbol] = p
    standing = state.standing[symbol]
    if number > 0:
        standing.r_at_update = standing.r_asked


@rule
def write_state(
    state: Any, k: int, symbol: int, s: Any, rows: Any, first_row: int, at: int, number: int,
    side: int, tick: float, account: Any, settings: Any,
) -> None:  # fmt: skip
    """Write row ``k`` of the states: all that is known at a decision of a symbol.

    ``rows`` are those of `exits.rules.records.BAR`, ``at`` the place of the decision's bar in them;
    ``tick`` is that of the trade, or of the one that is asked for.
    """
    f, past = state.states[k], state.past[0]
    for column in range(len(state.neutral_F)):
        state.states_KF[k, column] = state.neutral_F[column]
    for p in range(N_PARAMETERS):
        state.states_KF[k, p] = state.kept_SP[symbol, p]
    f.current_atr = f.current_atr / rows[at].atr if f.current_atr > 0.0 else 1.0
    standing = state.standing[symbol]
    if number == 0:
        _begin(standing, past, state.seen[at].closed_us // DAY_US)
    _write_market(f, past, rows[at], state.seen[at])
    signal_row = at if number == 0 else first_row + s.signal_bar
    equity = account.equity if number == 0 else s.equity_before
    _write_entry(f, standing, rows[signal_row], side, tick, equity, settings)
    if number > 0:
        standing.r_asked = s.side * (rows[at].close - s.entry) / s.risk
        _write_trade(f, s, standing, rows, at, at - first_row, number)
        _write_money(f, s, standing, settings)
        _write_clock(f, state.seen[first_row + s.entry_bar].opened_us, state.seen[at].closed_us)


@rule
def _begin(standing: Any, past: Any, day: int) -> None:
    """Forget the symbol's trade before, and note the account at a signal."""
    standing.peak_pnl = standing.fall = standing.max_r = standing.min_r = 0.0
    standing.bars_below_peak = 0
    standing.r_at_update = 0.0
    standing.cumulative_pnl = past.pnl
    standing.daily_pnl = past.pnl - past.pnl_at_midnight if past.day == day else 0.0
    standing.wins, standing.losses = float(past.recent_wins), float(past.recent_losses)


@rule
def _write_market(f: Any, past: Any, bar: Any, seen: Any) -> None:
    hour = seen.closed_us % DAY_US // _HOUR_US
    f.market_state_atr = bar.atr
    # Monday is 0: the epoch was a Thursday.
    f.market_state_day_of_week = float((seen.closed_us // DAY_US + 3) % 7)
    f.market_state_hour = float(hour)
    f.market_state_recent_pnl = past.recent_pnl
    f.market_state_rsi = seen.rsi
    f.market_state_streak = float(past.streak)
    f.market_state_vix = seen.vix
    f.market_state_volume_ratio = bar.volume_ratio
    f.market_state_vwap_distance = seen.vwap_distance
    f.session = 0.0
    if LONDON_HOUR <= hour < NEW_YORK_HOUR:
        f.session = 1.0
    elif NEW_YORK_HOUR <= hour < ASIA_HOUR:
        f.session = 2.0


@rule
def _write_entry(
    f: Any, standing: Any, signal: Any, side: int, tick: float, equity: float, settings: Any
) -> None:
    """Write what is known from the signal on; ``signal`` is its bar."""
    f.regime, f.side = float(signal.regime), 0.0 if side > 0 else 1.0
    f.entry_confidence = signal.confidence
    f.bid_ask_spread_ticks = 2.0 * settings.half_spread * signal.atr / tick
    f.slippage_ticks = settings.half_slippage * signal.atr / tick
    limit = settings.daily_loss_limit * equity
    f.outcome_daily_loss_limit = limit
    f.outcome_daily_loss_proximity_pct = 100.0 * max(0.0, -standing.daily_pnl) / limit
    f.outcome_daily_pnl_before_trade = standing.daily_pnl
    f.outcome_cumulative_pnl_before_trade = standing.cumulative_pnl
    f.outcome_wins_in_last_5_trades = standing.wins
    f.outcome_losses_in_last_5_trades = standing.losses
    if np.isfinite(signal.minutes_to_close):
        f.outcome_minutes_until_close = signal.minutes_to_close


@rule
def _write_trade(f: Any, s: Any, standing: Any, rows: Any, at: int, t: int, number: int) -> None:
    """Write how an open trade stands in R, bars and counts."""
    age = float(t - s.entry_bar + 1)
    f.outcome_bars_held = f.outcome_duration_bars = age
    f.pnl = profit(s, rows[at].close)
    f.r_multiple = standing.r_asked
    f.max_r_achieved, f.min_r_achieved = standing.max_r, standing.min_r
    f.mae = min(0.0, s.side * (s.worst - s.entry) / s.risk)
    f.mfe = f.outcome_peak_r_multiple = peak_in_r(s)
    f.outcome_atr_change_percent = 100.0 * (rows[at].atr / s.atr - 1.0)
    f.outcome_vix = f.market_state_vix
    if s.breakeven_bar >= 0:
        f.breakeven_activated = 1.0
        f.bars_until_breakeven = float(s.breakeven_bar - s.entry_bar)
        f.breakeven_activation_bar = float(s.breakeven_bar - s.entry_bar + 1)
        f.time_in_breakeven_bars = float(t - s.breakeven_bar)
    if s.trailing_bar >= 0:
        f.trailing_activated = 1.0
        f.bars_until_trailing = float(s.trailing_bar - s.entry_bar)
        f.trailing_activation_bar = float(s.trailing_bar - s.entry_bar + 1)
    f.partial_exits_count, f.partial_exits_magnitude = float(s.n_partials), 1.0 - s.share
    f.partial_exits_any = 1.0 if s.n_partials > 0 else 0.0
    f.exit_param_updates_count = f.exit_param_update_count = float(number - 1)
    f.exit_param_updates_any = 1.0 if number > 1 else 0.0
    f.exit_param_updates_magnitude = standing.r_at_update
    f.stop_adjustments_count = f.stop_adjustment_count = float(s.n_stop_moves)
    f.stop_adjustments_any = 1.0 if s.n_stop_moves > 0 else 0.0
    f.stop_adjustments_magnitude = s.moved / s.risk


@rule
def _write_money(f: Any, s: Any, standing: Any, settings: Any) -> None:
    """Write how an open trade stands in money."""
    risked = s.risk * s.quantity
    f.commission_cost = 2.0 * settings.half_commission * s.atr * s.quantity
    f.outcome_contracts, f.outcome_entry_price = s.quantity, s.entry
    f.max_profit_reached = f.mfe * risked
    f.outcome_peak_unrealized_pnl = standing.peak_pnl
    f.outcome_drawdown_bars = float(standing.bars_below_peak)
    f.outcome_max_drawdown_percent = 100.0 * standing.fall / s.equity_before
    given_back = max(0.0, f.mfe - f.r_multiple)
    f.outcome_opportunity_cost = given_back * risked
    f.outcome_profit_drawdown_from_peak = given_back / f.mfe if f.mfe > 0.0 else 0.0


@rule
def _write_clock(f: Any, entered_us: int, now_us: int) -> None:
    f.duration = (now_us - entered_us) / _MINUTE_US
    f.outcome_entry_hour = float(entered_us % DAY_US // _HOUR_US)
    f.outcome_entry_minute = float(entered_us % _HOUR_US // _MINUTE_US)
