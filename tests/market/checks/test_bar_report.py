"""Figures of bars: each is what was planted, and a person is told of it in a sentence."""

import dataclasses
import json

import numpy as np
import pytest

from market.bars import Bars
from market.checks.bar_report import MOST_WARNINGS, report_of
from market.simulate import SimulatedMarket
from selection import to_json_safe

HOUR = np.timedelta64(3_600_000_000, "us")
MONDAY = np.datetime64("2024-01-01", "us")


def bars(n_bars=1000, seed=0):
    """A calm random walk around 100, hourly and without weekends, each bar 0.2 high."""
    rng = np.random.default_rng(seed)
    close_T = 100 + np.cumsum(rng.normal(0, 0.02, n_bars))
    open_T = np.concatenate([[100.0], close_T[:-1]])
    start_T = MONDAY + np.arange(n_bars) * HOUR
    high_T, low_T = np.maximum(open_T, close_T) + 0.1, np.minimum(open_T, close_T) - 0.1
    return Bars("TEST", start_T, open_T, high_T, low_T, close_T, np.arange(n_bars) + 1.0, HOUR)


def without(made, *places):
    kept = np.delete(np.arange(len(made)), np.concatenate(places))
    parts = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    return Bars(**{k: v[kept] if k.endswith("_T") else v for k, v in parts.items()})


def told(report, words):
    assert len(report.warnings) <= MOST_WARNINGS
    return [text for text in report.warnings if words in text]


def test_calm_bars_give_rise_to_no_warning():
    report = report_of(bars())
    assert report.warnings == ()
    assert report.reading is None
    assert (report.n_bars, report.bar_length, report.off_grid_bars) == (1000, "1h", 0)
    assert (report.gaps.breaks, report.spikes.count, report.stuck.flat_bars) == (0, 0, 0)
    assert (report.zero_volume_bars, report.constant_volume, report.level_jumps) == (0, None, ())
    assert (report.first_utc, report.last_utc) == (MONDAY, MONDAY + 999 * HOUR)


@pytest.mark.parametrize("n_bars", [0, 1, 2, 3, 30])
def test_any_number_of_bars_can_be_reported_on_and_written_as_json(n_bars):
    report = report_of(bars(30).until(n_bars))
    assert report.n_bars == n_bars
    assert json.loads(json.dumps(to_json_safe(report), allow_nan=False))["n_bars"] == n_bars


def test_the_simulated_market_is_without_fault():
    report = report_of(SimulatedMarket(n_bars=5000, edge=0.1).bars("EURUSD", 3))
    assert report.warnings == ()
    assert report.gaps.breaks == 0
    assert report.clock.kind == "week"


def test_gaps_are_counted_and_the_ordinary_weekend_is_none():
    weekend = np.arange(4 * 24 + 21, 6 * 24 + 22)
    made = without(bars(), weekend, [30, 31], np.arange(400, 500))
    gaps = report_of(made).gaps
    assert (gaps.breaks, gaps.bars_missing, gaps.longest_h) == (2, 102, 101.0)
    assert gaps.longest_from_utc == MONDAY + 399 * HOUR
    assert gaps.daily_pauses == gaps.pause_bars == 0


def test_a_weekend_that_lasts_too_long_is_a_gap():
    friday, tuesday = 4 * 24 + 12, 8 * 24
    for until, n_breaks in ((friday + 76, 0), (friday + 77, 1), (tuesday, 1)):
        made = without(bars(), np.arange(friday + 1, until))
        assert report_of(made).gaps.breaks == n_breaks, until


def test_a_daily_pause_is_a_gap_of_its_own_kind():
    nightly = np.arange(22, 1000, 24)
    gaps = report_of(without(bars(), nightly, [510, 511])).gaps
    assert (gaps.breaks, gaps.bars_missing) == (len(nightly) + 1, len(nightly) + 2)
    assert (gaps.daily_pauses, gaps.pause_bars) == (len(nightly), len(nightly))
    weekly = report_of(without(bars(), np.arange(22, 1000, 168))).gaps
    assert (weekly.breaks, weekly.daily_pauses) == (6, 0)


def test_the_longest_stand_still_is_found_with_its_place():
    made = bars()
    for first, n_still in ((100, 30), (300, 40)):
        still = slice(first, first + n_still)
        for values_T in (made.open_T, made.high_T, made.low_T, made.close_T):
            values_T[still] = made.close_T[first - 1]
    report = report_of(made)
    assert (report.stuck.longest_run_bars, report.stuck.flat_bars) == (40, 70)
    assert report.stuck.longest_run_from_utc == MONDAY + 300 * HOUR
    assert report.stuck.unchanged_share == pytest.approx(70 / 999)
    assert told(report, "stands still for 40 bars from 2024-01-13 12:00 UTC")
    assert told(report, "7.0% of closes are unchanged and 7.0% of bars flat")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_spike_is_undone_by_the_next_bar(sign):
    wick, bad_close, lasting = bars(), bars(), bars()
    far_T = (wick.high_T, wick.low_T)[sign < 0]
    far_T[500] *= 1 + 0.1 * sign
    spikes = report_of(wick).spikes
    assert (spikes.count, spikes.largest_at_utc) == (1, MONDAY + 500 * HOUR)
    assert np.expm1(spikes.largest) == pytest.approx(0.1 * sign, abs=0.005)
    for values_T in (bad_close.close_T, (bad_close.high_T, bad_close.low_T)[sign < 0]):
        values_T[500] *= 1 + 0.1 * sign
    bad_close.open_T[501] = bad_close.close_T[500]
    (bad_close.high_T, bad_close.low_T)[sign < 0][501] = bad_close.close_T[500]
    report = report_of(bad_close)
    assert report.spikes.count == 1
    assert told(report, "spikes that the next bar undoes: 1, the largest of ")
    for values_T in (lasting.open_T, lasting.high_T, lasting.low_T, lasting.close_T):
        values_T[500:] *= 1 + 0.1 * sign
    assert report_of(lasting).spikes.count == 0


@pytest.mark.parametrize("factor", [0.5, 2.0, 10.0])
def test_a_lasting_jump_of_the_level_is_one_and_a_bad_tick_is_none(factor):
    made, tick = bars(), bars()
    for values_T in (made.open_T, made.high_T, made.low_T, made.close_T):
        values_T[400:] *= factor
    jump, *others = report_of(made).level_jumps
    assert others == []
    assert jump.at_utc == MONDAY + 400 * HOUR
    assert jump.factor == pytest.approx(factor, rel=0.01)
    assert told(report_of(made), f"multiplied by {factor:.2g}" if factor >= 1 else "multiplied by ")
    tick.close_T[400] *= factor
    assert report_of(tick).level_jumps == ()
    assert report_of(tick).largest_return == pytest.approx(abs(np.log(factor)), abs=0.01)


def test_a_volume_that_says_nothing_is_told():
    made = bars()
    constant = dataclasses.replace(made, volume_T=np.full(1000, 7.0))
    assert report_of(constant).constant_volume == 7.0
    assert report_of(constant).warnings == ("volume is 7 in every bar; it says nothing",)
    made.volume_T[:100] = 0
    assert report_of(made).zero_volume_bars == 100
    assert told(report_of(made), "100 bars (10.0%) have no volume")


def test_bars_off_the_grid_and_long_holes_are_told():
    made = without(bars(), np.arange(300, 450))
    made.start_T[10] += np.timedelta64(23, "m")
    report = report_of(made)
    assert report.off_grid_bars == 1
    assert told(report, "1 of 850 bars start off the 1h grid")
    assert told(report, "150 bars (15.0%) are missing in 1 breaks")
    assert told(report_of(without(bars(5000), np.arange(300, 450))), "no bar for 151 h from 2024")


def test_the_largest_return_is_found_with_its_bar():
    made = bars()
    made.close_T[700] = made.close_T[699] * np.exp(-0.05)
    report = report_of(made)
    assert report.largest_return == pytest.approx(0.05, abs=1e-3)
    assert report.largest_return_at_utc in (MONDAY + 700 * HOUR, MONDAY + 701 * HOUR)


def test_opens_that_equal_the_close_before_show_columns_that_are_swapped():
    made = bars()
    swapped = dataclasses.replace(made, open_T=made.close_T, close_T=made.open_T)
    assert (
        told(report_of(swapped), "open and close look swapped")[0] == report_of(swapped).warnings[0]
    )
    still = dataclasses.replace(made, open_T=made.low_T, close_T=made.low_T)
    assert not told(report_of(still), "open and close look swapped")


def test_the_gravest_warning_comes_first_and_the_volume_last():
    made = without(bars(), np.arange(300, 450))
    for values_T in (made.open_T, made.high_T, made.low_T, made.close_T):
        values_T[600:] *= 2
    made.high_T[500] *= 1.1
    made.start_T[10] += np.timedelta64(23, "m")
    made.volume_T[:] = 3
    signs = ["multiplied by", "spikes", "are missing", "start off", "volume is 3"]
    warnings = report_of(made).warnings
    assert len(warnings) == len(signs)
    assert all(sign in text for sign, text in zip(signs, warnings, strict=True))
