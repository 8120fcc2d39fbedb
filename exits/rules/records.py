"""The records that the rules read and write: numpy's structured rows, read by name when compiled.

A field is a float64 unless it says otherwise; flags and counts are int64. Bars are positions in
their symbol's bars.
"""

import numpy as np

from exits.parameters import NAMES

# The 132 parameters in force, in real units; an array of shape (n, 132) can be seen as n of these.
PARAMETERS = np.dtype([(name, "f8") for name in NAMES])

# One bar and what is known at its close (exits/conditions.py).
BAR = np.dtype(
    [
        *((name, "f8") for name in ("open", "high", "low", "close", "volume")),
        *((name, "f8") for name in ("volume_ratio", "quiet_volume", "true_range", "atr")),
        ("minutes_to_close", "f8"),  # of the session; infinite where none is set
        ("confidence", "f8"),  # of the signal
        *((name, "i1") for name in ("signal", "regime", "consolidating", "friday", "friday_late")),
    ],
    align=True,
)

# What does not change in a replay.
SETTINGS = np.dtype(
    [
        *((name, "f8") for name in ("tick_atr", "min_share", "half_spread", "half_slippage")),
        ("half_commission", "f8"),  # these three in ATR of the signal bar
        *((name, "f8") for name in ("risk_per_trade", "max_open_risk", "daily_loss_limit")),
        ("recovery_drawdown", "f8"),
        ("evaluator", "i8"),  # whether it is asked
        ("watched", "i8"),  # whether the policy reads the state of a decision
        ("barrier", "i8"),  # whether stop, target and time are all the rules there are
        *((name, "f8") for name in ("barrier_profit_atr", "barrier_stop_atr")),
        ("barrier_bars", "i8"),
    ]
)

SYMBOL = np.dtype(
    [
        ("first_row", "i8"),  # of its bars, in the rows of all symbols
        ("tick_size", "f8"),  # NaN: a share of the ATR
        ("bar_minutes", "f8"),  # length of its bars
        ("minutes_per_bar", "f8"),  # what a bar counts in parameters that are minutes
    ]
)

# The account as it stood at the end of the step before, and what moves in between.
ACCOUNT = np.dtype(
    [
        *((name, "f8") for name in ("equity", "high", "drawdown", "daily_loss")),
        *((name, "i8") for name in ("losses", "last_loss_step", "last_loss_day")),
        *((name, "f8") for name in ("cash", "day_start_equity")),
        *(
            (name, "i8")
            for name in ("day", "losses_now", "last_loss_step_now", "last_loss_day_now")
        ),
    ]
)

# One position, from the decision to enter on.
POSITION = np.dtype(
    [
        *((name, "i8") for name in ("open", "waiting", "trade", "signal_bar", "entry_bar")),
        *((name, "i8") for name in ("at", "day")),  # row and UTC day of its symbol's latest bar
        ("step", "i8"),  # in which that bar, or the signal bar, ended
        *((name, "i8") for name in ("entry_step", "regime", "stop_kind", "exit_ordered")),
        *((name, "f8") for name in ("side", "confidence", "latest_confidence", "atr", "tick")),
        *((name, "f8") for name in ("entry", "risk", "initial_stop", "stop", "peak", "worst")),
        *((name, "f8") for name in ("quantity", "share", "equity_before", "drawdown_before")),
        *((name, "f8") for name in ("far_end", "signal_volume", "last_close")),
        *((name, "f8") for name in ("pnl", "costs", "closed_value")),  # in money, so far
        *((name, "f8") for name in ("banked", "sold")),  # by partials: net profit, and quantity
        *((name, "i8") for name in ("against", "under_total", "regime_off", "pattern_failed")),
        *((name, "f8") for name in ("under_run", "fall", "fall_before")),
        *((name, "i8") for name in ("sideways", "outside", "sideways_bars")),
        *((name, "i8") for name in ("breakeven_bar", "trailing_bar")),
        ("trailing_from_r", "f8"),
        *((name, "i8") for name in ("n_moves", "last_move", "n_stop_moves")),
        ("moved", "f8"),  # by how much the stop was moved in all, in price units
        *((name, "i8") for name in ("n_updates", "last_update", "n_partials", "n_rejected")),
        ("last_evaluator_bar", "i8"),
        ("taken", "i8", (3,)),
        ("touched_bar", "i8", (3,)),  # -1: not waiting
        ("ordered", "f8", (4,)),  # partials for the next open: 1 for the targets, a share of
        # what is left for the evaluator
    ]
)

# The numbers of one close of one open position.
CLOSE = np.dtype(
    [
        *((name, "f8") for name in ("r", "ticks", "minutes", "peak_r", "peak_ticks")),
        *((name, "f8") for name in ("given_back", "haste", "move")),
        *((name, "i8") for name in ("age", "runner", "recovery", "dead")),
    ]
)
