"""What a net has changed in a replay: its decisions against the defaults, by state.

Axes: K decisions.
"""

import numpy as np
import polars as pl

from backtest.replayed import Replayed
from exits.effects import SESSIONS, DecisionStates, Effect, effects
from exits.experience import session_of

_SESSION_OF_HOUR = np.array([SESSIONS.index(session_of(hour)) for hour in range(24)])


def replay_effects(replayed: Replayed, source: str) -> tuple[Effect, ...]:
    """Return the parameters that one source has moved most from their defaults.

    Parameters
    ----------
    replayed : Replayed
    source : str
        Whose decisions are looked at.
    """
    columns = ["trade_id", "regime", "side"]
    trades = pl.concat([replayed.trades.select(columns), replayed.open_positions.select(columns)])
    decisions = replayed.decisions.with_row_index("row").filter(pl.col("source") == source)
    known = decisions.join(trades, on="trade_id", how="inner", maintain_order="left")
    if not known.height:
        return ()
    states = DecisionStates(
        regime_K=known["regime"].to_numpy(),
        session_K=_SESSION_OF_HOUR[known["time"].dt.hour().to_numpy()],
        side_K=(known["side"] == "SHORT").cast(pl.Int64).to_numpy(),
        numbers={"r at the decision": known["r"].to_numpy()},
    )
    decided_KP = replayed.decided_KP[known["row"].to_numpy()]
    return effects(decided_KP, known["atr"].to_numpy(), states)
