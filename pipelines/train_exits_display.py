"""What a person sees while exits are learnt: how far it is, and epoch by epoch what it comes to."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from exits.data_report import DataReport
from pipelines.console import is_in_force
from pipelines.train_exits_files import REPORT
from pipelines.train_exits_records import HINDSIGHT, Told, groups, number, report_lines, verdict

REFRESH_HZ = 4
LINE_EVERY_S = 10.0
# Where `exits=learned` looks for a model by default.
DEFAULT_MODEL = Path("deploy/exit_model")

_log = logging.getLogger(__name__)


class EpochDisplay:
    """Shows epochs as they end; a context manager.

    On a terminal one line that changes; elsewhere a line now and then.

    Parameters
    ----------
    console : Console
        The one that log records go to.
    max_epochs : int
    clock : callable
        Seconds since some origin.
    """

    def __init__(
        self, console: Console, max_epochs: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_epochs, self._clock = max_epochs, clock
        self._begun_s = self._told_s = clock()
        self._n = 0
        self._train = self._val = self._best = math.nan
        self._best_epoch = 0
        live = console.is_interactive and is_in_force() and _log.isEnabledFor(logging.INFO)
        self._live = (
            Live(self, console=console, refresh_per_second=REFRESH_HZ, transient=True)
            if live
            else None
        )

    def __enter__(self) -> Self:
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

    def ended(self, epoch: int, train_loss: float, val_loss: float) -> None:
        """Take note of an epoch, counted from 1."""
        self._n, self._train, self._val = epoch, train_loss, val_loss
        if not val_loss >= self._best:
            self._best, self._best_epoch = val_loss, epoch
        if self._live is None and self._clock() - self._told_s >= LINE_EVERY_S:
            self._told_s = self._clock()
            _log.info("%s", self.line())

    def line(self) -> str:
        """Return in one line how far the learning is."""
        if not self._n:
            return "learning: first epoch"
        best = f"best {self._best:.5f} of epoch {self._best_epoch}"
        losses = f"loss {self._train:.5f} in training, {self._val:.5f} held back ({best})"
        return f"epoch {self._n} of at most {self._max_epochs}: {losses}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line."""
        yield Text(self.line(), style="dim", no_wrap=True, overflow="ellipsis")


def data_table(report: DataReport) -> Table:
    """Return what was read, as a short table."""
    table = Table(title="Experiences", box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.title_justify = "left"
    table.add_column("what", no_wrap=True)
    table.add_column("how many", justify="right", no_wrap=True)
    table.add_column("")
    for what, n, note in report_lines(report):
        table.add_row(what, n, note)
    return table


def show(console: Console, told: Told) -> None:
    """Print what was learnt, what was not, where it lies, and what to run next."""
    learnt = told.learnt
    if told.identified:
        console.print(_evidence(told))
    console.print(f"{verdict(told)}.", markup=False, soft_wrap=True)
    for line, style in _remarks(told):
        console.print(line, style=style, markup=False, soft_wrap=True)
    console.print(f"report    {told.folder / REPORT}", markup=False, soft_wrap=True)
    console.print(f"model     {told.model_dir}", markup=False, soft_wrap=True)
    if told.settings.tracker.failure:
        failure = f"tracking  {told.settings.tracker.failure}"
        console.print(failure, markup=False, soft_wrap=True)
    if not learnt.hindsight:
        console.print(f"next      {_next(told)}", markup=False, soft_wrap=True)


def _evidence(told: Told) -> Table:
    table = Table(
        title="What the data identify",
        caption="Effect: of one standard deviation, in R. Gain: of one constant's error, on trades "
        "held back. All 132 are in the report.",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.title_justify = table.caption_justify = "left"
    table.add_column("what the data say")
    for heading in ("of them", "effect", "gain"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("such as", no_wrap=True)
    for one in groups(told.learnt):
        if one.identified:
            figures = (number(one.effect_r, "+.3f"), number(one.gain, "+.1%"))
            table.add_row(one.why, f"{len(one.names)}", *figures, one.names[0])
    return table


def _remarks(told: Told) -> Iterator[tuple[str, str]]:
    """Yield what must not be overlooked."""
    learnt, copy_test = told.learnt, told.learnt.copy_test
    if learnt.hindsight:
        yield f"{HINDSIGHT}.", "red"
    if told.simulated:
        yield "The market is simulated: this says nothing about a real one.", "yellow"
    if told.identified and math.isfinite(copy_test.net):
        yield (
            f"copy test, squared errors: the net {copy_test.net:.5f}, keeping what is in force "
            f"{copy_test.copy:.5f}, one constant {copy_test.constant:.5f}",
            "",
        )


def _next(told: Told) -> str:
    model = told.model_dir
    named = "" if model == DEFAULT_MODEL else f" exits.model={model}"
    return f"python -m pipelines.backtest exits=learned{named}"
