"""Clocks that price files are written in, and the way from them to UTC.

Axes: T rows of a file, in its order.
"""

import re
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import TimeArray

FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.I)
SHIFTED = re.compile(r"(.+?)([+-])(\d{1,2})h")
UTC_NAMES = ("utc", "gmt", "z")


class Zone(NamedTuple):
    """A clock: so many minutes ahead of UTC, or of the clock of an IANA zone."""

    iana: str | None
    ahead_min: int


def parse_zone(text: str) -> Zone:
    """Return the clock that a text names.

    An IANA name, ``UTC``, ``UTC+2``, ``+02:00``, or an IANA name and hours ahead of it:
    ``America/New_York+7h`` is the usual MetaTrader server, where a week starts on Monday 00:00.

    Raises
    ------
    ValueError
        If it names none.
    """
    text = text.strip()
    if text.lower() in UTC_NAMES:
        return Zone(None, 0)
    if fixed := FIXED.fullmatch(text):
        sign, hours, minutes = fixed.groups()
        return Zone(None, _signed(sign, int(hours) * 60 + int(minutes or 0), text))
    name, ahead_min = text, 0
    if shifted := SHIFTED.fullmatch(text):
        name, sign, hours = shifted.groups()
        ahead_min = _signed(sign, int(hours) * 60, text)
    if not name or not _is_iana(name):
        raise ValueError(
            "time_zone must be such as Europe/Helsinki, UTC+2, +02:00 or America/New_York+7h, was "
            f"{text!r}"
        )
    return Zone(name, ahead_min)


def to_utc(local: pl.Series, zone: Zone) -> tuple[TimeArray, npt.NDArray[np.bool_]]:
    """Return times of a clock as UTC, and which of them that clock never shows.

    An hour that the end of summer time repeats is told apart by the order of the rows: as long as
    the clock runs on it is the first pass, from where it steps back (or stands) the second. Files
    that run backward in time are followed from their end.

    Parameters
    ----------
    local : Series of datetime[us], shape (n_rows,)
    zone : Zone

    Returns
    -------
    start_T : datetime64[us] array, shape (n_rows,)
        NaT where ``local`` is empty or never shown.
    never_T : bool array, shape (n_rows,)
        True where the start of summer time skips that hour.
    """
    local = local - timedelta(minutes=zone.ahead_min)
    if zone.iana is None:
        return local.to_numpy(), np.zeros(len(local), bool)
    early_T, late_T = (
        local.dt.replace_time_zone(zone.iana, ambiguous=which, non_existent="null")
        .dt.convert_time_zone("UTC")
        .dt.replace_time_zone(None)
        .to_numpy()
        for which in ("earliest", "latest")
    )
    local_T = local.to_numpy()
    never_T = np.isnat(early_T) & ~np.isnat(local_T)
    start_T = np.where(_second_pass(local_T, early_T != late_T), late_T, early_T)
    return start_T, never_T


def _second_pass(local_T: TimeArray, differ_T: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    twice_T = differ_T & ~np.isnat(local_T)
    if not twice_T.any():
        return twice_T
    known_T = local_T[~np.isnat(local_T)]
    if known_T[-1] < known_T[0]:
        return _second_pass(local_T[::-1], differ_T[::-1])[::-1]
    goes_on_T = np.zeros(len(local_T), bool)
    goes_on_T[1:] = twice_T[1:] & twice_T[:-1]
    back_T = goes_on_T.copy()
    back_T[1:] &= local_T[1:] <= local_T[:-1]
    steps_T = np.cumsum(back_T)
    begin_T = np.maximum.accumulate(np.where(goes_on_T, 0, np.arange(len(local_T))))
    return twice_T & (steps_T > steps_T[begin_T])


def _signed(sign: str, minutes: int, text: str) -> int:
    if minutes > 14 * 60:
        raise ValueError(f"time_zone must be within 14 hours, was {text!r}")
    return -minutes if sign == "-" else minutes


def _is_iana(name: str) -> bool:
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(name)
    except pl.exceptions.PolarsError:
        return False
    return True
