"""How an open trade stood at each close, recomputed from its bars.

Axes: H the closes at which the trade was open: from the entry bar to the one before the exit bar.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from market.bars import Bars, FloatArray
from market.compiled import IndexArray


@dataclass(frozen=True, slots=True)
class TradePath:
    """The running numbers of one trade; none depends on a later bar.

    Attributes
    ----------
    entry_bar : int
        Position of the first close in the symbol's bars.
    r_H : float64 array
        side x (close - entry) / R.
    mae_H, mfe_H : float64 array
        Worst (at most 0) and best (at least 0) price since the entry, in R.
    share_left_H : float64 array
        What is still open, as a share of the original position.
    pnl_H : float64 array
        Net profit of the partials so far and unrealised profit of the rest, in money.
    """

    entry_bar: int
    r_H: FloatArray
    mae_H: FloatArray
    mfe_H: FloatArray
    share_left_H: FloatArray
    pnl_H: FloatArray

    def __len__(self) -> int:
        return len(self.r_H)


def trade_path(
    trade: dict[str, Any],
    bars: Bars,
    *,
    partial_bar_J: IndexArray,
    partial_quantity_J: FloatArray,
    partial_pnl_J: FloatArray,
) -> TradePath:
    """Return the running numbers of a trade.

    Parameters
    ----------
    trade : dict
        A row of the replay's trades.
    bars : Bars
        Of its symbol; none from the exit bar on is looked at.
    partial_bar_J, partial_quantity_J, partial_pnl_J : arrays
        Its partial closes, in their order.
    """
    first, end = trade["entry_bar"], trade["exit_bar"]
    side = 1.0 if trade["side"] == "LONG" else -1.0
    entry, risk, quantity = trade["entry_price"], trade["risk_price"], trade["quantity"]
    gain_H = side * (bars.close_T[first:end] - entry)
    best_H = (bars.high_T if side > 0 else bars.low_T)[first:end]
    worst_H = (bars.low_T if side > 0 else bars.high_T)[first:end]
    done_H = np.searchsorted(partial_bar_J, np.arange(first, end), side="right")
    sold_H = np.concatenate([[0.0], np.cumsum(partial_quantity_J)])[done_H]
    banked_H = np.concatenate([[0.0], np.cumsum(partial_pnl_J)])[done_H]
    return TradePath(
        entry_bar=first,
        r_H=gain_H / risk,
        mae_H=np.minimum(np.minimum.accumulate(side * (worst_H - entry)) / risk, 0.0),
        mfe_H=np.maximum(np.maximum.accumulate(side * (best_H - entry)) / risk, 0.0),
        share_left_H=1.0 - sold_H / quantity,
        pnl_H=banked_H + (quantity - sold_H) * gain_H,
    )
