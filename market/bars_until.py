"""Bars as they stood at one moment, for whoever may know nothing of what came later."""

import hashlib
from dataclasses import replace

import numpy as np

from market.bar_files import BarFiles
from market.bars import Bars, DataError
from market.checks.bar_report import UNFINISHED, BarReport, report_of
from market.simulate import SimulatedMarket


class BarsUntil:
    """A source of bars without those that closed after a moment.

    Labels that end later are not known then, as they were not at that moment. The digest is one of
    the bars that are left: a file that grows, or a simulated market that is drawn on, stays the
    same data here.

    Parameters
    ----------
    source : SimulatedMarket or BarFiles
    until : datetime64[us]
        UTC; a bar that closes at this very moment is there.
    """

    def __init__(self, source: SimulatedMarket | BarFiles, until: np.datetime64) -> None:
        self.source = source
        self.until = until.astype("datetime64[us]")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbols on offer."""
        return tuple(self.source.symbols)

    def read(self, symbol: str, seed: int) -> tuple[Bars, BarReport]:
        """Return the bars of one symbol and what there is to say about them.

        ``seed`` is of the simulated market.

        Raises
        ------
        DataError
            If they cannot be used, or none had closed.
        """
        source = self.source
        if isinstance(source, SimulatedMarket):
            bars = self._cut(source.bars(symbol, seed))
            # A made-up market keeps its own hours: there is nothing to look into.
            return bars, replace(report_of(bars), warnings=())
        whole, report = source.read(symbol)
        bars, reading = self._cut(whole), report.reading
        if reading is not None:
            # One that is forming now comes after all that is here.
            repairs = {kind: n for kind, n in reading.repairs.items() if kind != UNFINISHED}
            reading = replace(reading, repairs=repairs)
        return bars, report_of(bars, reading)

    def digest(self, symbol: str, seed: int) -> str:
        """Return what identifies the bars of one symbol; raises DataError as `read`."""
        bars, _ = self.read(symbol, seed)
        sha = hashlib.sha256(f"{symbol} {bars.length}".encode())
        prices = (bars.open_T, bars.high_T, bars.low_T, bars.close_T, bars.volume_T)
        for one in (bars.start_T, *prices):
            sha.update(np.ascontiguousarray(one).tobytes())
        return f"bars of {symbol} until {self.until}: {sha.hexdigest()}"

    def file_name(self, symbol: str) -> str | None:
        """Return the name of a symbol's file; None where it is simulated."""
        source = self.source
        return None if isinstance(source, SimulatedMarket) else source.file_name(symbol)

    def _cut(self, bars: Bars) -> Bars:
        left = bars.until(int(np.count_nonzero(bars.close_time_T <= self.until)))
        if not len(left):
            raise DataError(f"{bars.symbol}: no bar has closed by {self.until} UTC")
        return left
