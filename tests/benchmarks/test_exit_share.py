"""The share of the best exit's gain, on made-up results."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.exit_share import BEST, BEST_DEFAULT_STOP, paired_trades, shown, told
from pipelines.backtest_files import COMPARED

START = datetime(2020, 1, 6, tzinfo=UTC)


def results(folder, learned_share):
    """Write results in which learnt exits win a share of one R that barriers win whole."""
    rng = np.random.default_rng(1)
    base_N = rng.normal(-0.1, 1.0, 400)
    times = [START + timedelta(days=n) for n in range(len(base_N))]
    frames = []
    for policy, more in (("learned", learned_share), ("defaults", 0.0), ("hold_to_barrier", 1.0)):
        columns = {"symbol": "EURUSD", "side": "LONG", "policy": policy}
        frame = pl.DataFrame({"signal_time": times, "r_multiple": base_N + more})
        hour_later = pl.col("signal_time") + timedelta(hours=1)
        frames.append(
            frame.with_columns(
                *(pl.lit(value).alias(name) for name, value in columns.items()),
                hour_later.alias("entry_time"),
                (hour_later + timedelta(hours=2)).alias("exit_time"),
            )
        )
    # What the defaults did not trade is no pair.
    frames[1] = frames[1].tail(390)
    pl.concat(frames).write_parquet(folder / COMPARED)


@pytest.mark.parametrize("learned_share", [0.0, 0.25, 1.0])
def test_the_share_is_what_was_won_of_what_could_be(tmp_path, learned_share):
    results(tmp_path, learned_share)
    paired = paired_trades(tmp_path)
    best = pl.col("defaults") + 1.0
    found = told(paired.with_columns(best.alias(BEST), best.alias(BEST_DEFAULT_STOP)), seed=7)
    assert found["entries"] == 390
    assert found["share"][BEST]["learned"]["value"] == pytest.approx(learned_share)
    assert found["share"][BEST]["hold_to_barrier"]["value"] == pytest.approx(1.0)
    assert f"any stop: {learned_share:.0%}" in shown(found)
