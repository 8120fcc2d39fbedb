"""What a person sees while models train: a live table on a terminal, a line per model elsewhere."""

import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines import outcome
from pipelines.console import is_in_force
from training.engine import Step

Result = Mapping[str, Any]

REFRESH_HZ = 2
N_NOTICES = 3
LONGEST_SYMBOL = 20
CELL_WIDTH = 6
WAITING = Text("·", style="dim")

_log = logging.getLogger(__name__)


class TrainingDisplay:
    """Shows tasks while they train; a context manager, told of what happens in its block.

    Live where the console is a terminal that log records of level INFO go to; else each task's
    end is such a record, at level ERROR where it failed.

    Parameters
    ----------
    console : Console
        The one that log records go to.
    symbols, models : sequence of str
        Every model of every symbol is a task.
    n_workers : int
    notes : mapping of str to sequence of str
        Warnings about a symbol's data that have been shown already.
    clock : callable
        Seconds since some origin.
    """

    def __init__(
        self,
        console: Console,
        symbols: Sequence[str],
        models: Sequence[str],
        *,
        n_workers: int,
        notes: Mapping[str, Sequence[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = Board(symbols, models, n_workers=n_workers, clock=clock)
        self._notes = notes
        self._n_tasks, self._n_ended = len(symbols) * len(models), 0
        live = console.is_interactive and is_in_force() and _log.isEnabledFor(logging.INFO)
        self._live = _live(self._board, console) if live else None

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

    def step(self, step: Step) -> None:
        """Take note that a task has begun, or one of its fits has ended."""
        self._board.step(step)

    def finished(self, result: Result) -> None:
        """Take note of a task's result, or of its failure (a result with an ``error``)."""
        self._n_ended += 1
        self._board.finished(result)
        if self._live is not None:
            return
        level = logging.ERROR if "error" in result else logging.INFO
        line = outcome.progress_line(result)
        _log.log(level, "[%d/%d] %s", self._n_ended, self._n_tasks, line)
        if warned := outcome.warning_line(result, self._notes.get(result["symbol"], ())):
            _log.info("%s", warned)


class Board:
    """The state of all tasks; draws as much of it as the terminal has room for.

    One thread may draw while another tells it what happened. What a drawing costs depends on the
    rows that are shown, not on the number of symbols.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        models: Sequence[str],
        *,
        n_workers: int,
        clock: Callable[[], float],
    ) -> None:
        self._symbols, self._models, self._n_workers = symbols, models, n_workers
        self._symbol_width = min(LONGEST_SYMBOL, max(map(len, symbols), default=0))
        self._clock, self._start_s = clock, clock()
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, str], Text] = {}
        # Fits done, and how many there will be.
        self._running: dict[tuple[str, str], tuple[int, int]] = {}
        # In the order in which something last happened to them.
        self._touched: dict[str, None] = {}
        self._n_ended: Counter[str] = Counter()
        self._n_complete = 0
        self._n_left = dict.fromkeys(models, len(symbols))
        self._n_timed = dict.fromkeys(models, 0)
        self._spent_s = dict.fromkeys(models, 0.0)
        self._notices: deque[Text] = deque(maxlen=N_NOTICES)

    def step(self, step: Step) -> None:
        """Take note that a task has begun, or one of its fits has ended."""
        symbol, model = key = (step.task.symbol, step.task.model.name)
        with self._lock:
            self._running[key] = (step.n_done, step.n_fits)
            self._cells[key] = Text(f"{step.n_done}/{step.n_fits}", style="cyan")
            self._touch(symbol)
            for sentence in step.ended.warnings if step.ended else ():
                self._notices.append(Text(f"{symbol} {model} {sentence}", style="yellow"))

    def finished(self, result: Result) -> None:
        """Take note of a task's result, or of its failure."""
        symbol, model = key = (result["symbol"], result["model_name"])
        with self._lock:
            self._running.pop(key, None)
            self._touch(symbol)
            self._n_left[model] -= 1
            self._n_ended[symbol] += 1
            self._n_complete += self._n_ended[symbol] == len(self._models)
            if "error" in result:
                self._cells[key] = Text("failed", style="red")
                self._notices.append(Text(outcome.progress_line(result), style="red"))
            else:
                self._cells[key] = _gain(result)
                self._n_timed[model] += 1
                self._spent_s[model] += result["training_duration_seconds"]

    def time_left(self) -> str:
        """Return about how long the rest takes; nothing before any model has ended.

        Each kind of model is expected to take the mean of those that have ended; where one kind
        has none yet, that is a lower bound.
        """
        left = {name: float(n) for name, n in self._n_left.items() if n}
        n_busy = min(self._n_workers, sum(self._n_left.values()))
        for (_, model), (n_done, n_fits) in self._running.items():
            left[model] -= n_done / n_fits
        known = [name for name in left if self._n_timed[name]]
        if not known:
            return ""
        left_s = sum(left[name] * self._spent_s[name] / self._n_timed[name] for name in known)
        bound = "about" if len(known) == len(left) else "at least"
        return f"{bound} {_clock_time(left_s / n_busy)} left"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            yield from self._drawn(console.size.height)

    def _drawn(self, height: int) -> Iterator[Table | Text]:
        headings = [re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name) for name in self._models]
        n_heading_lines = max((name.count("\n") + 1 for name in headings), default=1)
        # Rule, line of what is not shown, bar; the last row belongs to the cursor.
        n_rows = max(1, height - n_heading_lines - len(self._notices) - 4)
        shown = self._shown(n_rows)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("symbol", no_wrap=True, min_width=self._symbol_width)
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True, min_width=CELL_WIDTH)
        for symbol in shown:
            cells = (self._cells.get((symbol, model), WAITING) for model in self._models)
            table.add_row(Text(symbol), *cells)
        yield table
        if len(shown) < len(self._symbols):
            yield self._not_shown(shown)
        yield self._bar()
        for notice in self._notices:
            notice.no_wrap, notice.overflow = True, "ellipsis"
            yield notice

    def _shown(self, n_rows: int) -> list[str]:
        """Return all symbols if there is room; else those in work, the latest, the next."""
        if len(self._symbols) <= n_rows:
            return list(self._symbols)
        in_work = dict.fromkeys(symbol for symbol, _ in self._running)
        latest = (symbol for symbol in reversed(self._touched) if symbol not in in_work)
        chosen = list(islice((*in_work, *islice(latest, n_rows)), n_rows))
        following = (symbol for symbol in self._symbols if symbol not in self._touched)
        return [*chosen, *islice(following, n_rows - len(chosen))]

    def _not_shown(self, shown: Sequence[str]) -> Text:
        in_work = {symbol for symbol, _ in self._running}
        n_complete = self._n_complete - sum(self._is_complete(symbol) for symbol in shown)
        n_in_work = len(in_work.difference(shown))
        n_waiting = len(self._symbols) - len(shown) - n_complete - n_in_work
        counts = {"in work": n_in_work, "waiting": n_waiting, "done": n_complete}
        listed = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
        return Text(f"... {listed}", style="dim", no_wrap=True)

    def _is_complete(self, symbol: str) -> bool:
        return self._n_ended[symbol] == len(self._models)

    def _bar(self) -> Table:
        total = len(self._symbols) * len(self._models)
        n_ended = total - sum(self._n_left.values())
        elapsed = _clock_time(self._clock() - self._start_s)
        line = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None):
            line.add_column(ratio=ratio, no_wrap=True)
        bar = ProgressBar(total=max(total, 1), completed=n_ended)
        figures = " ".join([f"{n_ended}/{total}", elapsed, self.time_left()]).rstrip()
        line.add_row("training", bar, figures)
        return line

    def _touch(self, symbol: str) -> None:
        self._touched.pop(symbol, None)
        self._touched[symbol] = None


def _live(board: Board, console: Console) -> Live:
    return Live(board, console=console, refresh_per_second=REFRESH_HZ, transient=True)


def _gain(result: Result) -> Text:
    """Return the gain in out-of-fold log-loss over no skill, in thousandths of a nat."""
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    # Adding zero turns a -0.0 into 0.0.
    nats = round(1000 * (no_skill["log_loss"] - scores["log_loss"]), 1) + 0.0
    return Text(f"{nats:+.1f}", style="green" if nats > 0 else "red")


def _clock_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
