"""Bars cut off at the end change nothing that happened before."""

import os

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backtest.comparison import replayed
from tests.backtest.strategies import Scenario, scenarios

EXAMPLES = int(os.environ.get("ASSAY_FUZZ_EXAMPLES", "150"))
PLACES = ("parameters", "before")


def cut_at(scenario: Scenario, time: np.datetime64) -> list[int]:
    """Count each symbol's bars that are complete by then."""
    closings = [market.bars.close_time_T for market in scenario.markets]
    return [int(np.searchsorted(close_time_T, time, "right")) for close_time_T in closings]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(short_bars=False), st.floats(0.0, 1.0))
def test_a_cut_changes_no_trade_and_no_equity_before_it(scenario: Scenario, share: float) -> None:
    steps = np.unique(np.concatenate([m.bars.close_time_T for m in scenario.markets]))
    time = steps[int(share * (len(steps) - 1))]
    n_bars = cut_at(scenario, time)
    whole, cut = replayed(scenario), replayed(scenario, n_bars)
    cut_of = {m.bars.symbol: n for m, n in zip(scenario.markets, n_bars, strict=True)}
    until = pl.lit(time).dt.replace_time_zone("UTC")

    closed = pl.col("exit_bar") < pl.col("symbol").replace_strict(cut_of, return_dtype=pl.Int64)
    before = whole.trades.filter(closed)
    assert cut.trades.equals(before)
    assert cut.equity.equals(whole.equity.filter(pl.col("time") <= until))
    of_closed = pl.col("trade_id").is_in(before["trade_id"].implode())
    for name in ("partials", "stop_moves", "decisions"):
        # Where the parameters stand in the table of them is no part of what was decided.
        rows, other = (getattr(one, name).drop(PLACES, strict=False) for one in (cut, whole))
        assert rows.filter(of_closed).equals(other.filter(of_closed)), name
    for name in ("decided_KP", "previous_KP"):
        rows_KP, other_KP = (
            getattr(one, name)[one.decisions.select(of_closed).to_series().to_numpy()]
            for one in (cut, whole)
        )
        assert rows_KP.tobytes() == other_KP.tobytes(), name
