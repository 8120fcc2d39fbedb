import hashlib
import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.build import build_event_table
from market.checks.bar_report import report_of
from market.kept_files import DTYPES, BrokenEntryError, Kept, packed, unpacked, write_whole
from tests.market.conftest import definitions, same

KEY, OTHER_KEY = "a" * 64, "b" * 64
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def kept(random_bars):
    bars = random_bars(5, 700)
    return Kept(build_event_table(bars, **definitions()), report_of(bars), NOON)


@pytest.fixture(scope="module")
def content(kept):
    return packed(KEY, kept)


@pytest.mark.parametrize(("seed", "n_bars"), [(1, 900), (2, 400), (3, 30), (6, 2)])
def test_what_was_packed_comes_back_to_the_last_bit(random_bars, seed, n_bars):
    bars = random_bars(seed, n_bars)
    table, report = build_event_table(bars, **definitions()), report_of(bars)
    back = unpacked(KEY, packed(KEY, Kept(table, report, None)))
    assert same(back.table, table)
    assert back.report == report
    assert repr(asdict(back.report)) == repr(asdict(report))
    assert back.since_utc is None


def test_time_and_labels_without_a_time_limit_come_back(kept):
    elsewhere = replace(kept, table=replace(kept.table, timed_out_N=None))
    back = unpacked(KEY, packed(KEY, elsewhere))
    assert back.since_utc == NOON
    assert back.table.timed_out_N is None
    assert same(back.table, elsewhere.table)


def test_no_array_that_came_back_can_be_written_to(content):
    table = unpacked(KEY, content).table
    assert len(table) > 5
    assert not any(getattr(table, name).flags.writeable for name in DTYPES)


@given(st.data())
def test_no_changed_byte_is_believed(content, data):
    place = data.draw(st.integers(0, len(content) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    with pytest.raises(BrokenEntryError):
        unpacked(KEY, content[:place] + bytes([value]) + content[place + 1 :])


@given(st.data())
def test_nothing_cut_or_lengthened_is_believed(content, data):
    end = data.draw(st.integers(0, len(content) - 1))
    for broken in (content[:end], content[end + 1 :], content + content[-1 - end :]):
        with pytest.raises(BrokenEntryError, match="SHA-256"):
            unpacked(KEY, broken)


def test_an_entry_under_another_name_is_not_believed(content):
    with pytest.raises(BrokenEntryError, match="another name"):
        unpacked(OTHER_KEY, content)


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"no json\n", b"[]\n", b"{}\n", b'{"key": "%s"}\n' % KEY.encode()]
)
def test_a_file_with_the_right_digest_and_no_entry_is_not_believed(body):
    digest = hashlib.sha256(body).hexdigest().encode()
    with pytest.raises(BrokenEntryError, match="something else"):
        unpacked(KEY, digest + b"\n" + body)


def test_what_could_not_come_back_is_not_packed(kept):
    wide = replace(kept.table, weight_N=kept.table.weight_N.astype(np.float32))
    with pytest.raises(TypeError, match="weight_N is float32"):
        packed(KEY, replace(kept, table=wide))
    with pytest.raises(ValueError, match="not JSON compliant"):
        packed(KEY, replace(kept, report=replace(kept.report, largest_return=np.nan)))
    with pytest.raises(TypeError, match="does not come back"):
        packed(KEY, replace(kept, report=replace(kept.report, warnings=["a list"])))


def test_whoever_reads_while_others_write_meets_one_whole_entry(kept, tmp_path):
    path = tmp_path / "entry"
    contents = [packed(KEY, replace(kept, since_utc=NOON.replace(minute=m))) for m in range(4)]
    write_whole(path, contents[0])

    def write(content):
        for _ in range(30):
            write_whole(path, content)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert [file.name for file in tmp_path.iterdir()] == ["entry"]
