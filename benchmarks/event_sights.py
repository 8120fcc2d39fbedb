"""What is seen, from outside, of a publisher, a recorder and the bus between them."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.event_publisher import POSITIONS
from live.bus import BusDownError, EventBus
from live.events import TRADE_CLOSED

GROUP = "recorder"
PATIENCE_S = 60.0
Answer = TypeVar("Answer")


class Sights:
    """How far each process is, and what it was at when it was killed.

    Parameters
    ----------
    folder, records : Path
        Of the publisher's file, and of the recorder's.
    conf : mapping
        The group ``events_bus``.
    bus : EventBus
        As another process sees it.
    """

    def __init__(self, folder: Path, records: Path, conf: Mapping[str, Any], bus: EventBus) -> None:
        self._positions, self._records, self._conf, self._bus = (
            *(folder / POSITIONS, records, conf, bus),
        )

    def progress(self, name: str) -> int:
        """Return a number that grows when what is named does something."""
        if name == "recorder":
            return self.n_bytes()
        return self._in_outbox("SELECT COUNT(*) FROM outbox WHERE fields IS NULL")

    def n_bytes(self) -> int:
        """Return how much is recorded."""
        return sum(path.stat().st_size for path in self._records.glob("clm_trades*.jsonl"))

    def at_kill_of_server(self) -> str:
        """Return what a server is about to be killed at."""
        try:
            group = self._bus.state(TRADE_CLOSED).groups.get(GROUP)
        except BusDownError:
            return "starting"
        return "with events pending" if group and group.pending else "with nothing pending"

    def after_kill(self, name: str) -> str:
        """Return what a publisher or a recorder was at, by what it left behind."""
        if name == "publisher":
            waiting = self._in_outbox("SELECT COUNT(*) FROM outbox WHERE fields IS NOT NULL")
            return "with events in the outbox" if waiting else "with nothing in the outbox"
        active = self._records / "clm_trades.jsonl"
        if active.exists() and active.read_bytes()[-1:] not in (b"", b"\n"):
            return "within a line"
        group = patiently(lambda: self._bus.state(TRADE_CLOSED)).groups.get(GROUP)
        if group is None or group.lowest_pending is None:
            return "with nothing taken"
        sign = f'"event_id": "{group.lowest_pending}"'.encode()
        files = self._records.glob("clm_trades*.jsonl")
        is_written = any(sign in path.read_bytes() for path in files)
        return "written, not acknowledged" if is_written else "taken, not written"

    def published(self) -> int:
        """Return how many events the stream ever had, those that were trimmed included."""
        if self._conf["kind"] == "sqlite":
            with closing(sqlite3.connect(self._conf["path"])) as store:
                query = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
                return int(store.execute(query).fetchone()[0])
        import redis

        with redis.Redis.from_url(self._conf["url"]) as client:
            told: Any = client.xinfo_stream(self._conf["prefix"] + TRADE_CLOSED)
            return int(told["entries-added"])

    def _in_outbox(self, query: str) -> int:
        try:
            with closing(sqlite3.connect(self._positions)) as store:
                return int(store.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            # It is not made yet.
            return 0


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask a bus until it answers; raises BusDownError if it does not in a minute."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except BusDownError:
            if time.monotonic() > give_up:
                raise
        time.sleep(0.02)
