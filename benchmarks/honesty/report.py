"""What the finished runs say: rates with their intervals, beside what is promised."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.honesty.grids import (
    GRIDS,
    LEAST_POWER,
    MOST_FALSE_DEPLOYS,
    MOST_OVERSTATED_POINTS,
    POWER_FOR_ACCURACY,
    RULES,
    Cell,
)

Record = Mapping[str, Any]
Verdict = Literal["kept", "kept, not settled", "broken, not settled", "broken", ""]

CONFIDENCE = 0.95
SMALL_P = 0.05


@dataclass(frozen=True, slots=True)
class Rate:
    """A share, and the 95% interval of Clopper and Pearson (Biometrika 26, 1934) around it.

    Attributes
    ----------
    hits, n : int
    """

    hits: int
    n: int

    @property
    def share(self) -> float:
        """Hits per trial; NaN without any."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest share that the hits are compatible with."""
        from scipy.stats import beta

        tail = (1 - CONFIDENCE) / 2
        misses = self.n - self.hits
        low = float(beta.ppf(tail, self.hits, misses + 1)) if self.hits else 0.0
        high = float(beta.ppf(1 - tail, self.hits + 1, misses)) if misses else 1.0
        return low, high

    def at_most(self, promised: float) -> Verdict:
        """Say whether a promise that the share is not above a limit is kept."""
        low, high = self.interval
        return _verdict(self.n, self.share <= promised, high <= promised or low > promised)

    def at_least(self, promised: float) -> Verdict:
        """Say whether a promise that the share is not below a limit is kept."""
        low, high = self.interval
        return _verdict(self.n, self.share >= promised, low >= promised or high < promised)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was found in a cell, or in several nulls together.

    Attributes
    ----------
    grid, label, rule : str
    n_rows : int
    world : str or None
        None where several are taken together.
    is_null : bool
    runs : Rate
        Runs that deployed anything.
    symbols : Rate
        Symbols that were deployed.
    small_p : Rate
        Symbols whose own p-value, unadjusted, is below 0.05, of those that have one.
    overstated_points : float or None
        Mean of the printed less the accuracy on fresh rows, over deployed symbols.
    overstated_error : float or None
        Its standard error; None for fewer than two.
    fresh_accuracy, bayes_accuracy : float or None
        Means over deployed symbols: what they reach on fresh rows, and what could be reached.
    seconds : float
        Mean CPU time of a run.
    """

    grid: str
    label: str
    rule: str
    n_rows: int
    world: str | None
    is_null: bool
    runs: Rate
    symbols: Rate
    small_p: Rate
    overstated_points: float | None
    overstated_error: float | None
    fresh_accuracy: float | None
    bayes_accuracy: float | None
    seconds: float

    @property
    def promised(self) -> float | None:
        """Highest share of runs on noise, least share of symbols with a signal."""
        if self.is_null:
            return MOST_FALSE_DEPLOYS
        return LEAST_POWER.get((self.world or "", self.n_rows))

    @property
    def verdict(self) -> Verdict:
        """Whether the promise on how much is deployed is kept."""
        if self.promised is None:
            return ""
        if self.is_null:
            return self.runs.at_most(self.promised)
        return self.symbols.at_least(self.promised)

    @property
    def accuracy_verdict(self) -> Verdict:
        """Whether the promise on the printed accuracy, made where power is high, is kept."""
        points, error = self.overstated_points, self.overstated_error
        if self.is_null or points is None or self.symbols.share <= POWER_FOR_ACCURACY:
            return ""
        margin = abs(points - MOST_OVERSTATED_POINTS)
        settled = error is not None and margin > 1.96 * error
        return _verdict(self.symbols.n, points <= MOST_OVERSTATED_POINTS, settled)


def summaries(grid: str, records: Sequence[Record]) -> list[Summary]:
    """Summarise the finished runs of a grid, cell by cell in its order, then nulls together."""
    found: list[Summary] = []
    for cell in GRIDS[grid].cells:
        own = [one for one in records if one["cell"] == cell.name]
        if own:
            found.append(_summary(grid, cell.world, cell, own))
    return found + list(_nulls_together(grid, records))


def markdown(found: Sequence[Summary]) -> str:
    """Return a page with a table of nulls and one of signals."""
    nulls = [one for one in found if one.is_null]
    signals = [one for one in found if not one.is_null]
    parts = ["# Honesty: what is deployed of noise, and what of signals\n", _INTRODUCTION]
    if nulls:
        parts += ["## Noise\n", _table(_NULL_HEADINGS, map(_null_row, nulls))]
    if signals:
        parts += ["## Signals\n", _table(_SIGNAL_HEADINGS, map(_signal_row, signals))]
    return "\n".join(parts)


_INTRODUCTION = (
    "Runs of 11 simulated symbols each, by `pipelines.train_all` as it stands. In brackets: 95% "
    "intervals (Clopper-Pearson). *Not settled*: the promise lies within the interval. *p < 0.05*: "
    "symbols whose own p-value is, before adjustment. *Overstated*: printed accuracy less that on "
    "fresh rows, in points, with its standard error.\n"
)
_NULL_HEADINGS = (
    *("grid", "noise", "rows", "rule", "runs", "runs that deployed", "promised", ""),
    *("symbols deployed", "p < 0.05", "overstated", "CPU s a run"),
)
_SIGNAL_HEADINGS = (
    *("grid", "signal", "rows", "rule", "runs", "symbols deployed", "promised", ""),
    *("overstated", "promised", "", "fresh accuracy (attainable)", "CPU s a run"),
)


def _null_row(one: Summary) -> tuple[str, ...]:
    return (
        *(one.grid, one.label, str(one.n_rows), one.rule, str(one.runs.n)),
        *(_rate(one.runs), f"<= {MOST_FALSE_DEPLOYS:.0%}", one.verdict),
        *(_rate(one.symbols), _rate(one.small_p), _overstated(one), f"{one.seconds:.1f}"),
    )


def _signal_row(one: Summary) -> tuple[str, ...]:
    promised = "" if one.promised is None else f">= {one.promised:.0%}"
    limit = f"<= {MOST_OVERSTATED_POINTS:g}" if one.accuracy_verdict else ""
    fresh = "" if one.fresh_accuracy is None else f"{one.fresh_accuracy:.3f}"
    reach = "" if one.bayes_accuracy is None else f" ({one.bayes_accuracy:.3f})"
    return (
        *(one.grid, one.label, str(one.n_rows), one.rule, str(one.runs.n)),
        *(_rate(one.symbols), promised, one.verdict),
        *(_overstated(one), limit, one.accuracy_verdict, fresh + reach, f"{one.seconds:.1f}"),
    )


def _rate(rate: Rate) -> str:
    if not rate.n:
        return ""
    low, high = rate.interval
    return f"{rate.hits}/{rate.n} = {rate.share:.1%} ({low:.1%} to {high:.1%})"


def _overstated(one: Summary) -> str:
    if one.overstated_points is None:
        return ""
    error = "" if one.overstated_error is None else f" ± {one.overstated_error:.1f}"
    return f"{one.overstated_points:+.1f}{error}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _nulls_together(grid: str, records: Sequence[Record]) -> Iterable[Summary]:
    """Yield one summary per rule and number of rows, over all worlds without a signal."""
    cells = [cell for cell in GRIDS[grid].cells if cell.is_null]
    for rule in RULES:
        for n_rows in sorted({cell.n_rows for cell in cells}):
            alike = [cell for cell in cells if cell.rule == rule and cell.n_rows == n_rows]
            names = {cell.name for cell in alike}
            own = [one for one in records if one["cell"] in names]
            if len({one["cell"] for one in own}) > 1:
                yield _summary(grid, None, alike[0], own)


def _summary(grid: str, world: str | None, cell: Cell, records: Sequence[Record]) -> Summary:
    symbols = [one for record in records for one in record["symbols"].values()]
    deployed = [one for one in symbols if one["selected_model"] is not None]
    p_values = [one["p_value"] for one in symbols if one["p_value"] is not None]
    points = [100 * (one["printed_accuracy"] - one["fresh_accuracy"]) for one in deployed]
    return Summary(
        grid=grid,
        label=f"all of {grid}" if world is None else world,
        rule=cell.rule,
        n_rows=cell.n_rows,
        world=world,
        is_null=cell.is_null,
        runs=Rate(sum(map(_deployed_any, records)), len(records)),
        symbols=Rate(len(deployed), len(symbols)),
        small_p=Rate(sum(p < SMALL_P for p in p_values), len(p_values)),
        overstated_points=_mean(points),
        overstated_error=_standard_error(points),
        fresh_accuracy=_mean([one["fresh_accuracy"] for one in deployed]),
        bayes_accuracy=_mean([one["bayes_accuracy"] for one in deployed]),
        seconds=float(np.mean([one["cpu_seconds"] for one in records])),
    )


def _deployed_any(record: Record) -> bool:
    return any(one["selected_model"] is not None for one in record["symbols"].values())


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _standard_error(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _verdict(n: int, kept: bool, settled: bool) -> Verdict:
    if not n:
        return ""
    if kept:
        return "kept" if settled else "kept, not settled"
    return "broken" if settled else "broken, not settled"
