"""The state of a decision in a few numbers, as seen from the trade: what effects may hang on.

Axes: N decisions, F the 208 features, J summaries.
"""

from typing import Final

import numpy as np

from exits.conditions import REGIMES
from exits.feature_table import INDEX
from market.bars import FloatArray

NAMES: Final = (
    "rsi with the trade",
    "VWAP distance with the trade",
    "confidence",
    "r",
    "MFE",
    "MAE",
    "bars held",
    "volume ratio",
    "volatility",
    "hour, sine",
    "hour, cosine",
    *REGIMES[1:],
)


def state_summaries(x_NF: FloatArray) -> FloatArray:
    """Return a few numbers on each decision's state, about -2 to 2 each.

    Parameters
    ----------
    x_NF : float64 array, shape (n_rows, 208)
        Raw features.

    Returns
    -------
    float64 array, shape (n_rows, len(NAMES))
    """

    def raw(name: str) -> FloatArray:
        column: FloatArray = x_NF[:, INDEX[name]]
        return column

    side_N = 1.0 - 2.0 * raw("side")
    turn_N = raw("market_state.hour") * (2.0 * np.pi / 24.0)
    regime_N = raw("regime")
    columns = [
        side_N * (np.clip(raw("market_state.rsi"), 0.0, 100.0) - 50.0) / 20.0,
        side_N * np.clip(raw("market_state.vwap_distance"), -4.0, 4.0) / 2.0,
        (np.clip(raw("entry_confidence"), 0.0, 1.0) - 0.5) * 10.0,
        np.clip(raw("r_multiple"), -2.0, 3.0),
        np.clip(raw("mfe"), 0.0, 4.0),
        np.clip(raw("mae"), -2.0, 0.0),
        np.log1p(np.maximum(raw("outcome.bars_held"), 0.0)) / 2.0,
        np.clip(raw("market_state.volume_ratio"), 0.0, 4.0) - 1.0,
        np.log1p(np.clip(raw("market_state.vix"), 0.0, 200.0)) - 2.5,
        np.sin(turn_N),
        np.cos(turn_N),
        *(np.where(regime_N == code, 1.0, 0.0) for code in range(1, len(REGIMES))),
    ]
    return np.stack(columns, axis=1)
