"""Real bars, where they are at hand: FX, gold and crypto, shared ones and raw ones."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from market.build import build_event_table
from market.checks.clock import clock_evidence
from market.event_table import UNDECIDED
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from tests.market.conftest import bar_files

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
FOLDER = DATA / "bars"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} does not exist")

HOUR = np.timedelta64(3_600_000_000, "us")
ROWS = {"EURUSD": 79_781, "GBPUSD": 43_204, "XAUUSD": 43_955, "BTCUSD": 29_646, "ADAUSDT": 33_942}
# Gaps, bars missing in them, longest in hours; flat bars; unchanged closes in %; bars without
# volume; largest log return: as counted when the files were made.
COUNTED = {
    "EURUSD": (23, 958, 152, 1, 0.6, 79_781, 0.023),
    "USDCHF": (17, 568, 79, 21, 0.7, 0, 0.182),
    "XAUUSD": (1551, 2856, 82, 1, 0.3, 0, 0.033),
    "BTCUSD": (59, 413, 73, 3, 0.1, 0, 0.186),
    "ADAUSDT": (24, 86, 11, 6182, 39.6, 0, 0.242),
}
FX_AND_COARSE = pytest.mark.parametrize("symbol", ["GBPUSD", "ADAUSDT"])


def declared(name, kind):
    keys = yaml.safe_load((ROOT / "conf" / name).read_text())
    return kind(**{key: value for key, value in keys.items() if key != "kind"})


def real_files(folder, **settings):
    return bar_files(DATA / folder, **settings)


@pytest.fixture(scope="module")
def make():
    return {
        "features": declared("features/smc.yaml", SmcFeatures),
        "labels": declared("labels/triple_barrier.yaml", TripleBarrier),
    }


def read(folder, symbol="EURUSD", **settings):
    source = real_files(folder, **settings)
    if symbol not in source.symbols:
        pytest.skip(f"{symbol} is not in {DATA / folder}")
    return source.read(symbol)


def three_thousand(symbol):
    """Bars 1,000 to 4,000: a symbol's first ones are wild."""
    bars, _ = read("bars", symbol)
    parts = {f.name: getattr(bars, f.name) for f in dataclasses.fields(bars)}
    return type(bars)(**{k: v[1000:4000] if k.endswith("_T") else v for k, v in parts.items()})


def test_every_file_is_read_hourly_without_a_repair_and_looks_like_utc():
    source = real_files("bars")
    assert len(source.symbols) == 16
    for symbol in source.symbols:
        bars, report = source.read(symbol)
        assert bars.length == HOUR, symbol
        assert len(bars) == report.reading.rows == ROWS.get(symbol, len(bars)), symbol
        assert (bars.start_T == bars.start_T.astype("datetime64[h]")).all(), symbol
        assert report.reading.repairs == report.reading.dropped == {}, symbol
        assert (report.clock.looks_wrong, report.off_grid_bars) == (False, 0), symbol
        assert report.clock.best == (None if symbol.endswith("USDT") else "UTC"), symbol


@pytest.mark.parametrize("symbol", COUNTED)
def test_the_report_counts_what_was_counted_before(symbol):
    _, report = read("bars", symbol)
    gaps = (report.gaps.breaks, report.gaps.bars_missing, report.gaps.longest_h)
    still = (report.stuck.flat_bars, round(100 * report.stuck.unchanged_share, 1))
    figures = (*gaps, *still, report.zero_volume_bars, round(report.largest_return, 3))
    assert figures == COUNTED[symbol]


@pytest.mark.parametrize(("symbol", "gaps"), [("EURUSD", (9, 48, 72)), ("NZDUSD", (7, 26, 24))])
def test_bars_of_four_hours_are_counted_the_same_way(symbol, gaps):
    bars, report = read("bars_h4", symbol)
    assert bars.length == 4 * HOUR
    assert (report.gaps.breaks, report.gaps.bars_missing, report.gaps.longest_h) == gaps
    assert (report.clock.best, report.warnings) == ("UTC", ())


def test_the_daily_pause_of_gold_is_told_from_an_hour_that_is_missing():
    gaps = read("bars", "XAUUSD")[1].gaps
    assert (gaps.daily_pauses, gaps.pause_bars) == (1398, 1398)


def test_the_first_and_last_hours_are_those_of_the_source():
    bars, report = read("bars", "GBPUSD")
    assert bars.start_T[0] == report.first_utc == np.datetime64("2012-11-16T04:00")
    assert bars.start_T[-1] == report.last_utc == np.datetime64("2019-11-08T21:00")


def test_a_file_on_european_server_time_is_found_out_and_read_right_when_told():
    bars, report = read("raw/mt4_headerless")
    assert report.clock.hole == "Fri 23:00 to Mon 00:00"
    assert (report.clock.best, report.clock.looks_wrong) == ("Europe/Helsinki", True)
    assert "if so set data.time_zone=Europe/Helsinki" in report.warnings[0]
    _, wrong = read("raw/mt4_headerless", time_zone="UTC")
    assert "check data.time_zone" in wrong.warnings[0]
    right, told = read("raw/mt4_headerless", time_zone="Europe/Helsinki")
    assert (told.clock.best, told.warnings, len(right)) == ("UTC", (), len(bars))
    known, _ = read("bars")
    _, ours, theirs = np.intersect1d(right.start_T, known.start_T, return_indices=True)
    assert len(ours) > 2900
    returns = np.diff(np.log([right.close_T[ours], known.close_T[theirs]]))
    assert np.corrcoef(returns)[0, 1] > 0.95


def test_bars_stamped_five_minutes_past_are_moved_to_their_hour():
    bars, report = read("raw/mt4_header")
    assert report.reading.repairs == {"stamped late, moved to their bar's start": 450}
    assert (bars.start_T == bars.start_T.astype("datetime64[h]")).all()
    assert (len(bars), report.off_grid_bars, report.clock.best) == (3728, 0, "UTC")
    assert (report.gaps.breaks, report.gaps.bars_missing) == (0, 0)


def test_an_export_with_the_day_first_needs_no_help():
    bars, report = read("raw/dukascopy_ask")
    assert (len(bars), report.clock.best, report.warnings) == (6225, "UTC", ())
    assert bars.start_T[0] == np.datetime64("2017-01-01T22:00")
    assert report.reading.repairs == report.reading.dropped == {}


def on_clock(bars, zone, ahead_h=0):
    """The same bars as a server writes them; the hour that comes twice a year only once."""
    utc = pl.Series(bars.start_T).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    shown_T = utc.dt.replace_time_zone(None).to_numpy() + ahead_h * HOUR
    shown_T, kept = np.unique(shown_T, return_index=True)
    names = ("open_T", "high_T", "low_T", "close_T", "volume_T")
    values = {name: getattr(bars, name)[kept] for name in names}
    return dataclasses.replace(bars, start_T=shown_T, **values)


@pytest.mark.parametrize("symbol", ["EURUSD", "USDCAD", "GBPJPY"])
@pytest.mark.parametrize(
    ("zone", "ahead_h", "name"),
    [
        ("Europe/London", 0, "Europe/London"),
        ("Europe/Berlin", 0, "Europe/Berlin"),
        ("Europe/Helsinki", 0, "Europe/Helsinki"),
        ("America/New_York", 0, "America/New_York"),
        ("America/New_York", 7, "America/New_York+7h"),
    ],
)
def test_real_bars_on_another_clock_are_found_out(symbol, zone, ahead_h, name):
    bars, _ = read("bars", symbol)
    found = clock_evidence(on_clock(bars, zone, ahead_h), zone_is_set=False)
    assert (found.best, found.changes) == (name, ())
    assert f"set data.time_zone={name}" in found.sentence


@pytest.mark.parametrize("symbol", ["GBPUSD", "EURJPY", "USDCHF"])
def test_a_source_that_changed_its_clock_in_mid_file_is_found_out(symbol):
    bars, _ = read("bars", symbol)
    cut = np.datetime64("2014-11-22")
    early, late = on_clock(bars, "Europe/Berlin"), on_clock(bars, "Europe/Helsinki")
    before_T, after_T = early.start_T < cut, late.start_T >= cut
    names = [f.name for f in dataclasses.fields(bars) if f.name.endswith("_T")]
    mixed = {n: np.r_[getattr(early, n)[before_T], getattr(late, n)[after_T]] for n in names}
    found = clock_evidence(dataclasses.replace(bars, **mixed), zone_is_set=False)
    assert [(change.quarter, change.hours) for change in found.changes] == [("2015-Q1", 1)]
    assert found.looks_wrong


def test_the_coarse_symbol_is_coarse():
    bars = three_thousand("ADAUSDT")
    assert np.mean(np.diff(bars.close_T) == 0) > 0.2
    assert (bars.high_T == bars.low_T).sum() > 100


@FX_AND_COARSE
@pytest.mark.parametrize("every_bar", [False, True])
def test_cutting_real_bars_changes_nothing_that_was_known(make, symbol, every_bar):
    bars = three_thousand(symbol)
    events = EveryBar() if every_bar else declared("events/smc.yaml", SmcEvents)
    full = build_event_table(bars, events=events, **make)
    assert len(full) > 100
    assert np.isfinite(full.x_NF).all()
    for cut in (400, 1217, 2048, 2999):
        past = build_event_table(bars.until(cut), events=events, **make)
        known = full.t0_N <= bars.close_time_T[cut - 1]
        np.testing.assert_array_equal(past.t0_N, full.t0_N[known])
        assert past.x_NF.tobytes() == full.x_NF[known].tobytes()
        decided = past.label_N != UNDECIDED
        late = full.t1_N[known] > bars.close_time_T[cut - 1]
        np.testing.assert_array_equal(~decided, late | np.isnat(full.t1_N[known]))
        for name in ("label_N", "t1_N", "weight_N"):
            then, now = getattr(past, name)[decided], getattr(full, name)[known][decided]
            assert then.tobytes() == now.tobytes(), name


@FX_AND_COARSE
def test_a_label_needs_its_last_bar_and_none_after_it(make, symbol):
    bars, rng = three_thousand(symbol), np.random.default_rng(0)
    table = build_event_table(bars, events=EveryBar(), **make)
    for event in rng.choice(len(table) - 100, 12, replace=False):
        last = int(np.searchsorted(bars.close_time_T, table.t1_N[event]))
        without = build_event_table(bars.until(last), events=EveryBar(), **make)
        assert without.label_N[event] == UNDECIDED
        until = build_event_table(bars.until(last + 1), events=EveryBar(), **make)
        assert until.label_N[event] == table.label_N[event] != UNDECIDED


@FX_AND_COARSE
def test_a_label_changes_with_no_price_after_its_end(make, symbol):
    bars = three_thousand(symbol)
    table = build_event_table(bars, events=EveryBar(), **make)
    late_T = bars.close_time_T > bars.close_time_T[1500]
    scale_T = np.where(late_T, 3.0, 1.0)
    names = ("open_T", "high_T", "low_T", "close_T")
    tripled = dataclasses.replace(bars, **{n: getattr(bars, n) * scale_T for n in names})
    other = build_event_table(tripled, events=EveryBar(), **make)
    ended = table.t1_N <= bars.close_time_T[1500]
    assert 800 < ended.sum() < len(table)
    for name in ("label_N", "t1_N", "weight_N"):
        assert (getattr(table, name)[ended] == getattr(other, name)[ended]).all(), name
    assert (table.label_N[~ended] != other.label_N[~ended]).any()
