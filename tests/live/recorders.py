"""A recorder that dies where a test says so, and what it leaves behind."""

import json
import threading
from contextlib import closing

from live.alerts import NoAlerts
from live.events import TRADE_CLOSED, TRADE_REJECTED
from live.recorder import Recorder, Recording
from live.rejected import RejectedLog
from live.trade_log import TradeLog, read_trades


class Killed(BaseException):
    """The end of a process, at a chosen call."""


class Dying:
    """A bus whose process is killed before or after its n-th call, or that goes down there."""

    def __init__(self, bus, at, *, after=False, failure=Killed):
        self._bus, self._left, self._after, self._failure = bus, at, after, failure

    def __getattr__(self, name):
        method = getattr(self._bus, name)

        def call(*arguments, **named):
            self._left -= 1
            if self._left == 0 and not self._after:
                raise self._failure
            found = method(*arguments, **named)
            if self._left == 0:
                raise self._failure
            return found

        return call


def record(bus, folder, *, alerts=None, patience_s=5.0, **rules):
    """Record what there is; return the tally."""
    with (
        closing(TradeLog(folder, rotate_bytes=2000)) as log,
        closing(RejectedLog(folder, rotate_bytes=2000)) as kept,
    ):
        rules = Recording(**{"folder": str(folder), "most": 4} | rules)
        recorder = Recorder(bus, log, kept, alerts or NoAlerts(), rules, patience_s=patience_s)
        recorder.run(threading.Event(), follow=False)
        return recorder.tally


def publish(bus, *events):
    return bus.publish(TRADE_CLOSED, list(events))


def rejected_on(bus):
    found = bus.take(TRADE_REJECTED, "test", "test", most=1000, wait_s=0.0)
    return [{name.decode(): value.decode() for name, value in one.fields.items()} for one in found]


def rejected_in(folder):
    paths = sorted(folder.glob("rejected*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def order_ids(folder):
    return read_trades(folder)["order_id"].to_list()


def pending(bus):
    return bus.state(TRADE_CLOSED).groups["recorder"].pending
