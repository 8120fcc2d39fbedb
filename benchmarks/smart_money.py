"""What our features and the package smartmoneyconcepts call by one name, side by side.

Fair value gaps are the same thing in both. Their swings need four bars before and five after, may
equal a neighbour, and must alternate, which is settled by later swings; ours need five and five.
Their breaks need a pattern of four such swings; ours are closes through the latest swing known.
Their order block is the extreme bar before a break; ours the last candle against it, after a move.

Axes: T bars.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from market.bars import Bars, FloatArray
from market.features.indicators import wilder_atr
from market.features.structure import market_structure, swing_highs
from market.features.zones import OrderBlocks, Prices, gap_bars, track_gaps, track_order_blocks

PACKAGE, INSTALL = "smartmoneyconcepts", "python -m pip install --editable '.[dev]'"
SWING_LENGTH = 5

Found = set[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a call to be timed, and its findings as (bar, direction)."""

    call: Callable[[], Any]
    found: Callable[[Any], Found]


def smart_money_concepts() -> Any | None:
    """Return the package's class; None where it is not installed."""
    os.environ.setdefault("SMC_CREDIT", "0")  # it greets on standard output otherwise
    try:
        return importlib.import_module(f"{PACKAGE}.smc").smc
    except ImportError:
        return None


def ours(bars: Bars) -> dict[str, Side]:
    """Return our side of each comparison."""
    prices = Prices.of(bars)
    atr_T = wilder_atr(prices.high_T, prices.low_T, prices.close_T, 14)
    swings = _swings(prices)
    structure = market_structure(prices.high_T, prices.low_T, prices.close_T, *swings)
    return {
        "fair_value_gaps": Side(partial(_gaps, bars), partial(_coloured, bars)),
        "swings": Side(partial(_swings, prices), _peaks),
        "breaks": Side(
            partial(market_structure, prices.high_T, prices.low_T, prices.close_T, *swings),
            lambda found: _at(found.break_T),
        ),
        "order_blocks": Side(partial(_blocks, prices, atr_T, structure.break_T), _candles),
    }


def _gaps(bars: Bars) -> Any:
    """Find gaps of any height on both sides, and follow them until they are filled."""
    prices = Prices.of(bars)
    no_least_T = np.zeros(len(bars))
    found = []
    for side in (prices, prices.mirrored()):
        gap_T = gap_bars(side, no_least_T, 0.0)
        track_gaps(side, gap_T, max_age_bars=len(bars))
        found.append(gap_T)
    return found[0].astype(np.int8) - found[1].astype(np.int8)


def _coloured(bars: Bars, gap_T: Any) -> Found:
    """Return the middle bars of gaps, where they rise or fall as the gap does: theirs must."""
    body_T = np.sign(bars.close_T - bars.open_T)[1:-1]
    return _at(np.concatenate([[0], np.where(gap_T[2:] == body_T, body_T, 0), [0]]))


def _swings(prices: Prices) -> tuple[FloatArray, FloatArray]:
    high_T = swing_highs(prices.high_T, SWING_LENGTH)
    return high_T, -swing_highs(-prices.low_T, SWING_LENGTH)


def _peaks(known: tuple[FloatArray, FloatArray]) -> Found:
    """Return where the swings were; they became known so many bars later."""
    return {
        (int(bar) - SWING_LENGTH, direction)
        for direction, known_T in zip((1, -1), known, strict=True)
        for bar in np.flatnonzero(np.isfinite(known_T))
    }


def _blocks(prices: Prices, atr_T: FloatArray, break_T: Any) -> list[OrderBlocks]:
    settings = {"lookback_bars": 20, "displacement_atr": 1.0, "max_age_bars": 100}
    sides = ((prices, break_T > 0), (prices.mirrored(), break_T < 0))
    return [track_order_blocks(side, atr_T, broke_T, **settings) for side, broke_T in sides]  # type: ignore[arg-type]


def _candles(sides: list[OrderBlocks]) -> Found:
    found: Found = set()
    for direction, side in zip((1, -1), sides, strict=True):
        formed_T = side.zones.formed_T
        new_T = formed_T == np.arange(len(formed_T))
        found |= {(int(bar), direction) for bar in side.candle_T[new_T]}
    return found


def theirs(package: Any, bars: Bars) -> dict[str, Side]:
    """Return the package's side of each comparison."""
    import pandas as pd

    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: getattr(bars, f"{name}_T") for name in names})
    swings = package.swing_highs_lows(frame, swing_length=SWING_LENGTH)
    return {
        "fair_value_gaps": Side(partial(package.fvg, frame), lambda found: _at(found["FVG"])),
        "swings": Side(
            partial(package.swing_highs_lows, frame, swing_length=SWING_LENGTH),
            # Its first and last row are marked whatever the bars are.
            lambda found: _at(np.concatenate([[0], found["HighLow"][1:-1], [0]])),
        ),
        "breaks": Side(partial(package.bos_choch, frame, swings), _broken),
        "order_blocks": Side(partial(package.ob, frame, swings), lambda found: _at(found["OB"])),
    }


def _broken(found: Any) -> Found:
    """Return the bars that close through a level; theirs are listed at the level's own bar."""
    direction_T = found["BOS"].fillna(found["CHOCH"])
    broken = found["BrokenIndex"].notna() & direction_T.notna()
    pairs = zip(found["BrokenIndex"][broken], direction_T[broken], strict=True)
    return {(int(bar), int(direction)) for bar, direction in pairs}


def _at(direction_T: Any) -> Found:
    """Return the bars whose direction is neither 0 nor NaN."""
    direction_T = np.nan_to_num(np.asarray(direction_T, dtype=np.float64))
    return {(int(bar), int(direction_T[bar])) for bar in np.flatnonzero(direction_T)}
