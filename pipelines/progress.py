"""How far a piece of work is, where it takes long and a terminal is watched."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# What is shorter is over before anybody has looked.
SHOWN_AFTER_S = 2.0


class WorkProgress:
    """Shows how much of the work is done; a context manager.

    Parameters
    ----------
    console : Console
    doing : str
        The work in a word or two.
    """

    def __init__(self, console: Console, doing: str) -> None:
        self._since_s = time.monotonic()
        self._is_shown = console.is_interactive
        parts = (TextColumn(doing), BarColumn(), TextColumn("{task.percentage:.0f}%"))
        self._progress = Progress(*parts, TimeRemainingColumn(), console=console, transient=True)
        self._task = self._progress.add_task("", total=1.0)
        self._began = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._began:
            self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """Take note that so much of it all is done."""
        late = time.monotonic() - self._since_s > SHOWN_AFTER_S
        if self._is_shown and late and not self._began:
            self._progress.start()
            self._began = True
        self._progress.update(self._task, completed=done / max(total, 1))
