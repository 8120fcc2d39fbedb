"""Hold against exit, for the slow reference: the evaluator's score of a position at a close."""

from dataclasses import dataclass

from tests.backtest.reference_position import Numbers, Position

HOLD, PARTIAL_CLOSE, CLOSE = "HOLD", "PARTIAL_CLOSE", "CLOSE"


@dataclass(frozen=True, slots=True)
class Table:
    regime_intact: float = 2.0
    volatility_expanding: float = 1.0
    momentum_with: float = 2.0
    confidence_high: float = 1.0
    fresh: float = 1.0
    near_peak: float = 1.0
    regime_changed: float = 5.0
    volatility_contracting: float = 3.0
    confidence_degraded: float = 4.0
    old: float = 3.0
    off_peak: float = 3.0
    r_tiers: tuple[tuple[float, float], ...] = ((8, 6), (5, 4), (3, 3), (2, 1))
    fractions: tuple[tuple[float, float], ...] = ((-1, 0.25), (0, 0.35), (1, 0.45), (2, 0.55))
    cooldown_bars: int = 12


def verdict(pos: Position, n: Numbers) -> tuple[str, float]:
    table, min_share = n.settings.evaluator, n.settings.min_share
    if n.r > 8:
        return CLOSE, 1.0
    ahead = exit_score(pos, n, table) - hold_score(pos, n, table)
    if ahead > 2:
        return CLOSE, 1.0
    if ahead < -1:
        return HOLD, 0.0
    fraction = dict(table.fractions)[ahead]
    cooling = pos.last_evaluated is not None and (n.t - pos.last_evaluated < table.cooldown_bars)
    part = fraction * pos.left
    if cooling or part < min_share or pos.left - part < min_share:
        return HOLD, 0.0
    return PARTIAL_CLOSE, fraction


def hold_score(pos: Position, n: Numbers, table: Table) -> float:
    return (
        table.regime_intact * (pos.regime_off == 0)
        + table.volatility_expanding * (n.now.atr / pos.atr0 > 1.1)
        + table.momentum_with * (pos.side * n.now.momentum >= 0.5)
        + table.confidence_high * (pos.confidence >= 0.65)
        + table.fresh * (n.age <= 6)
        + table.near_peak * (n.peak_r >= 0.5 and n.given_back <= 0.1)
    )


def exit_score(pos: Position, n: Numbers, table: Table) -> float:
    seen = pos.last_seen_confidence
    return (
        table.regime_changed * (pos.regime_off > 0)
        + table.volatility_contracting * (n.now.atr / pos.atr0 < 0.9)
        + table.confidence_degraded * (seen is not None and pos.confidence - seen >= 0.1)
        + table.old * (n.age >= 48)
        + table.off_peak * (n.peak_r >= 0.5 and n.given_back >= 0.5)
        + next((points for r, points in table.r_tiers if n.r > r), 0.0)
    )
