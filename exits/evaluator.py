"""Hold against exit: a transparent score for a position that is open (docs/evaluator.md)."""

import difflib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from exits.rules.evaluator_table import (
    ACTIONS,
    EVALUATOR,
    EXIT_FACTORS,
    FACTORS,
    FIRST_TIER,
    HOLD_FACTORS,
    N_FRACTIONS,
    N_HOLD,
    N_TIERS,
)

Action = Literal["HOLD", "PARTIAL_CLOSE", "CLOSE"]

_IN_WORDS = {
    "regime_intact": "regime intact",
    "volatility_expanding": "volatility expanding",
    "momentum_with": "momentum with the position",
    "confidence_high": "confidence high",
    "fresh": "position fresh",
    "near_peak": "near its peak",
    "regime_changed": "regime changed",
    "volatility_contracting": "volatility contracting",
    "confidence_degraded": "confidence degraded",
    "old": "position old",
    "off_peak": "well off its peak",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionState:
    """An open position as it stands at the close of a bar.

    Attributes
    ----------
    regime_changed : bool
        Whether the bar's regime is another than the signal bar's.
    atr_ratio : float
        ATR of the bar / ATR of the signal bar.
    momentum_atr : float
        Move in the position's favour over the last ``momentum_bars`` bars, in ATR; NaN where there
        are fewer.
    entry_confidence : float
        Probability of winning, at the entry.
    latest_confidence : float or None
        Of the latest signal since, seen from the position's side: of a signal against the position
        1 - its confidence. None where there was none.
    age_bars : int
        Bars since the entry bar, which counts 1.
    r, peak_r : float
        Profit at the close and the best since the entry (at least 0), in R.
    bars_since_partial : int or None
        Since the evaluator last decided on a partial close; None where it never did.
    share_left : float
        What is still open, as a share of the original position.

    Raises
    ------
    ValueError
        If a number lies outside what it can be.
    """

    regime_changed: bool
    atr_ratio: float
    momentum_atr: float
    entry_confidence: float
    latest_confidence: float | None = None
    age_bars: int
    r: float
    peak_r: float
    bars_since_partial: int | None = None
    share_left: float = 1.0

    def __post_init__(self) -> None:
        if self.age_bars < 1:
            raise ValueError(f"age_bars must be at least 1, was {self.age_bars}")
        if not 0 < self.share_left <= 1:
            raise ValueError(f"share_left must be in (0, 1], was {self.share_left}")
        if not self.peak_r >= max(self.r, 0.0):
            raise ValueError(f"peak_r must be at least 0 and r ({self.r}), was {self.peak_r}")

    @property
    def given_back(self) -> float:
        """Share of the peak profit that is gone; 0 where there was none."""
        return (self.peak_r - self.r) / self.peak_r if self.peak_r > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was decided, and why.

    Attributes
    ----------
    action : {"HOLD", "PARTIAL_CLOSE", "CLOSE"}
    fraction : float
        Of what is left: 0 to hold, 1 to close.
    hold, exit : float
        Points for each side.
    factors : tuple of str
        What counted, in words, such as ``"regime changed: 5 for an exit"``.
    reason : str
        The decision in one sentence.
    """

    action: Action
    fraction: float
    hold: float
    exit: float
    factors: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExitEvaluator:
    """Decides to hold a position, to close a part of it, or to close it, by a table of points.

    Every field is a key of ``conf/evaluator/points.yaml``, which says what it means. Replays hand
    `table` to the compiled rule (``exits.rules.evaluator.evaluate``); `evaluate` asks the same rule
    about one position.

    Raises
    ------
    ValueError
        If the table lacks a factor or has an unknown one, a list has a wrong length or order, or
        thresholds overlap so that a factor and its contrary could both count.
    """

    hold: dict[str, float]
    exit: dict[str, float]
    r_above: list[float]
    r_points: list[float]
    close_margin: float
    partial_margin: float
    fractions: list[float]
    close_at_r: float
    cooldown_bars: int
    volatility_expanding_above: float
    volatility_contracting_below: float
    momentum_bars: int
    momentum_min_atr: float
    confidence_high_from: float
    confidence_drop: float
    fresh_bars: int
    old_bars: int
    peak_min_r: float
    near_peak_given_back: float
    off_peak_given_back: float

    def __post_init__(self) -> None:
        _check_points("hold", self.hold, HOLD_FACTORS)
        _check_points("exit", self.exit, EXIT_FACTORS)
        _check_list("r_above", self.r_above, N_TIERS, falling=True)
        _check_list("r_points", self.r_points, N_TIERS, falling=True)
        _check_list("fractions", self.fractions, N_FRACTIONS, falling=False)
        if not 0 < self.fractions[0] <= self.fractions[-1] <= 1:
            raise ValueError(f"fractions must be in (0, 1], were {self.fractions}")
        for low, high in (
            ("partial_margin", "close_margin"),
            ("volatility_contracting_below", "volatility_expanding_above"),
            ("fresh_bars", "old_bars"),
            ("near_peak_given_back", "off_peak_given_back"),
        ):
            if not getattr(self, low) < getattr(self, high):
                found = f"{getattr(self, low)} and {getattr(self, high)}"
                raise ValueError(f"{low} must be below {high}, they were {found}")
        for name, least in (("momentum_bars", 1), ("fresh_bars", 0), ("cooldown_bars", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, was {getattr(self, name)}")
        for name in ("peak_min_r", "confidence_drop", "momentum_min_atr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, was {getattr(self, name)}")

    @cached_property
    def table(self) -> npt.NDArray[Any]:
        """The table as the compiled rule reads it: one record of ``EVALUATOR``, shape (1,)."""
        table = np.zeros(1, EVALUATOR)
        sides = [self.hold[name] for name in HOLD_FACTORS]
        sides += [self.exit[name] for name in EXIT_FACTORS]
        table["points"] = [*sides, *self.r_points]
        for name in EVALUATOR.names or ():
            if name != "points":
                table[name] = getattr(self, name)
        table.flags.writeable = False
        return table

    def evaluate(self, state: PositionState, *, min_share: float = 0.05) -> Evaluation:
        """Decide about one position; ``min_share`` of the original is the least worth an order.

        The first call compiles the rule, which takes about a second.
        """
        from exits.rules.evaluator import evaluate, factors

        latest = math.nan if state.latest_confidence is None else state.latest_confidence
        pause = math.inf if state.bars_since_partial is None else float(state.bars_since_partial)
        facts = (
            int(state.regime_changed),
            float(state.atr_ratio),
            float(state.momentum_atr),
            float(state.entry_confidence),
            float(latest),
            int(state.age_bars),
            float(state.r),
            float(state.peak_r),
            float(state.given_back),
        )
        record = self.table[0]
        found = factors(record, *facts)
        decided = evaluate(record, *facts, pause, float(state.share_left), float(min_share))
        action, fraction, hold, leave = decided
        return Evaluation(
            action=cast(Action, ACTIONS[action]),
            fraction=fraction,
            hold=hold,
            exit=leave,
            factors=tuple(self._words(k) for k in range(len(FACTORS)) if found >> k & 1),
            reason=self._reason(ACTIONS[action], hold, leave, state),
        )

    def _words(self, factor: int) -> str:
        name = FACTORS[factor]
        words = _IN_WORDS.get(name) or f"R > {self.r_above[factor - FIRST_TIER]:g}"
        side = "for holding" if factor < N_HOLD else "for an exit"
        return f"{words}: {self.table['points'][0, factor]:g} {side}"

    def _reason(self, action: str, hold: float, leave: float, state: PositionState) -> str:
        scores = f"{leave:g} points for an exit, {hold:g} for holding"
        difference = leave - hold
        if action == "CLOSE":
            at_once = state.r > self.close_at_r
            why = f"R is above {self.close_at_r:g}" if at_once else scores
            return f"{why}: closed"
        if action == "PARTIAL_CLOSE":
            return f"{scores}: a part is closed"
        if difference < self.partial_margin:
            return f"{scores}: held"
        if state.bars_since_partial is not None and state.bars_since_partial < self.cooldown_bars:
            ago = f"the last one was {state.bars_since_partial} bars ago"
            return f"{scores}: held, as {ago}, less than {self.cooldown_bars}"
        return f"{scores}: held, as a part or what it leaves would be too small"


def _check_points(side: str, points: Mapping[str, float], factors: Sequence[str]) -> None:
    for name, value in points.items():
        if name not in factors:
            close = difflib.get_close_matches(name, factors, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(factors)}"
            raise ValueError(f"{side}.{name}: unknown factor, {hint}")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{side}.{name} must be at least 0, was {value}")
    for name in factors:
        if name not in points:
            raise ValueError(f"{side}.{name} is missing")


def _check_list(name: str, values: Sequence[float], length: int, *, falling: bool) -> None:
    if len(values) != length:
        raise ValueError(f"{name} must hold {length} numbers, was {values}")
    for one, other in itertools.pairwise(values):
        if not (one > other if falling else one <= other):
            order = "fall" if falling else "not fall"
            raise ValueError(f"{name} must {order} from one to the next, was {values}")
