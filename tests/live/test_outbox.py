"""Events that wait beside what they tell of: none is lost, whatever dies between."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from live.bus import BusDownError
from live.outbox import AT_ONCE, Outbox
from live.sqlite_bus import SqliteBus

STREAM = "trade.closed"


@pytest.fixture(params=["", None], ids=["transactions", "autocommit"])
def store(request, tmp_path):
    with closing(sqlite3.connect(tmp_path / "own.db", isolation_level=request.param)) as opened:
        yield opened


class Broken:
    """A bus that is down after so many calls, with or without the last one's effect."""

    def __init__(self, bus, n_calls, *, has_effect):
        self._bus, self._left, self._has_effect = bus, n_calls, has_effect

    def publish(self, stream, events):
        self._left -= 1
        if self._left >= 0 or self._has_effect:
            ids = self._bus.publish(stream, events)
        if self._left < 0:
            raise BusDownError("events bus: is down")
        return ids


def fill(store, n, start=0):
    outbox = Outbox(store)
    store.execute("BEGIN")
    for i in range(start, start + n):
        outbox.add(STREAM, f"o{i}", {"order_id": f"o{i}"})
    store.commit()
    return outbox


def on(bus):
    taken = bus.take(STREAM, "all", "a", most=10**6, wait_s=0.0)
    return [one.fields[b"order_id"].decode() for one in taken]


def test_what_waits_is_published_in_order_and_once(store, bus):
    outbox = fill(store, 3)
    assert outbox.waiting() == 3
    assert outbox.deliver(bus) == 3
    assert outbox.deliver(bus) == outbox.waiting() == 0
    assert on(bus) == ["o0", "o1", "o2"]


def test_an_event_goes_and_stays_with_its_transaction(store, bus):
    outbox = Outbox(store)
    store.execute("BEGIN")
    outbox.add(STREAM, "o0", {"order_id": "o0"})
    store.rollback()
    assert outbox.deliver(bus) == 0
    store.execute("BEGIN")
    outbox.add(STREAM, "o1", {"order_id": "o1"})
    with pytest.raises(RuntimeError, match="commit before deliver"):
        outbox.deliver(bus)
    store.commit()
    assert outbox.deliver(bus) == 1
    assert on(bus) == ["o1"]


def test_the_same_event_again_is_ignored_before_and_after_it_was_published(store, bus):
    outbox = fill(store, 2)
    fill(store, 2)
    outbox.deliver(bus)
    fill(store, 3)
    assert outbox.deliver(bus) == 1
    assert on(bus) == ["o0", "o1", "o2"]


def test_the_same_id_on_another_stream_is_another_event(store, bus):
    outbox = Outbox(store)
    for stream in (STREAM, "harvest.intent", STREAM):
        outbox.add(stream, f"{stream} o0", {"order_id": "o0"})
        outbox.add(stream, "same", {"order_id": "o1"})
    store.commit()
    assert outbox.deliver(bus) == 4
    assert on(bus) == ["o0", "o1"]


@pytest.mark.parametrize("has_effect", [False, True])
def test_what_a_bus_that_goes_down_did_not_confirm_is_published_again(store, bus, has_effect):
    outbox = fill(store, AT_ONCE + 50)
    with pytest.raises(BusDownError):
        outbox.deliver(Broken(bus, 1, has_effect=has_effect))
    assert outbox.waiting() == 50
    assert outbox.deliver(bus) == 50
    expected = [f"o{i}" for i in range(AT_ONCE + 50)]
    assert on(bus) == expected + (expected[AT_ONCE:] if has_effect else [])


def test_an_event_that_no_bus_takes_is_refused_before_it_waits(store):
    outbox = Outbox(store)
    for none in ({}, {"price": 1.1}, {"price": "\ud800"}):
        with pytest.raises(ValueError, match="must"):
            outbox.add(STREAM, "o0", none)
    assert outbox.waiting() == 0


def test_a_process_killed_between_publishing_and_marking_loses_nothing(tmp_path):
    code = f"""
import os, signal, sqlite3
from live.outbox import Outbox
from live.sqlite_bus import SqliteBus
store = sqlite3.connect({str(tmp_path / "own.db")!r})
bus = SqliteBus(path={str(tmp_path / "events.db")!r}, prefix="")
outbox = Outbox(store)
outbox.add("trade.closed", "o0", {{"order_id": "o0"}})
store.commit()
outbox._mark = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
outbox.deliver(bus)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with (
        closing(sqlite3.connect(tmp_path / "own.db")) as store,
        closing(SqliteBus(path=str(tmp_path / "events.db"), prefix="")) as bus,
    ):
        assert Outbox(store).deliver(bus) == 1
        assert on(bus) == ["o0", "o0"]
