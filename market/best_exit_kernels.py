"""Compiled loops behind the best exit: trades by a table of values, and the fit of that table.

A table holds, for each order A that may be given at a close, its value in mean ranges: linear
between nodes of the pull (Z) and of the room to the stop (Y), with one share for each factor K of
volatility and hour. Axes beside these: T bars, N trades, S stops to choose from, C columns.
"""

import numpy as np

from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray, compiled

NOT_ENDED = -1


@compiled
def _cell(node_I: FloatArray, value: float) -> tuple[int, float]:
    """Return the node below a value, and how far on the way to the next; ends are held."""
    last = len(node_I) - 1
    if value <= node_I[0]:
        return 0, 0.0
    if value >= node_I[last]:
        return last - 1, 1.0
    i = int(np.searchsorted(node_I, value)) - 1
    return i, (value - node_I[i]) / (node_I[i + 1] - node_I[i])


@compiled
def value_at(
    table_ZYK: FloatArray,
    pull_Z: FloatArray,
    room_Y: FloatArray,
    pull: float,
    room: float,
    factor_K: FloatArray,
) -> float:
    """Return what a table gives between its nodes, in mean ranges."""
    z, a = _cell(pull_Z, pull)
    y, b = _cell(room_Y, room)
    value = 0.0
    for k in range(len(factor_K)):
        near = (1.0 - b) * table_ZYK[z, y, k] + b * table_ZYK[z, y + 1, k]
        far = (1.0 - b) * table_ZYK[z + 1, y, k] + b * table_ZYK[z + 1, y + 1, k]
        value += factor_K[k] * ((1.0 - a) * near + a * far)
    return value


@compiled
def _order(
    table_AZYK: FloatArray,
    pull_Z: FloatArray,
    room_Y: FloatArray,
    stop_A: FloatArray,
    pull: float,
    room: float,
    factor_K: FloatArray,
) -> int:
    """Return the order of most value, among those that do not move the stop away."""
    best, most = 0, -np.inf
    for a in range(len(table_AZYK)):
        if stop_A[a] < room or stop_A[a] == np.inf:
            nearer = min(room, stop_A[a])
            value = value_at(table_AZYK[a], pull_Z, room_Y, pull, nearer, factor_K)
            if value > most:
                best, most = a, value
    return best


@compiled
def values(
    table_AZYK: FloatArray,
    pull_Z: FloatArray,
    room_Y: FloatArray,
    pull_N: FloatArray,
    room_N: FloatArray,
    factor_NK: FloatArray,
) -> FloatArray:
    """Return what each order is worth in each state."""
    value_NA = np.empty((len(pull_N), len(table_AZYK)))
    for n in range(len(pull_N)):
        for a in range(len(table_AZYK)):
            value_NA[n, a] = value_at(
                table_AZYK[a], pull_Z, room_Y, pull_N[n], room_N[n], factor_NK[n]
            )
    return value_NA


@compiled
def _trade(
    t: int,
    side: float,
    risk: float,
    buffer: float,
    order: int,
    price_TC: FloatArray,
    factor_TK: FloatArray,
    table_AZYK: FloatArray,
    pull_Z: FloatArray,
    room_Y: FloatArray,
    hold_A: IndexArray,
    stop_A: FloatArray,
    asks_left: int,
) -> tuple[int, float, float, bool]:
    """Play one trade from the close of bar ``t``, which is the next open.

    Returns the bar in which it ends, its gain, the same less what nobody could foresee, and
    whether the stop ended it. `NOT_ENDED` where the bars do.
    """
    entry = price_TC[t, 2]
    stop = entry - side * risk
    foreseen = 0.0
    due = t + hold_A[order]
    u = t
    while u + 1 < len(price_TC):
        u += 1
        close, span = price_TC[u, 2], price_TC[u, 5]
        foreseen += side * price_TC[u, 3]
        worst = price_TC[u, 1] if side > 0.0 else price_TC[u, 0]
        hard = stop - side * buffer
        if side * (worst - hard) <= 0.0:
            # What is left of the bar behind the stop was not the trade's.
            return u, side * (hard - entry), foreseen + side * (hard - close), True
        room = side * (close - stop) / span
        if u < due and room > 0.0:
            continue
        if order == 0 or asks_left == 0 or room <= 0.0:
            return u, side * (close - entry), foreseen, False
        pull = side * price_TC[u, 4]
        order = _order(table_AZYK, pull_Z, room_Y, stop_A, pull, room, factor_TK[u])
        if stop_A[order] < np.inf:
            stop = close - side * stop_A[order] * span
        asks_left -= 1
        due = u + hold_A[order]
        if due == u:
            return u, side * (close - entry), foreseen, False
    return NOT_ENDED, np.nan, np.nan, False


@compiled
def play(
    bar_N: IndexArray,
    side_N: FloatArray,
    risk_N: FloatArray,
    buffer_N: FloatArray,
    order_N: IndexArray,
    price_TC: FloatArray,
    factor_TK: FloatArray,
    table_AZYK: FloatArray,
    pull_Z: FloatArray,
    room_Y: FloatArray,
    hold_A: IndexArray,
    stop_A: FloatArray,
    max_asks: int,
) -> tuple[IndexArray, FloatArray, FloatArray, BoolArray]:
    """Play trades alone, each with its first order; see `_trade`.

    ``price_TC``: high, low, close, expected move of the bar, state's stretch, mean range.
    """
    end_N = np.empty(len(bar_N), dtype=np.int64)
    gain_N, foreseen_N = np.empty(len(bar_N)), np.empty(len(bar_N))
    stopped_N = np.empty(len(bar_N), dtype=np.bool_)
    for n in range(len(bar_N)):
        end_N[n], gain_N[n], foreseen_N[n], stopped_N[n] = _trade(
            bar_N[n],
            side_N[n],
            risk_N[n],
            buffer_N[n],
            order_N[n],
            price_TC,
            factor_TK,
            table_AZYK,
            pull_Z,
            room_Y,
            hold_A,
            stop_A,
            max_asks,
        )
    return end_N, gain_N, foreseen_N, stopped_N


@compiled
def add_to_normal_equations(
    normal_AII: FloatArray,
    moment_AI: FloatArray,
    order_N: IndexArray,
    pull_N: FloatArray,
    room_N: FloatArray,
    factor_NK: FloatArray,
    gain_N: FloatArray,
    pull_Z: FloatArray,
    room_Y: FloatArray,
) -> None:
    """Add trades to the least squares of their kind; each touches but 4 K columns."""
    n_factors = factor_NK.shape[1]
    column_C = np.empty(4 * n_factors, dtype=np.int64)
    weight_C = np.empty(4 * n_factors)
    for n in range(len(order_N)):
        z, a = _cell(pull_Z, pull_N[n])
        y, b = _cell(room_Y, room_N[n])
        for corner in range(4):
            far_z, far_y = corner // 2, corner % 2
            share = (a if far_z else 1.0 - a) * (b if far_y else 1.0 - b)
            node = (z + far_z) * len(room_Y) + y + far_y
            for k in range(n_factors):
                column_C[corner * n_factors + k] = node * n_factors + k
                weight_C[corner * n_factors + k] = share * factor_NK[n, k]
        normal_II, moment_I = normal_AII[order_N[n]], moment_AI[order_N[n]]
        for i in range(len(column_C)):
            moment_I[column_C[i]] += weight_C[i] * gain_N[n]
            for j in range(len(column_C)):
                normal_II[column_C[i], column_C[j]] += weight_C[i] * weight_C[j]
