"""Lists of trades, and in what two of them differ.

Axes: K trades.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray

# Sums may be rounded differently.
TOLERANCE = 1e-9

IN_A_POSITION = "was in a position"
AT_AN_EXIT = "takes no signal at the close of a bar in which a trade has ended"
UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Trades:
    """Closed trades in the order of their entries.

    Attributes
    ----------
    signal_bar, entry_bar, exit_bar : int64 arrays, shape (n_trades,)
        An entry decided at the close of the signal bar fills at the open of the entry bar.
    side : int64 array, shape (n_trades,)
    entry_price, exit_price : float64 arrays, shape (n_trades,)
    by_stop_or_target : bool array, shape (n_trades,)
        False where something else has ended the trade.
    open_since : int or None
        Signal bar of a trade that is still open at the end.
    """

    signal_bar: IndexArray
    side: IndexArray
    entry_bar: IndexArray
    exit_bar: IndexArray
    entry_price: FloatArray
    exit_price: FloatArray
    by_stop_or_target: BoolArray
    open_since: int | None = None

    def __len__(self) -> int:
        return len(self.signal_bar)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two lists of trades, matched by signal bar.

    Attributes
    ----------
    equal : int
        Trades of the same side with the same entry bar, exit bar and prices.
    different : dict of str to int
        Trades that both have, by what differs first.
    only_ours, only_theirs : dict of str to int
        Trades that one side has, by what the other did at their signal.
    """

    equal: int
    different: dict[str, int] = field(default_factory=dict)
    only_ours: dict[str, int] = field(default_factory=dict)
    only_theirs: dict[str, int] = field(default_factory=dict)

    @property
    def unequal(self) -> int:
        """How many trades differ or have no match."""
        return sum(
            sum(counts.values()) for counts in (self.different, self.only_ours, self.only_theirs)
        )


def compared(ours: Trades, theirs: Trades) -> Compared:
    """Match two lists of trades by their signals and say in what they differ."""
    _, our_K, their_K = np.intersect1d(ours.signal_bar, theirs.signal_bar, return_indices=True)
    differences = Counter(_difference(ours, theirs, our_K, their_K).tolist())
    equal = differences.pop("", 0)
    return Compared(
        equal,
        dict(differences),
        _unmatched(ours, our_K, theirs),
        _unmatched(theirs, their_K, ours),
    )


def _difference(ours: Trades, theirs: Trades, our_K: IndexArray, their_K: IndexArray) -> Any:
    """Return for each matched pair what differs first; an empty text where nothing does."""
    found_K = np.full(len(our_K), "", object)
    for name in ("exit_price", "exit_bar", "entry_price", "entry_bar", "side"):
        our, their = getattr(ours, name)[our_K], getattr(theirs, name)[their_K]
        differs_K = ~np.isclose(our, their, rtol=TOLERANCE, atol=0.0)
        found_K[differs_K] = name.replace("_", " ")
    return found_K


def _unmatched(trades: Trades, matched_K: IndexArray, others: Trades) -> dict[str, int]:
    """Count the trades that the others do not have, by what these did at their signals."""
    signal_bar = np.delete(trades.signal_bar, matched_K)
    ended = np.isin(signal_bar, others.exit_bar)
    # The latest trade that the others had begun by then.
    latest = np.searchsorted(others.signal_bar, signal_bar) - 1
    last_exit = np.append(others.exit_bar, -1)[latest]
    busy = (latest >= 0) & (signal_bar < last_exit)
    if others.open_since is not None:
        busy |= signal_bar >= others.open_since
    why = np.where(ended, AT_AN_EXIT, np.where(busy, IN_A_POSITION, UNEXPLAINED))
    return dict(Counter(why.tolist()))
