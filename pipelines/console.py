"""The terminal, and the log records shown on it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.text import Text

STYLES = ((logging.ERROR, "red"), (logging.WARNING, "yellow"), (logging.INFO, ""))
DETAIL = "dim"


@cache
def console() -> Console:
    """Return the one console of this process: who writes past it would garble a live display."""
    return Console(highlight=False, emoji=False)


@contextmanager
def lines_beside_json() -> Iterator[None]:
    """Show lines on standard error meanwhile: a machine reads what is printed besides."""
    before, console().stderr = console().stderr, True
    try:
        yield
    finally:
        console().stderr = before


class ConsoleHandler(logging.Handler):
    """Shows log records as lines: warnings yellow, errors red, details with their logger's name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            line = self.format(record)
        except (TypeError, ValueError, KeyError):  # a library's arguments do not fit its message
            self.handleError(record)
            return
        if record.levelno < logging.INFO:
            line = f"{record.name}: {line}"
        console().print(Text(line, style=_style(record.levelno)), soft_wrap=True)


def is_in_force() -> bool:
    """Return whether log records are shown on the one console."""
    return any(isinstance(handler, ConsoleHandler) for handler in logging.getLogger().handlers)


def _style(level: int) -> str:
    return next((style for least, style in STYLES if level >= least), DETAIL)
