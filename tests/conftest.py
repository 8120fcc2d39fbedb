"""Small markets for every test, and how properties are searched."""

import os
from collections.abc import Callable

import hypothesis
import numpy as np
import pytest

from market.bars import Bars

# No deadline: busy cores are no fault of the code. A merge is judged on the same examples each
# time; everybody else searches new ones.
hypothesis.settings.register_profile("assay", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("assay")

HOUR = np.timedelta64(3_600_000_000, "us")


@pytest.fixture(scope="session")
def random_bars() -> Callable[[int, int], Bars]:
    """Return a factory `(seed, n_bars) -> Bars`: hourly random walks with all that is awkward.

    Prices step on ticks (coarse ones for every third seed), open with gaps, stand still for
    stretches; weekends are missing; some bars have no volume.
    """

    def make(seed: int, n_bars: int) -> Bars:
        rng = np.random.default_rng(seed)
        tick = 0.25 if seed % 3 == 0 else 2.0**-10
        moves_T = rng.standard_t(4, n_bars) * (rng.random(n_bars) > 0.1) * 0.3
        moves_T[n_bars // 2 : n_bars // 2 + n_bars // 20] = 0.0
        close_T = np.maximum(np.round((50.0 + np.cumsum(moves_T)) / tick), 8.0) * tick
        jumps_T = rng.normal(0.0, 0.2, n_bars) * (rng.random(n_bars) < 0.1)
        open_T = np.concatenate([[50.0], close_T[:-1]]) + np.round(jumps_T / tick) * tick
        reach_T = np.round(np.abs(rng.normal(0.0, 0.2, (2, n_bars))) / tick) * tick
        low_T = np.maximum(np.minimum(open_T, close_T) - reach_T[0], tick)
        bar_T = np.arange(n_bars)
        start_T = np.datetime64("2020-01-05T21:00", "us") + (bar_T + bar_T // 120 * 48) * HOUR
        return Bars(
            "RANDOM",
            start_T,
            np.maximum(open_T, low_T),
            np.maximum(open_T, close_T) + reach_T[1],
            low_T,
            close_T,
            np.floor(rng.exponential(2.0, n_bars)),
            HOUR,
        )

    return make
