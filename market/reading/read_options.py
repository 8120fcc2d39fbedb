"""What a user may say about price files, where it is not to be found out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

from market.reading.time_zones import parse_zone

SEPARATORS = {
    **{name: name for name in (",", ";", "|", "\t", " ")},
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "tab": "\t",
    "blank": " ",
    "blanks": " ",
    "\\t": "\t",
}
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "|": "pipe", "\t": "tab", " ": "blanks"}
TIME_CODES = "YymdejDFbBaAHIMSRTpfz%"
COLUMN_KEYS = ("time", "date", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How price files are to be read; None means: find out, file by file.

    Attributes
    ----------
    separator : str or None
        ``,`` ``;`` ``|``, tab or blank, or their names.
    encoding : str or None
        As Python names it, such as ``utf-8``, ``utf-16`` or ``cp1252``.
    header : bool or None
        Whether the first line names the columns.
    time_format : str or None
        As ``strptime`` has it; a date and a time in two columns are joined by a blank.
    time_zone : str or None
        Clock of times that carry none of their own: an IANA name, ``UTC+2``, ``+02:00``, or
        ``America/New_York+7h`` (seven hours ahead of New York, its summer time included).
    decimal : str or None
        ``.`` or ``,``.
    columns : mapping
        Header name, or position from 1, of ``time``, ``date``, ``open``, ``high``, ``low``,
        ``close`` and ``volume``; None and what is not named are found out; volume 0: there is none.

    Raises
    ------
    ValueError
        If a value cannot be used; the sentence begins with its key.
    """

    separator: str | None = None
    encoding: str | None = None
    header: bool | None = None
    time_format: str | None = None
    time_zone: str | None = None
    decimal: str | None = None
    columns: Mapping[str, str | int | None] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.separator is not None and self.separator not in SEPARATORS:
            raise ValueError(
                "separator must be comma, semicolon, pipe, tab or blank, or null, was "
                f"{self.separator!r}"
            )
        if self.header not in (None, True, False):
            raise ValueError(f"header must be true, false or null, was {self.header!r}")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal must be '.', ',' or null, was {self.decimal!r}")
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.time_format is not None:
            _check_time_format(self.time_format)
        if self.time_zone is not None:
            parse_zone(self.time_zone)
        _check_columns(self.columns)


def polars_format(time_format: str) -> str:
    """Return Python's ``strptime`` codes as polars reads them."""
    # Here %f alone counts nanoseconds, and %#z takes every spelling of an offset.
    return time_format.replace(".%f", "%.f").replace("%f", "%6f").replace("%z", "%#z")


def hour_only(time_format: str) -> bool:
    """Tell whether a format has an hour and no minute, which polars refuses."""
    has_hour = any(code in time_format for code in ("%H", "%I"))
    return has_hour and not any(code in time_format for code in ("%M", "%R", "%T"))


def _check_encoding(encoding: str) -> None:
    try:
        "a".encode(encoding)
    except (LookupError, UnicodeError) as error:
        problem = f"encoding must be such as utf-8, utf-16 or cp1252, was {encoding!r}"
        raise ValueError(problem) from error


def _check_time_format(time_format: str) -> None:
    problem = f"time_format must be such as '%Y-%m-%d %H:%M', was {time_format!r}"
    codes = re.findall("%(.?)", time_format)
    if not set(codes) & set("dejDF") or set(codes) - set(TIME_CODES):
        raise ValueError(problem)
    code = polars_format(time_format) + ("%M" if hour_only(time_format) else "")
    try:
        pl.Series(["x"]).str.strptime(pl.Datetime("us"), code, strict=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(problem) from error


def _check_columns(columns: Mapping[str, str | int | None]) -> None:
    for key, value in columns.items():
        if key not in COLUMN_KEYS:
            raise ValueError(f"columns.{key} is not known; known are {', '.join(COLUMN_KEYS)}")
        least = 0 if key == "volume" else 1
        if isinstance(value, bool) or (isinstance(value, int) and value < least):
            raise ValueError(
                f"columns.{key} must be a name or a position from {least} on, was {value!r}"
            )
        if not (value is None or isinstance(value, str | int)):
            raise ValueError(f"columns.{key} must be a name or a position, was {value!r}")
