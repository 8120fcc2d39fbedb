"""What only a file can do to a bus: be locked, full, foreign, and shared by many processes."""

import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import pytest

from live.bus import BusDownError
from live.sqlite_bus import SqliteBus

STREAM, GROUP = "trade.closed", "recorder"


def events(n):
    return [{"order_id": f"o{i}"} for i in range(n)]


def bus_at(path, timeout_s=5.0):
    return SqliteBus(path=str(path), prefix="test:", timeout_s=timeout_s)


def take(bus, wait_s=0.0):
    return bus.take(STREAM, GROUP, "a", most=100, wait_s=wait_s)


def process(path, code):
    """Start a process that has a bus on a file, and runs a piece of code."""
    begin = "import sys, time; from live.sqlite_bus import SqliteBus\n"
    begin += f"bus = SqliteBus(path={str(path)!r}, prefix='test:', timeout_s=30.0)\n"
    command = [sys.executable, "-c", begin + textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live" / "events.db"


def test_nothing_is_made_before_the_first_call(path):
    bus = bus_at(path)
    assert not path.parent.exists()
    bus.publish(STREAM, events(1))
    assert path.exists()
    bus.close()
    assert "events.db" in repr(bus)


def test_processes_that_open_a_new_file_at_once_share_its_events(path):
    code = """
        bus.publish("trade.closed", [{"order_id": str(time.monotonic_ns())} for _ in range(25)])
        done, idle = 0, 0
        while idle < 10:
            found = bus.take("trade.closed", "recorder", sys.argv[0], most=4, wait_s=0.1)
            bus.acknowledge("trade.closed", "recorder", [one.id for one in found])
            done, idle = done + len(found), 0 if found else idle + 1
            for one in found:
                print(one.id)
    """
    running = [process(path, code) for _ in range(3)]
    ids = [line for one in running for line in one.communicate()[0].split()]
    assert [one.returncode for one in running] == [0] * 3
    assert sorted(map(int, ids)) == list(range(1, 76))


def test_a_publisher_killed_at_any_moment_leaves_what_publish_has_returned(path):
    code = """
        while True:
            print(*bus.publish("trade.closed", [{"order_id": "o"}] * 3), flush=True)
    """
    returned = []
    for _ in range(3):
        running = process(path, code)
        returned += [running.stdout.readline() for _ in range(20)]
        running.kill()
        returned += running.communicate()[0].splitlines(keepends=True)
    whole = {one for line in returned if line.endswith("\n") for one in line.split()}
    with closing(bus_at(path)) as bus:
        found = {one.id for one in bus.take(STREAM, GROUP, "a", most=10**6, wait_s=0.0)}
    assert whole <= found
    # All of a call or nothing of it.
    assert len(found) % 3 == 0


def test_a_consumer_killed_at_any_moment_leaves_what_it_did_not_acknowledge(path):
    code = """
        while True:
            for one in bus.take("trade.closed", "recorder", "dead", most=2, wait_s=1.0):
                print(one.id, flush=True)
                bus.acknowledge("trade.closed", "recorder", [one.id])
    """
    with closing(bus_at(path)) as bus:
        ids = bus.publish(STREAM, events(200))
        seen = []
        for _ in range(2):
            running = process(path, code)
            seen += [running.stdout.readline() for _ in range(10)]
            running.kill()
            seen += running.communicate()[0].splitlines(keepends=True)
        pending = bus.reclaim(STREAM, GROUP, "dead", idle_s=0.0, most=10**6)
        rest = bus.take(STREAM, GROUP, "dead", most=10**6, wait_s=0.0)
    come = {line.strip() for line in seen} | {one.id for one in pending} | {one.id for one in rest}
    assert come >= set(ids)
    assert len(pending) <= 2 * 2


def test_a_file_that_another_holds_for_too_long_is_told_and_used_afterwards(path):
    with closing(bus_at(path, timeout_s=0.1)) as bus:
        bus.publish(STREAM, events(1))
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(BusDownError, match="another process writes for longer") as told:
                bus.publish(STREAM, events(1))
        assert str(told.value).startswith(f"events bus {path}: database is locked")
        bus.publish(STREAM, events(1))
        assert bus.state(STREAM).length == 2


def test_a_full_disk_is_told_and_what_was_published_stays(path):
    code = """
        import resource
        from live.bus import BusDownError
        bus.publish("trade.closed", [{"order_id": "first"}])
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            for _ in range(100):
                bus.publish("trade.closed", [{"order_id": "x" * 10_000}])
        except BusDownError as error:
            print(error)
    """
    said, _ = process(path, code).communicate()
    assert said.startswith(f"events bus {path}: ")
    assert said.count("\n") == 1
    with closing(bus_at(path)) as bus:
        assert take(bus)[0].fields == {b"order_id": b"first"}


@pytest.mark.parametrize("found", [b"not a database at all" * 100, b""])
def test_a_file_that_is_no_database_is_refused_and_an_empty_one_is_used(path, found):
    path.parent.mkdir()
    path.write_bytes(found)
    with closing(bus_at(path)) as bus:
        if not found:
            assert bus.publish(STREAM, events(1)) == ["1"]
            return
        with pytest.raises(BusDownError, match=r"file is not a database; set events_bus\.path"):
            bus.publish(STREAM, events(1))
    assert path.read_bytes() == found


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BusDownError, match=r"events bus .*events\.db: ") as told:
        bus_at(tmp_path / "file" / "events.db").publish(STREAM, events(1))
    assert "\n" not in str(told.value)


def deleted(path):
    path.unlink()


def moved(path):
    path.rename(path.with_name("earlier.db"))


def replaced(path):
    with closing(bus_at(path.with_name("other.db"))) as other:
        other.publish(STREAM, [{"order_id": "other"}])
    path.with_name("other.db").rename(path)


@pytest.mark.parametrize("lost", [deleted, moved, replaced])
def test_after_its_file_was_lost_a_consumer_says_so_once_and_hears_new_publishers(path, lost):
    with closing(bus_at(path)) as consumer:
        consumer.publish(STREAM, [{"order_id": "earlier"}] * 3)
        take(consumer)
        lost(path)
        with closing(bus_at(path)) as publisher:
            publisher.publish(STREAM, [{"order_id": "new"}])
            with pytest.raises(BusDownError, match="the file was replaced while in use") as told:
                take(consumer, wait_s=5.0)
            assert "\n" not in str(told.value)
            # The consumer has closed the lost file: that did nothing to this one.
            publisher.publish(STREAM, [{"order_id": "newer"}])
            found = [one.fields[b"order_id"] for one in take(consumer)]
    assert found[-2:] == [b"new", b"newer"]
    assert b"earlier" not in found


def test_what_a_deleted_file_leaves_beside_it_is_in_no_publishers_way(path):
    with closing(bus_at(path)) as consumer:
        consumer.publish(STREAM, events(20))
        deleted(path)
        assert path.with_name("events.db-shm").exists()
        publisher = process(path, "print(bus.publish('trade.closed', [{'order_id': 'new'}]))")
        assert publisher.communicate()[0] == "['1']\n"
        with pytest.raises(BusDownError, match="while in use"):
            take(consumer)
        assert [one.fields for one in take(consumer)] == [{b"order_id": b"new"}]


@pytest.mark.parametrize("call", ["publish", "acknowledge", "reclaim", "state", "trim"])
def test_no_call_uses_a_file_that_is_at_its_path_no_more(path, call):
    given = {
        "publish": (events(1),),
        "acknowledge": (GROUP, ["1"]),
        "reclaim": (GROUP, "a"),
    }.get(call, ())
    named = {"reclaim": {"idle_s": 0.0, "most": 9}, "trim": {"keep": 0}}.get(call, {})
    with closing(bus_at(path)) as bus:
        bus.publish(STREAM, events(3))
        deleted(path)
        with pytest.raises(BusDownError, match="moved or deleted while in use; the next call make"):
            getattr(bus, call)(STREAM, *given, **named)
        assert not path.exists()
        getattr(bus, call)(STREAM, *given, **named)
        assert bus.state(STREAM).length == (1 if call == "publish" else 0)


def test_what_is_committed_to_a_file_that_is_deleted_meanwhile_counts_as_not_published(path):
    with closing(bus_at(path)) as bus:
        bus.publish(STREAM, events(1))
        bus._opened.store.create_function("lose", 0, lambda: path.unlink())
        bus._opened.store.execute(
            "CREATE TEMP TRIGGER lost AFTER INSERT ON events BEGIN SELECT lose(); END"
        )
        with pytest.raises(BusDownError, match="moved or deleted while in use"):
            bus.publish(STREAM, events(1))
        assert bus.publish(STREAM, events(1)) == ["1"]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE users (name TEXT)",
        "CREATE TABLE events (id INTEGER PRIMARY KEY, what TEXT)",
        "CREATE TABLE events (id INTEGER PRIMARY KEY, what TEXT); PRAGMA user_version=1",
        "PRAGMA application_id=7",
        "PRAGMA user_version=3",
    ],
)
def test_the_database_of_another_program_is_refused_and_left_as_it_is(path, made):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as store:
        store.executescript(made)
    before = path.read_bytes()
    with closing(bus_at(path)) as bus:
        for call in (lambda: bus.publish(STREAM, events(1)), lambda: take(bus)):
            with pytest.raises(BusDownError) as told:
                call()
            assert str(told.value) == (
                f"events bus {path}: the file is a database of another program; "
                "set events_bus.path to another file"
            )
    assert path.read_bytes() == before


def test_a_file_of_a_later_version_is_left_alone(path):
    with closing(bus_at(path)) as bus:
        bus.publish(STREAM, events(1))
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA user_version=2")
    with closing(bus_at(path)) as bus, pytest.raises(BusDownError, match="a later Assay wrote it"):
        take(bus)


def test_what_was_deleted_while_pending_is_named_once_and_holds_nothing_up(path, caplog):
    with closing(bus_at(path)) as bus:
        ids = bus.publish(STREAM, events(4))
        take(bus)
        with closing(sqlite3.connect(path)) as store, store:
            store.execute("DELETE FROM events WHERE position <= 2")
        time.sleep(0.01)
        found = bus.reclaim(STREAM, GROUP, "b", idle_s=0.001, most=2)
        assert [one.id for one in found] == ids[2:]
        assert len(bus.reclaim(STREAM, GROUP, "b", idle_s=0.0, most=9)) == 2
        assert bus.state(STREAM).groups[GROUP].lowest_pending == ids[2]
    assert [one.message for one in caplog.records] == [
        "trade.closed: 2 events were deleted before group recorder was done with them, and it lost "
        "them: 1, 2"
    ]


def test_every_commit_reaches_the_disk(path):
    with closing(bus_at(path)) as bus:
        bus.publish(STREAM, events(1))
        store = bus._opened.store
        assert store.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("one", ["", "1-0", "-1", "9" * 30, "²"])
def test_an_id_of_another_bus_is_refused(path, one):
    with closing(bus_at(path)) as bus, pytest.raises(ValueError, match="is no id of this bus"):
        bus.acknowledge(STREAM, GROUP, [one])


@pytest.mark.parametrize("given", [{"path": " "}, {"timeout_s": 0.0}, {"timeout_s": float("nan")}])
def test_a_setting_that_makes_no_sense_is_refused(given):
    with pytest.raises(ValueError, match=f"^{next(iter(given))} must"):
        SqliteBus(**({"path": "events.db", "prefix": ""} | given))
