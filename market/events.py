"""Which bars are events, and in which direction.

Axes: T bars, N events. At most one event a bar; an event is known at its bar's close.
"""

import numpy as np

from market.compiled import IndexArray, SignArray, compiled
from market.features.smc import SmcState


class SmcEvents:
    """Bars at which a smart-money-concept condition fires.

    Where several fire at one bar, a structure break goes before an order block, and an order block
    before a fair value gap.

    Parameters
    ----------
    breaks : bool
        A close through a swing (BOS or ChoCH); direction of the break.
    block_touches : bool
        The first return to an order block, not closing through it; direction of the block.
    gap_entries : bool
        The first return into a fair value gap, not filling it; direction of the gap.
    min_spacing_bars : int
        An event nearer than this to the one before it is left out.

    Raises
    ------
    ValueError
        If nothing may fire, or `min_spacing_bars` is below 1.
    """

    def __init__(
        self, *, breaks: bool, block_touches: bool, gap_entries: bool, min_spacing_bars: int
    ) -> None:
        if not (breaks or block_touches or gap_entries):
            raise ValueError("one of breaks, block_touches and gap_entries must be true")
        if min_spacing_bars < 1:
            raise ValueError(f"min_spacing_bars must be at least 1, was {min_spacing_bars}")
        self.breaks = breaks
        self.block_touches = block_touches
        self.gap_entries = gap_entries
        self.min_spacing_bars = min_spacing_bars

    def find(self, state: SmcState) -> tuple[IndexArray, SignArray]:
        """Return the bars of the events, ascending, and their directions (+1 or -1)."""
        fired_T = np.zeros(len(state), dtype=np.int8)
        for wanted, condition_T in (
            (self.gap_entries, state.gap_touch_T),
            (self.block_touches, state.block_touch_T),
            (self.breaks, state.break_T),
        ):
            if wanted:
                fired_T = np.where(condition_T != 0, condition_T, fired_T)
        fired_T[: state.warmup_bars] = 0
        bar_N = spaced(np.flatnonzero(fired_T), self.min_spacing_bars)
        return bar_N, fired_T[bar_N]


class EveryBar:
    """Every bar after the warm-up, in the direction of the trend bias; long where it has none."""

    def find(self, state: SmcState) -> tuple[IndexArray, SignArray]:
        """Return the bars of the events, ascending, and their directions (+1 or -1)."""
        bar_N = np.arange(min(state.warmup_bars, len(state)), len(state), dtype=np.int64)
        return bar_N, np.where(state.bias_T[bar_N] < 0, -1, 1).astype(np.int8)


@compiled
def spaced(bar_N: IndexArray, min_spacing_bars: int) -> IndexArray:
    """Return the bars that are left when each is followed by none nearer than the spacing."""
    kept_N = np.zeros(len(bar_N), dtype=np.bool_)
    last = -min_spacing_bars
    for n in range(len(bar_N)):
        if bar_N[n] - last >= min_spacing_bars:
            kept_N[n] = True
            last = bar_N[n]
    return bar_N[kept_N]
