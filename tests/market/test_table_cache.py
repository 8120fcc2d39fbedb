import logging
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.build import build_event_table
from market.checks.bar_report import report_of
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.kept_files import Kept
from market.labels import TripleBarrier
from market.reading.file_bytes import MOST_BYTES
from market.simulate import SimulatedMarket
from market.table_cache import TableCache, code_digest, table_cache, table_key
from tests.market.conftest import bar_files, declared, definitions

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
KEYS = [letter * 64 for letter in "abcdef"]
ABANDONED = f".{KEYS[0]}.events.01234567.tmp"
SETTINGS = {
    "features": (SmcFeatures, declared("features/smc")),
    "events": (SmcEvents, declared("events/smc")),
    "labels": (TripleBarrier, declared("labels/triple_barrier")),
}


@pytest.fixture(scope="module")
def kept(random_bars):
    bars = random_bars(5, 400)
    return Kept(build_event_table(bars, **definitions()), report_of(bars), NOON)


def cache_in(folder, max_bytes=1e9, data=None):
    return TableCache(folder, max_bytes=max_bytes, data=data)


def warnings(caplog):
    return [one.message for one in caplog.records if one.levelno >= logging.WARNING]


def test_what_was_kept_is_found_by_its_key_alone(kept, tmp_path):
    folder = tmp_path / "not" / "made yet"
    assert cache_in(folder).get(KEYS[0], now_utc=None) is None
    assert not folder.exists()
    cache_in(folder).keep(KEYS[0], kept)
    assert cache_in(folder).get(KEYS[0], now_utc=NOON).report == kept.report
    assert cache_in(folder).get(KEYS[1], now_utc=NOON) is None


def test_an_entry_made_later_than_now_is_passed_over(kept, tmp_path):
    cache = cache_in(tmp_path)
    cache.keep(KEYS[0], kept)
    assert cache.get(KEYS[0], now_utc=NOON - timedelta(microseconds=1)) is None
    assert cache.get(KEYS[0], now_utc=NOON) is not None
    assert cache.get(KEYS[0], now_utc=None) is not None


def break_by_emptying(path):
    path.write_bytes(b"")


def break_by_text(path):
    path.write_text("not an entry\n" * 20)


def break_by_a_folder(path):
    path.unlink()
    path.mkdir()


def break_by_another_entry(path):
    path.write_bytes(path.with_name(f"{KEYS[1]}.events").read_bytes())


BREAKS = [break_by_emptying, break_by_text, break_by_a_folder, break_by_another_entry]


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_broken_entry_is_none_and_says_so_only_in_detail(break_it, kept, tmp_path, caplog):
    cache, path = cache_in(tmp_path), tmp_path / f"{KEYS[0]}.events"
    for key in KEYS[:2]:
        cache.keep(key, kept)
    break_it(path)
    with caplog.at_level(logging.DEBUG, "market"):
        assert cache.get(KEYS[0], now_utc=None) is None
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "cannot be used and is made anew" in record.message


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_none_at_once(put, kept, tmp_path):
    put(tmp_path / f"{KEYS[0]}.events")
    assert cache_in(tmp_path).get(KEYS[0], now_utc=None) is None


def test_an_entry_too_large_to_be_one_is_not_read(tmp_path):
    with (tmp_path / f"{KEYS[0]}.events").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert cache_in(tmp_path).get(KEYS[0], now_utc=None) is None


def test_a_folder_that_cannot_be_written_to_is_said_once(kept, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = cache_in(tmp_path / "file" / "cache")
    for key in KEYS[:3]:
        assert cache.get(key, now_utc=None) is None
        cache.keep(key, kept)
    (said,) = warnings(caplog)
    assert said.startswith(f"data.cache: {tmp_path}/file/cache cannot be written to (")
    assert said.endswith("are not kept for the next run; name another folder, or null")


@pytest.mark.parametrize("inside", [".", "runs/cache"])
def test_nothing_is_written_into_the_users_data(inside, kept, tmp_path, caplog):
    cache = cache_in(tmp_path / inside, data=tmp_path)
    for key in KEYS[:2]:
        assert cache.get(key, now_utc=None) is None
        cache.keep(key, kept)
    assert list(tmp_path.iterdir()) == []
    (said,) = warnings(caplog)
    assert "lies in data.dir, which is left alone" in said


def test_beside_a_single_file_of_data_there_is_room(kept, tmp_path):
    (tmp_path / "EURUSD.csv").write_text("")
    cache = cache_in(tmp_path / "runs", data=tmp_path / "EURUSD.csv")
    assert cache.get(KEYS[0], now_utc=None) is None
    cache.keep(KEYS[0], kept)
    assert cache.get(KEYS[0], now_utc=None) is not None


def at(path, seconds_ago):
    when = time.time() - seconds_ago
    os.utime(path, (when, when))


def test_the_least_recently_used_goes_where_there_is_no_room(kept, tmp_path):
    cache_in(tmp_path).keep(KEYS[0], kept)
    paths = {key: tmp_path / f"{key}.events" for key in KEYS}
    size = paths[KEYS[0]].stat().st_size
    for number, key in enumerate(KEYS[:4]):
        cache_in(tmp_path).keep(key, kept)
        at(paths[key], seconds_ago=1000 - number)
    roomy = cache_in(tmp_path, max_bytes=4.5 * size)
    assert roomy.get(KEYS[0], now_utc=None) is not None  # used: now the youngest
    roomy.keep(KEYS[4], kept)
    assert {key for key in KEYS if paths[key].exists()} == {*KEYS[:5]} - {KEYS[1]}


def test_one_process_keeps_to_its_room_however_many_it_writes(kept, tmp_path):
    cache_in(tmp_path).keep(KEYS[0], kept)
    size = (tmp_path / f"{KEYS[0]}.events").stat().st_size
    cache = cache_in(tmp_path, max_bytes=3 * size)
    for number in range(20):
        cache.keep(f"{number:064x}", kept)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * size
    assert cache.get(f"{19:064x}", now_utc=None) is not None


def test_an_entry_larger_than_all_room_stays_alone(kept, tmp_path):
    cache = cache_in(tmp_path, max_bytes=10)
    for key in KEYS[:3]:
        cache.keep(key, kept)
        assert [path.name for path in tmp_path.iterdir()] == [f"{key}.events"]


def test_nothing_but_entries_and_what_was_cut_off_is_removed(kept, tmp_path):
    others = ["notes.txt", "EURUSD.events", f"{KEYS[1]}.events.bak", ABANDONED.replace("0", "1")]
    for name in [*others, ABANDONED]:
        (tmp_path / name).write_text("theirs")
    at(tmp_path / ABANDONED, seconds_ago=2 * 3600)
    cache_in(tmp_path, max_bytes=10).keep(KEYS[0], kept)
    assert {path.name for path in tmp_path.iterdir()} == {*others, f"{KEYS[0]}.events"}


def test_what_cannot_be_packed_is_not_kept_and_ends_nothing(kept, tmp_path, caplog):
    odd = Kept(kept.table, None, NOON)
    with caplog.at_level(logging.DEBUG, "market"):
        cache_in(tmp_path).keep(KEYS[0], odd)
    assert list(tmp_path.iterdir()) == []
    assert [one.levelno for one in caplog.records] == [logging.DEBUG]


@pytest.mark.parametrize(
    ("folder", "max_gb", "said"),
    [
        (" ", 1.0, "cache must name a folder, or be null, was ' '"),
        ("~nobody-of-that-name/x", 1.0, "cache '~nobody-of-that-name/x' is in a home"),
        ("x", 0.0, "cache_max_gb must be above 0, was 0.0"),
        (None, -1, "cache_max_gb must be above 0, was -1"),
    ],
)
def test_an_unusable_setting_is_named(folder, max_gb, said):
    with pytest.raises(ValueError, match=said):
        table_cache(folder, max_gb)


def test_no_folder_is_no_cache():
    assert table_cache(None, 1.0) is None
    assert table_cache("x", 2.0).max_bytes == 2e9


def key_with(place=None, name=None, value=None):
    """Return the key of one file's table, with one setting of the definitions changed."""
    made = {}
    for part, (kind, settings) in SETTINGS.items():
        made[part] = kind(**(settings | {name: value} if part == place else settings))
    return table_key({"sha256": "0"}, *made.values())


NUMBERS = [
    (part, name)
    for part, (_, settings) in SETTINGS.items()
    for name, value in settings.items()
    if not isinstance(value, bool)
]


@given(st.sampled_from(NUMBERS), st.integers(2, 60))
def test_any_number_of_a_definition_is_in_the_key(setting, value):
    place, name = setting
    value = 50 + value / 2 if name == "rsi_overbought" else value
    is_as_it_was = value == SETTINGS[place][1][name]
    assert (key_with(place, name, value) == key_with()) == is_as_it_was


@pytest.mark.parametrize("name", ["breaks", "block_touches", "gap_entries"])
def test_which_events_fire_is_in_the_key(name):
    assert key_with("events", name, False) != key_with()


def test_the_kind_of_events_is_in_the_key():
    parts = definitions()
    every_bar = table_key({}, parts["features"], EveryBar(), parts["labels"])
    assert every_bar != table_key({}, *parts.values())


def test_the_libraries_versions_are_in_the_key(monkeypatch):
    before = table_key({"file": "a"})
    assert table_key({"file": "a"}) == before
    monkeypatch.setattr("polars.__version__", "0.0.0")
    assert table_key({"file": "a"}) != before


def test_a_line_of_code_more_is_another_code(tmp_path):
    (tmp_path / "inner").mkdir()
    module = tmp_path / "inner" / "module.py"
    seen = set()
    for text in ("A = 1\n", "A = 1\nB = 2\n", ""):
        module.write_text(text)
        code_digest.cache_clear()
        seen.add(code_digest(tmp_path))
        (tmp_path / "notes.txt").write_text(text)
        code_digest.cache_clear()
        assert code_digest(tmp_path) in seen
    module.rename(tmp_path / "other.py")
    code_digest.cache_clear()
    assert len(seen | {code_digest(tmp_path)}) == 4


def test_without_sources_no_code_counts_as_the_same(tmp_path):
    first = code_digest(tmp_path)
    code_digest.cache_clear()
    assert code_digest(tmp_path) != first


def test_what_is_read_of_a_simulated_market_is_its_identity():
    def identity(n_bars=100, edge=0.15, symbol="EURUSD", seed=7):
        return SimulatedMarket(n_bars=n_bars, edge=edge).identity(symbol, seed)

    others = [
        identity(n_bars=101),
        identity(edge=0.1500000001),
        identity(symbol="GBPUSD"),
        identity(seed=8),
    ]
    assert identity() == identity()
    assert len({table_key(one) for one in [identity(), *others]}) == 5


TEXT = "timestamp,open,high,low,close,volume\n2024-01-01 00:00:00,1,2,0.5,1.5,10\n"
CHANGES = [
    {"separator": "comma"},
    {"encoding": "utf-8"},
    {"header": True},
    {"decimal": "."},
    {"time_format": "%Y-%m-%d %H:%M:%S"},
    {"time_zone": "UTC+2"},
    {"bar_length": "1h"},
    {"columns": {"volume": 0}},
    {"max_dropped": 0.5},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_every_reading_option_is_in_a_files_identity(change, tmp_path):
    (tmp_path / "EURUSD.csv").write_text(TEXT)
    identity = bar_files(tmp_path).identity("EURUSD")
    assert bar_files(tmp_path).identity("EURUSD") == identity
    assert table_key(bar_files(tmp_path, **change).identity("EURUSD")) != table_key(identity)


def test_content_and_name_of_a_file_are_in_its_identity_and_its_folder_is_not(tmp_path):
    keys = []
    for place, name, text in (
        ("a", "EURUSD.csv", TEXT),
        ("b", "EURUSD.csv", TEXT),
        ("c", "EURUSD.csv", TEXT + "\n"),
        ("d", "EURUSD_H1.csv", TEXT),
    ):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_text(text)
        keys.append(table_key(bar_files(tmp_path / place).identity("EURUSD")))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
