"""How price files were read, in as few lines as say it."""

from collections.abc import Iterable, Iterator

from market.checks.bar_report import BarReport
from market.reading.price_file import described
from market.reading.raw_bars import FileFormat


def reading_lines(found: Iterable[tuple[str, FileFormat, str | None]]) -> Iterator[str]:
    """Say each way of reading once, with the symbols it is for.

    Parameters
    ----------
    found : iterable of tuple
        Symbol, format, and bar length where it is known.
    """
    symbols: dict[str, list[str]] = {}
    for symbol, form, bar_length in found:
        bars = f", bars of {bar_length}" if bar_length else ""
        symbols.setdefault(f"{described(form)}{bars}", []).append(symbol)
    for line, names in symbols.items():
        yield f"{', '.join(names)}: {line}"


def gravest_warning(report: BarReport | None) -> str | None:
    """Return the first thing that is odd about bars, and how much more there is to look at."""
    if report is None or not report.warnings:
        return None
    first, *others = report.warnings
    more = f" (and {len(others)} more: python -m pipelines.data inspect)" if others else ""
    return f"{first}{more}"
