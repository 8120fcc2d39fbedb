"""Clocks told from the weekly hole and from the pattern of the day."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from market.bars import Bars
from market.checks.clock import NEW_YORK_CLOSE, clock_evidence
from market.reading.time_zones import parse_zone, to_utc

HOUR = np.timedelta64(3_600_000_000, "us")
NEW_YEAR = np.datetime64("2022-01-01", "us")
DIFFERENT = ["UTC", "Europe/London", "Europe/Berlin", "Europe/Helsinki", "America/New_York",
             NEW_YORK_CLOSE, "UTC+3", "UTC-5", "UTC+8"]  # fmt: skip


def local(time_T, zone):
    there = pl.Series(time_T).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return there.dt.replace_time_zone(None).to_numpy()


def on_clock(time_T, clock):
    """UTC times as a clock shows them."""
    zone = parse_zone(clock)
    shown = time_T if zone.iana is None else local(time_T, zone.iana)
    return shown + np.timedelta64(zone.ahead_min, "m")


def make(start_T, length=HOUR, range_T=1.0):
    unit_T = np.ones(len(start_T))
    return Bars("X", start_T, unit_T, unit_T + 0.01 * range_T, unit_T, unit_T, unit_T, length)


def week(clock, opens=17, length=HOUR, n_days=700, range_T=None):
    """Currency bars from Sunday to Friday 17:00 in New York, stamped by a clock."""
    start_T = NEW_YEAR + np.arange(int(n_days * 24 * (HOUR / length))) * length
    since_T = (local(start_T, "America/New_York") - np.datetime64("2022-01-02T00", "us")) % (
        168 * HOUR
    )
    open_T = (since_T >= opens * HOUR) & (since_T < (5 * 24 + 17) * HOUR)
    shown_T = on_clock(start_T, clock)
    made = make(shown_T[open_T], length)
    return made if range_T is None else make(made.start_T, length, range_T(start_T[open_T]))


def unique(made):
    """Without hours that the end of summer time repeats, in order."""
    _, kept = np.unique(made.start_T, return_index=True)
    parts = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    return Bars(**{k: v[kept] if k.endswith("_T") else v for k, v in parts.items()})


def evidence(made, zone_is_set=False):
    return clock_evidence(unique(made), zone_is_set=zone_is_set)


@pytest.mark.parametrize("opens", [17, 18])
@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize("clock", DIFFERENT)
def test_the_clock_of_a_currency_or_a_metal_is_named(clock, minutes, opens):
    n_days = 700 if minutes == 60 else 400
    found = evidence(week(clock, opens, np.timedelta64(minutes * 60_000_000, "us"), n_days))
    assert (found.kind, found.best) == ("week", clock)
    assert found.best_share > 0.95
    assert found.looks_wrong == (clock != "UTC")
    assert (f"set data.time_zone={clock}" in found.sentence) == (clock != "UTC")


def test_the_sentence_says_what_was_seen_and_what_to_do():
    found = evidence(week("Europe/Helsinki"))
    assert found.hole == "Fri 23:00 to Mon 00:00"
    assert 0.85 < found.hole_share < 0.95
    assert found.runner_up == NEW_YORK_CLOSE
    assert found.utc_share == 0.0
    assert found.sentence == (
        "the week's hole is Fri 23:00 to Mon 00:00 in 90% of 99 weeks: the file's clock looks "
        "like Europe/Helsinki (UTC+2/+3), not UTC, in 100% of weeks; if so set "
        "data.time_zone=Europe/Helsinki (America/New_York+7h in 98%)"
    )
    after = evidence(week("Europe/Helsinki"), zone_is_set=True).sentence
    assert "after conversion the times look like Europe/Helsinki" in after
    assert "not UTC, in 100% of weeks; check data.time_zone and the file (" in after


def test_reading_the_file_by_the_clock_named_leaves_nothing_to_say():
    for clock in DIFFERENT[1:]:
        made = unique(week(clock))
        start_T, never_T = to_utc(pl.Series(made.start_T), parse_zone(clock))
        assert not never_T.any()
        converted = evidence(dataclasses.replace(made, start_T=start_T), zone_is_set=True)
        assert (converted.best, converted.looks_wrong) == ("UTC", False)


def test_a_broker_that_closes_an_hour_early_is_no_other_clock():
    made = week("UTC")
    last = np.append(np.diff(made.start_T) > 24 * HOUR, False)
    kept = {k: getattr(made, k)[~last] for k in ("start_T", "open_T", "high_T", "low_T", "close_T")}
    found = evidence(dataclasses.replace(made, volume_T=made.volume_T[~last], **kept))
    assert (found.best, found.looks_wrong) == ("UTC", False)


def european_morning(utc_T):
    hour_T = local(utc_T, "Europe/London").astype("datetime64[h]").astype(int) % 24
    return 1.0 + 3.0 * ((hour_T >= 8) & (hour_T < 16)) + 0.1 * hour_T


@pytest.mark.parametrize("clock", ["Europe/Helsinki", NEW_YORK_CLOSE])
def test_servers_that_show_only_their_monday_to_friday_are_told_apart_by_the_morning(clock):
    made = week(clock, range_T=european_morning)
    weekday_T = (made.start_T.astype("datetime64[D]").astype(int) + 3) % 7
    kept = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    kept = {k: v[weekday_T < 5] if k.endswith("_T") else v for k, v in kept.items()}
    found = evidence(Bars(**kept))
    assert found.best == clock
    assert "by the European morning" in found.sentence
    assert set(found.busiest_hours) <= set(range(10, 19))


def test_a_clock_that_changes_in_mid_file_is_told_with_the_quarter():
    early = week("Europe/Berlin", n_days=1460, range_T=european_morning)
    late = week("Europe/Helsinki", n_days=1460, range_T=european_morning)
    for made, quarters in ((early, []), (late, [])):
        assert [change.quarter for change in evidence(made).changes] == quarters
    cut = np.datetime64("2024-04-01")
    before, after = early.start_T < cut, late.start_T >= cut
    mixed = {
        f.name: np.concatenate([getattr(early, f.name)[before], getattr(late, f.name)[after]])
        for f in dataclasses.fields(early)
        if f.name.endswith("_T")
    }
    found = evidence(dataclasses.replace(early, **mixed))
    assert [(change.quarter, change.hours) for change in found.changes] == [("2024-Q2", 1)]
    assert found.looks_wrong
    assert "the day begins 1 h later from 2024-Q2 on; if so split the file there" in found.sentence


def test_where_nothing_can_be_told_nothing_is_claimed():
    every_hour = make(NEW_YEAR + np.arange(5000) * HOUR)
    days = make(NEW_YEAR + np.arange(500) * 24 * HOUR, 24 * HOUR)
    short = week("Europe/Helsinki", n_days=20)
    for made, kind in ((every_hour, "every day"), (days, "daily bars"), (short, "too short")):
        found = evidence(made)
        assert (found.kind, found.best, found.looks_wrong) == (kind, None, False)
        assert found.sentence.endswith("to tell the clock by")


def test_a_market_with_daily_sessions_shows_them():
    days = NEW_YEAR + np.arange(400) * 24 * HOUR
    open_days = days[(days.astype("datetime64[D]").astype(int) + 3) % 7 < 5]
    half = HOUR // 2
    start_T = (open_days[:, None] + 9 * HOUR + half + np.arange(13) * half).ravel()
    found = evidence(make(start_T, half))
    assert (found.kind, found.session, found.looks_wrong) == ("sessions", "09:30 to 15:30", False)
