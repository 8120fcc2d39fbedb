"""Bar lengths and the grid that bars start on.

Axes: T bars, S steps between bars, P phases of the grid.
"""

import numpy as np
import numpy.typing as npt

from market.bars import TimeArray

DAY = np.timedelta64(86_400_000_000, "us")
_HOUR = np.timedelta64(3_600_000_000, "us")
_UNITS = (("d", DAY), ("h", _HOUR), ("min", np.timedelta64(60_000_000, "us")))
_LATE_SHARE = 0.1  # of a bar
_PHASE_SHARE = 0.05  # of the bars; rarer phases are no part of the grid

MicrosecondArray = npt.NDArray[np.int64]


def length_text(length: np.timedelta64) -> str:
    """Return a bar length as settings spell it: ``5min``, ``1h``, ``1d``; else in seconds."""
    for unit, size in _UNITS:
        if length >= size and length % size == np.timedelta64(0, "us"):
            return f"{length // size}{unit}"
    return f"{length / np.timedelta64(1_000_000, 'us'):g}s"


def usual_step(start_T: TimeArray) -> tuple[np.timedelta64, float]:
    """Return the commonest step between ascending times, the shortest of equals, and its share."""
    steps, counts = np.unique(np.diff(start_T), return_counts=True)
    top = int(np.argmax(counts))
    return np.timedelta64(steps[top], "us"), float(counts[top] / counts.sum())


def late_T(start_T: TimeArray, length: np.timedelta64) -> npt.NDArray[np.timedelta64]:
    """Return how far past its bar's start each stamp is, where that is at most a tenth of a bar.

    Zero for stamps on the grid, and for those further off. An hour or more is a change of clock,
    as of daily bars in summer, and bars of a day or longer have no grid.

    Returns
    -------
    timedelta64[us] array, shape (n_bars,)
    """
    behind_T = _behind_T(start_T, length)
    is_late_T = behind_T <= _most_late(length)
    return np.where(is_late_T, behind_T, 0).astype("timedelta64[us]")


def off_grid_T(start_T: TimeArray, length: np.timedelta64) -> npt.NDArray[np.bool_]:
    """Return which bars of less than a day start where few others do."""
    return _behind_T(start_T, length) > 0


def _behind_T(start_T: TimeArray, length: np.timedelta64) -> MicrosecondArray:
    """Return the time since the last place of the grid, in microseconds."""
    if length >= DAY or len(start_T) == 0:
        return np.zeros(len(start_T), dtype=np.int64)
    size = int(length.astype(np.int64))
    phase_T = start_T.astype(np.int64) % size
    grid_P = _grid_phases(phase_T, size, _most_late(length))
    last_T = np.searchsorted(grid_P, phase_T, side="right") - 1
    # Index -1 is the last phase: the one before the bar's first is the bar before's last.
    behind_T: MicrosecondArray = (phase_T - grid_P[last_T]) % size
    return behind_T


def _grid_phases(phase_T: MicrosecondArray, size: int, most_late: int) -> MicrosecondArray:
    """Return the common phases of a bar, less those that are another common one stamped late."""
    phases, counts = np.unique(phase_T, return_counts=True)
    common = counts >= max(_PHASE_SHARE * len(phase_T), 1)
    common[np.argmax(counts)] = True
    common_P: MicrosecondArray = phases[common]
    since_before_P = (common_P - np.roll(common_P, 1)) % size
    first_P = (since_before_P > most_late) | (since_before_P == 0)
    return common_P[first_P] if first_P.any() else common_P


def _most_late(length: np.timedelta64) -> int:
    tenth = int(_LATE_SHARE * length.astype(np.int64))
    return min(tenth, int(_HOUR.astype(np.int64)) - 1)
