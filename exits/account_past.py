"""What an account's closed trades say at a moment: the account part of an experience.

Axes: K moments, N closed trades.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray

RECENT_TRADES: Final = 5


@dataclass(frozen=True, slots=True)
class AccountPast:
    """The account at K moments, by the trades that were closed by then; money is net of costs.

    Attributes
    ----------
    recent_pnl_K : float64 array
        Of the last 5 trades.
    cumulative_pnl_K, daily_pnl_K : float64 array
        Of all, and of those closed on the moment's UTC date.
    recent_wins_K, recent_losses_K : int64 array
        Among the last 5 trades.
    streak_K : int64 array
        Wins in a row, or as a negative number losses in a row.
    """

    recent_pnl_K: FloatArray
    cumulative_pnl_K: FloatArray
    daily_pnl_K: FloatArray
    recent_wins_K: IndexArray
    recent_losses_K: IndexArray
    streak_K: IndexArray


def account_past(moment_K: TimeArray, closed_at_N: TimeArray, pnl_N: FloatArray) -> AccountPast:
    """Return what the closed trades say at each moment.

    Parameters
    ----------
    moment_K : datetime64[us] array
        A trade closed at the moment itself counts.
    closed_at_N : datetime64[us] array
        Close of the bar in which each trade ended: from then on it is known.
    pnl_N : float64 array
    """
    order_N = np.argsort(closed_at_N, kind="stable")
    closed_at_N, pnl_N = closed_at_N[order_N], pnl_N[order_N]
    end_K = np.searchsorted(closed_at_N, moment_K, side="right")
    recent_K = np.maximum(end_K - RECENT_TRADES, 0)
    midnight_K = moment_K.astype("datetime64[D]").astype(moment_K.dtype)
    today_K = np.searchsorted(closed_at_N, midnight_K, side="left")
    money = np.concatenate([[0.0], np.cumsum(pnl_N)])
    wins = np.concatenate([[0], np.cumsum(pnl_N > 0)])
    losses = np.concatenate([[0], np.cumsum(pnl_N < 0)])
    return AccountPast(
        recent_pnl_K=money[end_K] - money[recent_K],
        cumulative_pnl_K=money[end_K],
        daily_pnl_K=money[end_K] - money[np.minimum(today_K, end_K)],
        recent_wins_K=wins[end_K] - wins[recent_K],
        recent_losses_K=losses[end_K] - losses[recent_K],
        streak_K=_streaks(pnl_N)[end_K],
    )


def _streaks(pnl_N: FloatArray) -> IndexArray:
    """Return the row of wins or losses before the first trade and after each."""
    streaks = [0]
    for sign in np.sign(pnl_N).astype(int).tolist():
        before = streaks[-1]
        streaks.append(before + sign if before * sign > 0 else sign)
    return np.array(streaks, np.int64)
