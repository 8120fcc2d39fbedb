"""How price files were read, in as few lines as say it."""

from collections.abc import Iterable, Iterator

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
