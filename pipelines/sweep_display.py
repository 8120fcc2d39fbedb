"""What a person sees while a sweep goes on: a live table on a terminal, now and then a line."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.console import is_in_force
from training.tuning.campaign import Plan, TrialEnded
from training.tuning.verdicts import Decided

REFRESH_HZ = 2
LINE_EVERY_S = 10.0
# Lines of the terminal that are left to what stands around the rows.
AROUND = 8

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Row:
    """What is known of one study."""

    symbol: str
    model: str
    n_trials: int = 0
    n_left: int = 0
    n_pruned: int = 0
    n_failed: int = 0
    first: float = math.nan
    best: float = math.nan
    verdict: str = ""

    @property
    def gain(self) -> float:
        known = not (math.isnan(self.first) or math.isnan(self.best))
        return self.first - self.best if known else 0.0


class SweepDisplay:
    """Shows studies while they are searched; a context manager, told of what happens in its block.

    Parameters
    ----------
    console : Console
        The one that log records go to.
    plans : sequence of Plan
    budget_s : float or None
    clock : callable
        Seconds since some origin.
    """

    def __init__(
        self,
        console: Console,
        plans: Sequence[Plan],
        budget_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = {plan.key: _row(plan) for plan in plans}
        self._budget_s = budget_s
        self._clock, self._start_s = clock, clock()
        self._n_before = sum(row.n_trials for row in self._rows.values())
        self._n_wanted = self._n_before + sum(row.n_left for row in self._rows.values())
        self._told_s = self._start_s
        self._doing = "searching"
        live = console.is_interactive and is_in_force() and _log.isEnabledFor(logging.INFO)
        self._live = (
            Live(self, console=console, refresh_per_second=REFRESH_HZ, transient=True)
            if live
            else None
        )

    def __enter__(self) -> Self:
        if self._n_before:
            _log.info("going on: %d trials were made by an earlier start", self._n_before)
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def ended(self, ended: TrialEnded) -> None:
        """Take note of a trial."""
        row, attempt = self._rows[ended.plan.key], ended.attempt
        row.n_trials += 1
        row.n_pruned += attempt.state == "pruned"
        row.n_failed += attempt.state == "failed"
        if attempt.state == "complete":
            value = attempt.values[-1]
            if math.isnan(row.first):
                row.first = row.best = value
            if ended.asked.number < ended.plan.study.n_starts:
                row.first = min(value, row.first)
            row.best = min(value, row.best)
        if attempt.error is not None:
            name = f"{row.symbol} {row.model} trial {ended.asked.number}"
            _log.warning("%s failed: %s", name, attempt.error)
        if self._live is None and self._clock() - self._told_s >= LINE_EVERY_S:
            self._told_s = self._clock()
            _log.info("%s", self.line())

    def compares(self) -> None:
        """Take note that the search is over."""
        self._doing = "comparing with the default"
        _log.info("%s; %s", self.line(), self._doing)

    def decided(self, decided: Decided) -> None:
        """Take note of a study's verdict."""
        tuned = decided.tuned
        adopted = "adopted: " if tuned.adopted else "not adopted: "
        self._rows[decided.plan.key].verdict = "adopted" if tuned.adopted else "no"
        _log.info("%s %s: %s%s", tuned.symbol, tuned.model, adopted, tuned.reason)

    def line(self) -> str:
        """Return in one line how far the sweep is."""
        rows = self._rows.values()
        done, wanted = sum(row.n_trials for row in rows), self._n_wanted
        best = max(rows, key=lambda row: row.gain)
        found = ""
        if best.gain > 0:
            place = f"{best.symbol} {best.model}"
            found = (
                f", {1000 * best.gain:.1f} thousandths of a nat gained over its start by {place}"
            )
        return f"{done} of at most {max(done, wanted)} trials{found}{self._left(done, wanted)}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table: the most promising studies first where not all have room."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("symbol", "model"):
            table.add_column(heading)
        for heading in ("trials", "pruned", "failed", "start", "best", "gain"):
            table.add_column(heading, justify="right")
        table.add_column("adopted")
        rows = sorted(self._rows.values(), key=lambda row: -row.gain)
        for row in rows[: max(1, console.size.height - AROUND)]:
            table.add_row(
                *(row.symbol, row.model, str(row.n_trials), str(row.n_pruned), str(row.n_failed)),
                *(_figure(row.first), _figure(row.best)),
                f"{1000 * row.gain:.1f}" if row.gain > 0 else "",
                row.verdict,
            )
        yield table
        yield Text(f"{self._doing}: {self.line()}", style="dim")

    def _left(self, done: int, wanted: int) -> str:
        elapsed_s = self._clock() - self._start_s
        made = done - self._n_before
        if self._budget_s is not None:
            left_s = max(0.0, self._budget_s - elapsed_s)
        elif made:
            left_s = elapsed_s / made * max(0, wanted - done)
        else:
            return ""
        return f", about {timedelta(seconds=round(left_s))} left"


def _row(plan: Plan) -> _Row:
    """Return what earlier starts have left of a study."""
    counts, best = plan.study.counts(), plan.study.best()
    row = _Row(
        *plan.key, sum(counts.values()), plan.study.n_left, counts["pruned"], counts["failed"]
    )
    if best is not None and best.value is not None:
        row.first, row.best = plan.study.start_value(), best.value
    return row


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
