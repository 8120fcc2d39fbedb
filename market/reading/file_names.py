"""Names of price files: which symbol and which bar length they speak of, and which files count."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from market.bars import DataError

ENDINGS = (".parquet", ".csv", ".txt", ".tsv")
NO_PRICES = re.compile(r"(readme|licen[cs]e|notice|copying|changelog|requirements)\b.*", re.I)
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


def price_files(
    place: Path, pattern: str | None
) -> dict[str, list[tuple[Path, np.timedelta64 | None]]]:
    """Return the price files of a folder, or the one file named, by symbol.

    Files end in .parquet, .csv, .txt or .tsv, with or without .gz behind it; others are ignored,
    as are hidden ones, a README, and those that ``pattern`` does not fit.

    Raises
    ------
    DataError
        If there is no such folder or file, or no price file in it.
    """
    if place.is_dir():
        paths = [path for path in sorted(place.iterdir()) if _counts(path, pattern)]
    elif place.exists():
        paths = [place]
    else:
        raise DataError(f"{place}: no such folder")
    files: dict[str, list[tuple[Path, np.timedelta64 | None]]] = {}
    for path in paths:
        symbol, length = named(path, pattern)
        files.setdefault(symbol, []).append((path, length))
    if not files:
        fitting = "" if pattern is None else f" that data.name_pattern={pattern} fits"
        raise DataError(f"{place}: no .parquet or .csv file named after a symbol{fitting}")
    return files


def _counts(path: Path, pattern: str | None) -> bool:
    if path.name.startswith(".") or not _without(path.name.lower(), (".gz",)).endswith(ENDINGS):
        return False
    name = bare_name(path)
    if pattern is not None:
        return name_pattern(pattern).fullmatch(name) is not None
    return NO_PRICES.fullmatch(name) is None


def _by_pattern(path: Path, name: str, pattern: re.Pattern[str]) -> NamedFile:
    found = pattern.fullmatch(name)
    if found is None or not found["symbol"]:
        raise DataError(f"{path.name}: data.name_pattern={pattern.pattern} does not fit {name!r}")
    text = found["length"] if "length" in pattern.groupindex else None
    try:
        return NamedFile(found["symbol"], bar_length(text) if text else None)
    except ValueError as error:
        raise DataError(f"{path.name}: data.name_pattern={pattern.pattern}: {error}") from error


def _without(name: str, endings: tuple[str, ...]) -> str:
    ending = next((ending for ending in endings if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] if len(name) > len(ending) else name


def _microseconds(seconds: int) -> np.timedelta64:
    return np.timedelta64(seconds * 1_000_000, "us")
