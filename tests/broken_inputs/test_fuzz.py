"""Whatever a file holds: bars or a table that keep their promises, or one line naming the file.

Longer: ``ASSAY_FUZZ_EXAMPLES=20000 python -m pytest tests/broken_inputs/test_fuzz.py``.
"""

import hashlib
import io
import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bars import DataError
from market.build import build_event_table
from market.checks.bar_report import BarReport, report_of
from market.kept_files import DTYPES, BrokenEntryError, Kept, packed, unpacked
from market.reading.file_names import named, price_files
from market.reading.safe_names import SYMBOL, symbol_keys
from market.table_files import TableFiles
from tests.broken_inputs.fuzzing import (
    FUZZ,
    ODD_CELLS,
    SEEDS,
    TABLE_SEEDS,
    any_table,
    assert_are_bars,
    assert_is_a_line,
    assert_is_a_table,
    assert_is_a_whole_table,
    spoilt,
)
from tests.broken_inputs.rows import PRICES, bars, parquet, table, text
from tests.market.conftest import bar_files, definitions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = "a" * 64
OWN = ("timestamp", "f0", "f1", "label", "label_end", "weight")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


def read_bars(folder, content, file="EURUSD.csv", **options):
    (folder / file).write_bytes(content)
    source = bar_files(folder / file, clock=lambda: NOON, **options)
    try:
        found, report = source.read("EURUSD")
    except DataError as error:
        assert_is_a_line(error, file)
        return None
    assert_are_bars(found)
    assert all(sentence.isprintable() for sentence in report.warnings)
    return found


def read_table(folder, content, file="EURUSD.csv"):
    place = folder / file.partition(".")[2]
    place.mkdir(exist_ok=True)
    (place / file).write_bytes(content)
    try:
        found = TableFiles(dir=str(place), clock=lambda: NOON).table("EURUSD")
    except DataError as error:
        assert_is_a_line(error, file)
    else:
        assert_is_a_table(found)


@FUZZ
@given(spoilt(SEEDS))
def test_spoilt_files_of_bars(folder, content):
    read_bars(folder, content)


@FUZZ
@given(any_table(("time", *PRICES)))
def test_cells_of_any_kind_for_bars(folder, content):
    read_bars(folder, content)


@FUZZ
@given(
    st.lists(
        st.sampled_from(ODD_CELLS) | st.datetimes().map(str) | st.text(max_size=20), max_size=5
    ),
    st.sampled_from((None, "Europe/Helsinki", "UTC+2", "America/New_York+7h")),
    st.sampled_from((None, "%d/%m/%Y %H:%M", "%Y-%m-%d", "%H:%M %d", "%y%m%d %I%p")),
)
def test_cells_of_any_kind_for_times(folder, cells, zone, form):
    lines = text(bars(30)).splitlines()
    for row, cell in enumerate(cells, start=3):
        lines[row] = f"{cell},{lines[row].partition(',')[2]}"
    content = "\n".join(lines).encode(errors="replace")
    read_bars(folder, content, time_zone=zone, time_format=form)


@FUZZ
@given(spoilt(TABLE_SEEDS), st.sampled_from(("EURUSD.csv", "EURUSD.parquet", "EURUSD.csv.gz")))
def test_spoilt_tables(folder, content, file):
    read_table(folder, content, file)


@FUZZ
@given(any_table(OWN))
def test_cells_of_any_kind_for_tables(folder, content):
    read_table(folder, content)


@FUZZ
@given(st.data())
def test_flipped_bytes_of_parquet(folder, data):
    frame, read = data.draw(st.sampled_from(((bars(60), read_bars), (table(60), read_table))))
    packing = data.draw(st.sampled_from(("zstd", "snappy", "uncompressed", "gzip", "lz4")))
    content = bytearray(parquet(frame, compression=packing))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read(folder, bytes(content))


@FUZZ
@given(st.lists(st.text(max_size=40).filter(lambda name: "/" not in name), max_size=6))
def test_names_of_files(names):
    said = {named(Path(f"x{name}.csv"), None).symbol for name in names}
    keys = symbol_keys(said)
    assert set(keys) == said
    assert len(set(keys.values())) == len(said)
    for symbol, key in keys.items():
        assert SYMBOL.fullmatch(key)
        assert key == symbol or not SYMBOL.fullmatch(symbol)


def test_names_on_the_disk(tmp_path):
    for number in range(1, 256):
        if chr(number) != "/":
            Path(tmp_path, f"A{chr(number)}{number}.csv").touch()
    files = price_files(tmp_path, None)
    assert len(files) == 254
    assert all(SYMBOL.fullmatch(symbol) for symbol in files)


@pytest.fixture(scope="module")
def entry(random_bars):
    made = random_bars(5, 700)
    content = packed(KEY, Kept(build_event_table(made, **definitions()), report_of(made), NOON))
    return io.BytesIO(content)  # which is shown in few words


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=3), PLAIN, max_size=2)


PLACES = [
    *((None, name) for name in ("key", "symbol", "names_F", "shapes", "report", "since_utc")),
    *(("shapes", name) for name in DTYPES),
    *(("report", field.name) for field in fields(BarReport)),
]


@FUZZ
@given(st.sampled_from(PLACES), JSON, st.floats(0, 1))
def test_entries_that_another_has_written(entry, place, value, kept_share):
    """Whose digest fits, but not what is in it."""
    _, line, arrays = entry.getvalue().split(b"\n", 2)
    part, name = place
    index = json.loads(line)
    (index if part is None else index[part])[name] = value
    body = json.dumps(index).encode() + b"\n" + arrays[: round(kept_share * len(arrays))]
    content = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    try:
        found = unpacked(KEY, content).table
    except BrokenEntryError:
        return
    assert_is_a_whole_table(found)
