from datetime import UTC, datetime

import numpy as np
import pytest

from market.bars import DataError
from market.bars_until import BarsUntil
from market.definitions import definition_of
from market.simulate import SimulatedMarket
from market.source import file_name, is_simulated, read_symbol, source_digest
from tests.pipelines.conftest import write_bars
from tests.selection.conftest import declared, definition

AT = np.datetime64("2010-04-01T12:00", "us")
MADE = definition_of(definition(), declared("labels", "triple_barrier"))


def table_of(source):
    parts = {"features": MADE.features, "events": MADE.events, "labels": MADE.labels}
    return read_symbol(source, "EURUSD", seed=7, **parts)


def market(n_bars=3000):
    return SimulatedMarket(n_bars=n_bars, edge=0.15)


def test_bars_that_closed_later_are_not_there_and_one_that_closes_then_is():
    bars, report = BarsUntil(market(), AT).read("EURUSD", 7)
    assert bars.close_time_T[-1] == AT
    assert report.n_bars == len(bars)


def test_labels_that_end_later_are_not_known_and_all_else_is_as_it_was():
    whole, _ = table_of(market())
    at = whole.t0_N[150]  # this one has just been decided on
    cut, _ = table_of(BarsUntil(market(), at))
    n_rows = len(cut)
    assert n_rows == 151
    assert np.array_equal(cut.t0_N, whole.t0_N[:n_rows])
    assert np.array_equal(cut.x_NF, whole.x_NF[:n_rows])
    known_N = cut.label_N >= 0
    assert (cut.t1_N[known_N] <= at).all()
    assert np.array_equal(known_N, (whole.label_N[:n_rows] >= 0) & (whole.t1_N[:n_rows] <= at))
    assert not known_N[-1]


def test_the_digest_is_of_what_was_read_and_no_later_bar_changes_it():
    digests = {source_digest(BarsUntil(market(n), AT), "EURUSD", 7) for n in (2000, 3000)}
    assert len(digests) == 1
    later = source_digest(BarsUntil(market(), AT + np.timedelta64(3600, "s")), "EURUSD", 7)
    assert later not in digests
    assert source_digest(BarsUntil(market(), AT), "EURUSD", 8) not in digests


def test_a_file_that_grows_stays_the_same_data(tmp_path):
    from market.bar_files import BarFiles

    def digest(n_bars):
        write_bars(tmp_path, "EURUSD", n_bars)
        files = BarFiles(**files_of(tmp_path), clock=lambda: datetime(2030, 1, 1, tzinfo=UTC))
        source = BarsUntil(files, AT)
        assert file_name(source, "EURUSD") == "EURUSD.csv"
        assert not is_simulated(source)
        return source_digest(source, "EURUSD", 7), table_of(source)[0].x_NF

    (first, rows), (second, same_rows) = digest(2000), digest(2600)
    assert first == second
    assert np.array_equal(rows, same_rows)


def test_before_the_first_bar_there_is_nothing():
    with pytest.raises(DataError, match="EURUSD: no bar has closed by 2000"):
        BarsUntil(market(), np.datetime64("2000-01-01", "us")).read("EURUSD", 7)


def files_of(folder):
    return {
        "dir": str(folder),
        **{
            key: one
            for key, one in declared("data", "bars").items()
            if key not in ("kind", "dir", "cache", "cache_max_gb")
        },
    }
