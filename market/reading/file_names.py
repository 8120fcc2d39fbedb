"""Names of price files: which symbol and which bar length they speak of, and which files count."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from market.bars import DataError
from market.reading.safe_names import clipped, printable, quoted, some, symbol_keys

ENDINGS = (".parquet", ".csv", ".txt", ".tsv")
NO_PRICES = re.compile(r"(readme|licen[cs]e|notice|copying|changelog|requirements)\b.*", re.I)
# A text file so called is about the others.
NOTES = ("notes", "note", "info", "todo", "about", "index")
ARCHIVES, WORKBOOKS = (".zip", ".7z", ".rar", ".tar", ".tgz", ".tar.gz"), (".xlsx", ".xls", ".ods")
SECOND, MINUTE, HOUR, DAY, WEEK = 1, 60, 3600, 86_400, 604_800

# M15, H1, D1, W1, MN1: the unit comes first, as MetaTrader writes it.
UNIT_FIRST = r"(?:[Mm](?:10|12|15|20|30|[1-6])|[Hh](?:12|[1-8])|[Dd]1|[Ww]1|[Mm][Nn]1)"
# 15m, 4h, 1_Hour, 1Min: the number comes first. 1M is a month, 15M can only be minutes.
UNIT = r"s|m|h|d|w|mo|sec|min|hour|hr|day|week|month"
NUMBER_FIRST = rf"(?:[1-9]\d{{0,3}}[ _]?(?i:(?:{UNIT})s?))"
WORDS = r"(?i:minute|hourly|hour|daily|day|weekly|week|monthly|month)"
MINUTES = r"(?:1|5|15|30|60|240|1440|10080|43200)"
LENGTH = rf"(?:{UNIT_FIRST}|{NUMBER_FIRST}|{WORDS})"

PREFIX = re.compile(
    r"(?:dat_[a-z]+|forex|fx|crypto|index|stocks?|oanda|fxcm|forexcom|capitalcom|dukascopy|binance|"
    r"bitstamp|kraken|coinbase|gemini|bitfinex|bittrex|bybit|okx|kucoin|poloniex|nasdaq|nyse)"
    r"_(?=.)",
    re.I,
)
# After the length: bid or ask, the span of time exported, "(1)" of a second download.
TAIL = (
    r"(?:[-_. ]*(?:\((?:\d+)\)|(?<=[-_. ])(?:bid|ask|mid|\d{14}|\d{12}|\d{8}|\d{6}"
    r"|(?:19|20)\d\d(?:[-.]\d\d){0,2}|\d\d\.\d\d\.(?:19|20)\d\d)(?![A-Za-z0-9])))*"
)
SHAPES = tuple(
    re.compile(shape)
    for shape in (
        # Dukascopy: EURUSD_Candlestick_1_Hour_BID_...
        rf"(?P<symbol>.+?)_Candlestick_(?P<length>{LENGTH})(?i:{TAIL})",
        # TradingView: OANDA_EURUSD, 60
        rf"(?P<symbol>.+?), ?(?P<length>{MINUTES}|{LENGTH}|[DW])(?:_[0-9a-f]{{5}})?(?i:{TAIL})",
        rf"(?P<symbol>.+?)[-_. ](?P<length>{LENGTH})(?i:{TAIL})",
        r"(?P<symbol>.+?)_(?P<length>d)",
        # Without a sign between: futures (ESH1, 6EM5) end like this too, but are shorter.
        rf"(?P<symbol>.{{3,}}[A-Za-z0-9])(?P<length>{UNIT_FIRST})(?i:{TAIL})",
        rf"(?P<symbol>(?:.*[^A-Za-z])?[A-Za-z]{{6,}})(?P<length>{NUMBER_FIRST})(?i:{TAIL})",
        # Bare minutes: six letters of one case before them, lest US30 or Germany30 be taken apart.
        rf"(?P<symbol>(?:.*[^A-Za-z])?(?:[A-Z]{{6,}}[a-z]{{0,3}}|[a-z]{{6,}})[-_, ]?)"
        rf"(?P<length>{MINUTES})(?i:{TAIL})",
    )
)
SECONDS = {
    **dict.fromkeys(("s", "sec"), SECOND),
    **dict.fromkeys(("m", "min", "minute"), MINUTE),
    **dict.fromkeys(("h", "hr", "hour", "hourly"), HOUR),
    **dict.fromkeys(("d", "day", "daily"), DAY),
    **dict.fromkeys(("w", "week", "weekly"), WEEK),
}


class PriceFile(NamedTuple):
    """A file, and what its name says: its symbol, which may be none, and its bars' length."""

    path: Path
    symbol: str
    length: np.timedelta64 | None


class NamedFile(NamedTuple):
    """What a file's name says: its symbol, and its bars' length where it names a fixed one."""

    symbol: str
    length: np.timedelta64 | None


def named(path: Path, pattern: str | None) -> NamedFile:
    """Return symbol and bar length of a file's name.

    ``EURUSD.csv``, ``EURUSD_H1.csv.gz``, ``EURUSD60.csv`` and the names MetaTrader, Dukascopy,
    HistData, TradingView and the exchanges' archives give; what is not known to be anything else is
    the symbol, in its own case. A month is no fixed length.

    Parameters
    ----------
    path : Path
    pattern : str or None
        Regular expression (``data.name_pattern``) for the whole name without its endings, with a
        group ``symbol`` and, if wanted, a group ``length``.

    Raises
    ------
    DataError
        If the pattern does not fit the name, or its ``length`` is none.
    ValueError
        If the pattern is no regular expression with a group ``symbol``.
    """
    name = bare_name(path)
    if pattern is not None:
        return _by_pattern(path, name, name_pattern(pattern))
    name = re.sub(r" \(\d+\)$", "", name)
    for shape in SHAPES:
        if found := shape.fullmatch(name):
            symbol = found["symbol"].rstrip("-_, ")
            return NamedFile(PREFIX.sub("", symbol, count=1), bar_length(found["length"]))
    return NamedFile(name, None)


def name_pattern(pattern: str) -> re.Pattern[str]:
    """Return ``data.name_pattern`` compiled; raises ValueError where it cannot be used."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"name_pattern {pattern!r} is no regular expression: {error}") from error
    if "symbol" not in compiled.groupindex:
        raise ValueError(f"name_pattern {pattern!r} must have a group (?P<symbol>...)")
    return compiled


def bar_length(text: str) -> np.timedelta64 | None:
    """Return the bar length (us) that ``H1``, ``1h``, ``60`` or ``Daily`` names; None for months.

    Raises
    ------
    ValueError
        If the text names no length.
    """
    if re.fullmatch(MINUTES, text):
        return None if text == "43200" else _microseconds(int(text) * MINUTE)
    if not re.fullmatch(rf"{LENGTH}|[DWd]", text):
        raise ValueError(f"length must be such as H1, 15m or Daily, was {text!r}")
    count = int("".join(re.findall(r"\d", text)) or 1)
    unit = "".join(re.findall(r"[A-Za-z]", text))
    if unit == "M" and text[0].isdigit() and count % 5:
        return None
    seconds = SECONDS.get(unit.lower()) or SECONDS.get(unit.lower().removesuffix("s"))
    return None if seconds is None else _microseconds(count * seconds)


def bare_name(path: Path) -> str:
    """Return a file's name without ``.gz`` and then without ``.csv`` and the like."""
    name = _without(path.name, (".gz",))
    return _without(name, ENDINGS)


def price_files(place: Path, pattern: str | None) -> dict[str, list[PriceFile]]:
    """Return the price files of a folder, or the one file named, by symbol.

    Files end in .parquet, .csv, .txt or .tsv, with or without .gz behind it; others are ignored,
    as are hidden ones, a README or notes, and those that ``pattern`` does not fit. What cannot be
    a symbol is listed under the key that `symbol_keys` gives it.

    Raises
    ------
    DataError
        If there is no such folder or file, or no price file in it.
    """
    if place.exists() and not place.is_dir():
        paths = [place]
    else:
        fitting = "" if pattern is None else f" that data.name_pattern={printable(pattern)} fits"
        paths = files_in(place, lambda path: _counts(path, pattern), fitting)
    found = [PriceFile(path, *named(path, pattern)) for path in paths]
    keys = symbol_keys({file.symbol for file in found})
    files: dict[str, list[PriceFile]] = {}
    for file in found:
        files.setdefault(keys[file.symbol], []).append(file)
    return files


def files_in(folder: Path, counts: Callable[[Path], bool], fitting: str = "") -> list[Path]:
    """Return the files of a folder that count, in order of their names.

    Raises
    ------
    DataError
        If the folder does not exist, cannot be listed or holds no such file; archives, workbooks
        and sub-folders that hold some are named. ``fitting`` says what else a file had to be.
    """
    place = printable(str(folder))
    if not folder.is_dir():
        raise DataError(f"{place}: no such folder")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{place}: cannot be listed: {error.strerror}") from error
    if found := [path for path in paths if counts(path)]:
        return found
    below = [path.name for path in paths if path.is_dir() and _holds_any(path, counts)]
    look = f"; look in {some(below)}" if below else ""
    packed = _ending_in(paths, ARCHIVES)
    unpack = f"; unpack {some(packed)} first" if packed else ""
    books = _ending_in(paths, WORKBOOKS)
    save = f"; save {some(books)} as CSV first" if books else ""
    raise DataError(
        f"{place}: no .parquet or .csv file named after a symbol{fitting}{look}{unpack}{save}"
    )


def _ending_in(paths: list[Path], endings: tuple[str, ...]) -> list[str]:
    return [path.name for path in paths if path.name.lower().endswith(endings) and path.is_file()]


def _holds_any(folder: Path, counts: Callable[[Path], bool]) -> bool:
    try:
        return any(counts(path) for path in folder.iterdir())
    except OSError:
        return False


def _counts(path: Path, pattern: str | None) -> bool:
    if path.name.startswith(".") or not _without(path.name.lower(), (".gz",)).endswith(ENDINGS):
        return False
    name = bare_name(path)
    if pattern is not None:
        return name_pattern(pattern).fullmatch(name) is not None
    is_note = name.lower() in NOTES and path.name.lower().endswith(".txt")
    return NO_PRICES.fullmatch(name) is None and not is_note


def _by_pattern(path: Path, name: str, pattern: re.Pattern[str]) -> NamedFile:
    where = f"{clipped(path.name)}: data.name_pattern={printable(pattern.pattern)}"
    found = pattern.fullmatch(name)
    if found is None or not found["symbol"]:
        raise DataError(f"{where} does not fit {quoted(name)}")
    text = found["length"] if "length" in pattern.groupindex else None
    try:
        return NamedFile(found["symbol"], bar_length(text) if text else None)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _without(name: str, endings: tuple[str, ...]) -> str:
    ending = next((ending for ending in endings if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] if len(name) > len(ending) else name


def _microseconds(seconds: int) -> np.timedelta64:
    return np.timedelta64(seconds * 1_000_000, "us")
