"""Trades on disk: each once, whatever is killed, torn, rotated or written by somebody else."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live import line_files
from live.line_files import InUseError, LineFilesError
from live.trade_log import COLUMNS, FILE, Entry, TradeLog, read_trades
from tests.live.trades import any_trade, trade


def entries(*numbers):
    return [Entry(trade(number), f"{number}-0") for number in numbers]


def opened(folder, rotate_bytes=10**9):
    return TradeLog(folder, rotate_bytes=rotate_bytes)


def write(folder, *numbers, rotate_bytes=10**9):
    log = opened(folder, rotate_bytes)
    for number in numbers:
        log.append(entries(number))
    log.close()


def order_ids(folder):
    return read_trades(folder)["order_id"].to_list()


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(any_trade(), unique_by=lambda one: one.order_id, max_size=6))
def test_trades_are_read_as_they_were_recorded(tmp_path_factory, trades):
    folder = tmp_path_factory.mktemp("log")
    log = opened(folder)
    log.append([Entry(one, "1-0") for one in trades])
    log.close()
    assert read_trades(folder).to_dicts() == [one.model_dump() for one in trades]


def test_a_folder_without_trades_gives_an_empty_frame(tmp_path):
    found = read_trades(tmp_path / "none")
    assert (found.height, dict(found.schema)) == (0, dict(COLUMNS))
    write(tmp_path)
    assert read_trades(tmp_path).height == 0


def test_times_are_read_in_utc(tmp_path):
    write(tmp_path, 3)
    times = read_trades(tmp_path)["timestamp"]
    assert times.dtype == pl.Datetime("us", "UTC")
    assert times[0] == trade(3).timestamp.astimezone(UTC)


def test_what_was_recorded_is_known_after_a_restart(tmp_path):
    write(tmp_path, 1, 2, rotate_bytes=300)
    log = opened(tmp_path)
    assert len(log) == 2
    assert log.other_than(trade(1)) == []
    assert log.other_than(trade(1, exit_price=9.0, quantity=2.0)) == ["exit_price", "quantity"]
    assert log.other_than(trade(3)) is None
    log.close()


def test_full_files_are_numbered_from_the_oldest_on(tmp_path):
    write(tmp_path, *range(7), rotate_bytes=700)
    names = sorted(path.name for path in tmp_path.glob("clm_trades*"))
    assert names[:2] == ["clm_trades.000001.jsonl", "clm_trades.000002.jsonl"]
    assert FILE in names
    write(tmp_path, *range(7, 12), rotate_bytes=700)
    assert order_ids(tmp_path) == [f"o{number}" for number in range(12)]
    lines = [path.read_bytes().splitlines() for path in sorted(tmp_path.glob("clm_trades.0*"))]
    assert all(len(found) == 2 for found in lines)


def test_files_moved_away_again_and_again_never_have_the_same_name(tmp_path):
    archive, folder = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    for begin in range(0, 9, 3):
        write(folder, *range(begin, begin + 3), rotate_bytes=300)
        for full in sorted(folder.glob("clm_trades.0*.jsonl")):
            assert not (archive / full.name).exists()
            full.rename(archive / full.name)
    (folder / FILE).rename(archive / FILE)
    assert order_ids(archive) == [f"o{number}" for number in range(9)]


def test_files_from_before_numbers_were_kept_count_from_the_next_start_on(tmp_path):
    write(tmp_path, *range(5), rotate_bytes=300)
    (tmp_path / ".clm_trades.last").unlink()
    write(tmp_path, rotate_bytes=300)
    for full in tmp_path.glob("clm_trades.0*.jsonl"):
        full.unlink()
    write(tmp_path, 5, rotate_bytes=300)
    assert [path.name for path in tmp_path.glob("clm_trades.0*")] == ["clm_trades.000005.jsonl"]


def test_a_last_number_that_is_none_is_refused_with_its_file(tmp_path):
    (tmp_path / ".clm_trades.last").write_text("seven\n")
    with pytest.raises(LineFilesError, match=r"\.clm_trades\.last: holds no number; write into it"):
        opened(tmp_path)
    (tmp_path / ".clm_trades.last").write_text("7\n")
    opened(tmp_path).close()


@pytest.mark.parametrize("step", ["write_bytes_atomically", "rename", "sync_folder", "open"])
def test_a_rotation_cut_off_anywhere_loses_and_doubles_nothing(tmp_path, monkeypatch, step):
    log = opened(tmp_path, rotate_bytes=300)
    log.append(entries(1))

    def killed(*_arguments, **_named):
        raise KeyboardInterrupt

    places = {
        "rename": (line_files.Path, "rename"),
        "sync_folder": (line_files, "sync_folder"),
        "write_bytes_atomically": (line_files, "write_bytes_atomically"),
        "open": (line_files.LineFiles, "_opened"),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*places[step], killed)
        with pytest.raises(KeyboardInterrupt):
            log.append(entries(2))
    log.close()
    # However far it came, a file that it made and that is moved away now keeps its number.
    made = list(tmp_path.glob("clm_trades.0*.jsonl"))
    for full in made:
        full.rename(tmp_path / "away")
    write(tmp_path, 2, 3, rotate_bytes=300)
    assert not set(made) & set(tmp_path.glob("clm_trades.0*.jsonl"))
    for full in made:
        (tmp_path / "away").rename(full)
    assert order_ids(tmp_path) == ["o1", "o2", "o3"]


@pytest.mark.parametrize("lost", [1, 2, 40, 200])
def test_a_line_cut_short_is_removed_and_can_be_recorded_again(tmp_path, caplog, lost):
    write(tmp_path, 1, 2)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-lost])
    log = opened(tmp_path)
    # A line that lacks nothing but its end is whole.
    assert len(log) == (2 if lost == 1 else 1)
    log.append(entries(*((3,) if lost == 1 else (2, 3))))
    log.close()
    assert order_ids(tmp_path) == ["o1", "o2", "o3"]
    assert ("cut short" in caplog.text) == (lost > 1)


def test_a_reader_leaves_out_the_line_that_is_being_written(tmp_path, caplog):
    write(tmp_path, 1, 2)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-30])
    assert order_ids(tmp_path) == ["o1"]
    assert caplog.text == ""


def test_what_a_power_cut_leaves_in_the_middle_is_named_and_left_out(tmp_path, caplog):
    write(tmp_path, 1, 2, 3)
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    lines[1] = b"\0" * len(lines[1])
    (tmp_path / FILE).write_bytes(b"".join(lines))
    log = opened(tmp_path)
    # The zeros have swallowed the end of their line, and with it the next one.
    assert (len(log), log.other_than(trade(3))) == (1, None)
    log.append(entries(2, 3))
    log.close()
    assert order_ids(tmp_path) == ["o1", "o2", "o3"]
    assert f"{FILE}: line 2 cannot be read and is left out" in caplog.text


def test_a_second_writer_is_refused_until_the_first_one_dies(tmp_path):
    program = (
        "import sys; from pathlib import Path; from live.trade_log import TradeLog;"
        "log = TradeLog(Path(sys.argv[1]), rotate_bytes=1000); print('open', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InUseError, match="another recorder is at work"):
            opened(tmp_path)
        other.send_signal(signal.SIGKILL)
    opened(tmp_path).close()


def test_a_file_moved_or_written_by_somebody_else_is_written_no_further(tmp_path):
    log = opened(tmp_path)
    log.append(entries(1))
    with log.path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(LineFilesError, match="somebody else writes it"):
        log.append(entries(2))
    log.path.rename(tmp_path / "away")
    with pytest.raises(LineFilesError, match="was moved or deleted"):
        log.append(entries(2))
    log.close()


def test_after_a_full_disk_nothing_is_taken_for_recorded(tmp_path, monkeypatch):
    log, write_some = opened(tmp_path), os.write

    def full(opened_file, content):
        if len(content) < 300:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_some(opened_file, content[:300])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left") as error:
            log.append(entries(1, 2))
    assert error.value.filename == str(tmp_path / FILE)
    with pytest.raises(LineFilesError, match="an earlier write failed"):
        log.append(entries(1, 2))
    log.close()
    write(tmp_path, 1, 2)
    assert order_ids(tmp_path) == ["o1", "o2"]


def test_a_reader_beside_a_writer_that_rotates_never_misses_a_trade(tmp_path):
    done = threading.Event()
    shown = []

    def read():
        while not done.is_set():
            shown.append(order_ids(tmp_path))

    reader = threading.Thread(target=read)
    reader.start()
    write(tmp_path, *range(60), rotate_bytes=600)
    done.set()
    reader.join()
    expected = [f"o{number}" for number in range(60)]
    assert all(one == expected[: len(one)] for one in shown)
    assert order_ids(tmp_path) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"order_id": "x", "entry_price": "much"}, "cannot be read as trades"),
        ({"entry_price": 1.5}, "a line without order_id"),
        ({"order_id": "x", "timestamp": "today"}, "holds no time"),
    ],
)
def test_a_line_that_is_no_trade_is_refused_with_its_file(tmp_path, line, said):
    (tmp_path / FILE).write_text(json.dumps(line) + "\n")
    with pytest.raises(LineFilesError, match=said) as error:
        read_trades(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_fields_beyond_the_known_ones_are_kept_in_the_line_alone(tmp_path):
    log = opened(tmp_path)
    log.append([Entry(trade(1), "1-0", {"venue": "X", "raw": {"base64": "/w=="}})])
    log.close()
    line = json.loads((tmp_path / FILE).read_text())
    assert line["unknown"] == {"venue": "X", "raw": {"base64": "/w=="}}
    assert read_trades(tmp_path).columns == list(COLUMNS)
