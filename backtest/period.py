"""Which bars of a symbol are replayed, and what that shows of its holdout.

Axes: T bars.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np

from backtest.markets import Market
from market.bars import Bars, DataError
from selection.deployed_files import DeploymentError

# Indicators of the replay are the same to nine digits from here on, whatever came before.
WARM_UP_BARS = 250


@dataclass(frozen=True, slots=True)
class Window:
    """Decision times (UTC) of sealed rows; both ends belong to it."""

    start: np.datetime64
    end: np.datetime64

    @classmethod
    def of(cls, symbol: str, selection: Mapping[str, Any]) -> Self | None:
        """Return a symbol's holdout as its manifest gives it; None where none was cut.

        Raises
        ------
        DeploymentError
            If the manifest does not say, as one of an earlier version may not.
        """
        found = selection.get("windows", {}).get("holdout")
        if isinstance(found, str):
            return None
        try:
            return cls(moment(found["start"]), moment(found["end"]))
        except (TypeError, ValueError) as error:
            raise DeploymentError(
                f"{symbol}: the manifest does not say where its holdout begins; train again"
            ) from error

    @property
    def first_utc(self) -> datetime:
        """Its start, with its zone."""
        return aware(self.start)

    @property
    def last_utc(self) -> datetime:
        """Its end, with its zone."""
        return aware(self.end)


@dataclass(frozen=True, slots=True)
class Period:
    """What a replay is limited to.

    Attributes
    ----------
    start : datetime64[us] or None
        Decisions before (UTC) are not traded; bars before are read all the same, for features.
    end : datetime64[us] or None
        Bars that close later (UTC) are not looked at.
    opens_holdout : bool
        Whether bars of a holdout are replayed.
    """

    start: np.datetime64 | None = None
    end: np.datetime64 | None = None
    opens_holdout: bool = False

    def cut(self, bars: Bars, holdout: Window | None) -> tuple[Bars, Window | None]:
        """Return the bars to look at, and which part of a holdout's window is replayed with them.

        Nothing of a holdout is replayed by a period that begins after it, or that ends before.
        Unless holdouts are opened, bars end before the first decision of one otherwise.

        Raises
        ------
        DataError
            If nothing is left.
        """
        kept = bars if self.end is None else bars.until(int((bars.close_time_T <= self.end).sum()))
        touched = None if holdout is None else self._touched(kept, holdout)
        if touched is not None and not self.opens_holdout:
            kept = kept.until(int((kept.close_time_T < touched.start).sum()))
            if self.start is not None and touched.start <= self.start:
                raise DataError(
                    f"{bars.symbol}: {self.start.astype('datetime64[D]')} lies within its holdout, "
                    "which is sealed: give an earlier replay.start, or replay.holdout=open"
                )
            touched = None
        if not len(kept) or (self.start is not None and kept.close_time_T[-1] < self.start):
            days = bars.close_time_T[[0, -1]].astype("datetime64[D]")
            raise DataError(
                f"{bars.symbol}: no bars from replay.start to replay.end; they are of {days[0]} to "
                f"{days[1]}"
            )
        return kept, touched

    def _touched(self, kept: Bars, holdout: Window) -> Window | None:
        if not len(kept) or kept.close_time_T[-1] < holdout.start:
            return None
        if self.start is not None and self.start > holdout.end:
            return None
        first = holdout.start if self.start is None else max(self.start, holdout.start)
        return Window(first, min(kept.close_time_T[-1], holdout.end))


def first_tradable(markets: Iterable[Market], start: np.datetime64 | None) -> datetime:
    """Return the close (UTC) from which entries may be decided: bars before only warm up.

    Without a start it is the first signal of any market; without signals, the first bar.
    """
    if start is not None:
        return aware(start)
    known = list(markets)
    with_signals = [one for one in known if one.signal_T.any()]
    closes = [one.bars.close_time_T[np.argmax(one.signal_T != 0)] for one in with_signals]
    return aware(min(closes or [one.bars.close_time_T[0] for one in known]))


def moment(text: str) -> np.datetime64:
    """Return a time that a manifest gives, as the arrays hold it."""
    found = datetime.fromisoformat(text)
    if found.utcoffset() is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(found, "us")


def aware(time: np.datetime64) -> datetime:
    """Return a time with its zone, UTC, as arrays hold it without."""
    found: datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
