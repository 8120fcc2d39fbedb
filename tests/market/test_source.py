"""One symbol read with what was kept, and without: nobody could tell which."""

from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import numpy as np
import polars as pl
import pytest

from market.bars import DataError
from market.simulate import SimulatedMarket
from market.source import read_symbol, source_digest
from tests.market.conftest import bar_files, definitions, same

N_BARS = 700


def write(folder, bars, n_bars=None, name="EURUSD.csv"):
    """Write bars as a price file, the first so many, with a row that is left out as bad."""
    names = ("open", "high", "low", "close", "volume")
    columns = {name: getattr(bars, f"{name}_T") for name in names}
    frame = pl.DataFrame({"timestamp": bars.start_T} | columns)[:n_bars]
    bad = frame[-1:].with_columns(pl.lit(None, pl.Datetime("us")).alias("timestamp"))
    folder.mkdir(parents=True, exist_ok=True)
    pl.concat([frame, bad]).write_csv(folder / name)


@pytest.fixture
def folder(random_bars, tmp_path):
    write(tmp_path / "prices", random_bars(5, N_BARS))
    return tmp_path


def files(folder, *, cache="cache", **settings):
    kept = None if cache is None else str(folder / cache)
    return bar_files(folder / "prices", cache=kept, max_dropped=0.1, **settings)


def market(folder, *, cache="cache"):
    kept = None if cache is None else str(folder / cache)
    return SimulatedMarket(n_bars=N_BARS, edge=0.15, cache=kept)


def read(source, **changes):
    return read_symbol(source, "EURUSD", seed=7, **definitions(**changes))


def entries(folder):
    return sorted(path.name for path in (folder / "cache").glob("*"))


@pytest.fixture
def nothing_is_made(monkeypatch):
    """Return a switch: from then on, making features fails."""

    def refuse(*_, **__):
        pytest.fail("made anew")

    return lambda: monkeypatch.setattr("market.source.build_event_table", refuse)


@pytest.mark.parametrize("opened", [files, market])
def test_the_second_reading_makes_nothing_and_is_the_same(opened, folder, nothing_is_made):
    plain_table, plain_report = read(opened(folder, cache=None))
    first_table, first_report = read(opened(folder))
    nothing_is_made()
    table, report = read(opened(folder))
    assert len(table) > 5
    assert same(table, plain_table)
    assert same(first_table, plain_table)
    assert report == first_report == plain_report
    assert repr(report) == repr(plain_report)


@pytest.mark.parametrize("opened", [files, market])
def test_the_digest_of_the_data_is_the_same_with_a_cache_and_without(opened, folder):
    for _ in range(2):
        sources = [opened(folder, cache=cache) for cache in (None, "cache")]
        for source in sources:
            read(source)
        digests = {source_digest(source, "EURUSD", 7) for source in sources}
        assert len(digests) == 1


def test_a_report_with_warnings_and_dropped_rows_comes_back(folder, nothing_is_made):
    _, before = read(files(folder, time_zone="Europe/Helsinki"))
    nothing_is_made()
    _, report = read(files(folder, time_zone="Europe/Helsinki"))
    assert report == before
    assert report.reading.dropped["no time"].count == 1
    assert report.warnings


def test_other_definitions_are_other_entries(folder):
    table, _ = read(files(folder))
    assert not same(read(files(folder), swing_length=4)[0], table)
    assert len(entries(folder)) == 2
    assert same(read(files(folder))[0], table)


def test_more_bars_in_the_file_are_another_entry(folder, random_bars):
    before, _ = read(files(folder))
    write(folder / "prices", random_bars(5, 900))
    after, report = read(files(folder))
    assert report.n_bars > N_BARS
    assert same(after, read(files(folder, cache=None))[0])
    assert len(after) > len(before)


def test_no_row_up_to_a_cut_changes_whether_either_was_kept(folder, random_bars):
    whole, _ = read(files(folder))
    write(folder / "prices", random_bars(5, N_BARS), n_bars=500)
    for _ in range(2):
        cut, _ = read(files(folder))
        assert len(whole) > len(cut) > 5
        assert np.array_equal(whole.x_NF[: len(cut)], cut.x_NF)
        assert (whole.t0_N[: len(cut)] == cut.t0_N).all()


def test_a_broken_entry_is_made_anew_and_put_right(folder):
    table, report = read(files(folder))
    (path,) = (folder / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again_table, again_report = read(files(folder))
    assert same(again_table, table)
    assert again_report == report
    assert path.stat().st_size == len(whole)


def test_what_failed_is_not_kept_and_fails_again_in_the_same_words(folder):
    (folder / "prices" / "EURUSD.csv").write_text("timestamp,open\n2024-01-01,1\n")
    said = set()
    for cache in ("cache", "cache", None):
        with pytest.raises(DataError) as error:
            read(files(folder, cache=cache))
        said.add(str(error.value))
    assert len(said) == 1
    assert not (folder / "cache").exists()


def at(when):
    return lambda: when


def test_a_bar_that_is_still_forming_is_looked_at_again(folder, random_bars):
    last = random_bars(5, N_BARS).start_T[-1].astype(datetime).replace(tzinfo=UTC)
    half, whole = (last + timedelta(minutes=minutes) for minutes in (30, 60))
    for _ in range(2):
        _, report = read(files(folder, clock=at(half)))
        assert report.n_bars == N_BARS - 1
    assert not (folder / "cache").exists()
    assert read(files(folder, clock=at(whole)))[1].n_bars == N_BARS
    assert len(entries(folder)) == 1


def test_a_clock_that_was_put_back_says_what_it_says_without_a_cache(folder, random_bars):
    read(files(folder))
    before = random_bars(5, N_BARS).start_T[400].astype(datetime).replace(tzinfo=UTC)
    for cache in ("cache", None):
        with pytest.raises(DataError, match="is in the future"):
            read(files(folder, cache=cache, clock=at(before)))


def test_what_changes_while_it_is_read_is_kept_as_what_was_read(folder, random_bars, monkeypatch):
    source, path = files(folder), folder / "prices" / "EURUSD.csv"
    first, identity = path.read_bytes(), source.identity

    def then_changed(symbol):
        found = identity(symbol)
        write(folder / "prices", random_bars(8, N_BARS))
        return found

    monkeypatch.setattr(source, "identity", then_changed)
    changed, _ = read(source)
    assert same(read(files(folder, cache=None))[0], changed)
    assert same(read(files(folder))[0], changed)
    path.write_bytes(first)
    assert not same(read(files(folder))[0], changed)


def _read_in_a_process(folder):
    table, report = read(files(folder))
    return len(table), repr(report)


def test_two_runs_at_once_make_one_entry_that_both_can_read(folder):
    with get_context("spawn").Pool(2) as pool:
        found = pool.map(_read_in_a_process, [folder] * 4)
    assert len(set(found)) == 1
    assert len(entries(folder)) == 1
    assert len(read(files(folder))[0]) == found[0][0]
