"""Events that are certain to be published: first written beside what they tell of, then sent.

A process that closes a trade and then publishes it can die in between, and nobody hears of the
trade. Here the event is a row in the same transaction as the trade (the transactional outbox:
Richardson, Microservices Patterns, 2018, section 3.3.7). What waits is published in order, and
marked after the bus has it on disk; a death in between publishes it once more, which consumers bear
as they know an event by its own id.
"""

import json
import sqlite3
from collections.abc import Mapping
from itertools import groupby

from live.bus import EventBus, encoded

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, event_id TEXT NOT NULL,
    fields TEXT, UNIQUE (stream, event_id))
"""
_WAITING_INDEX = """
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (position) WHERE fields IS NOT NULL
"""
# Published and marked together; after a death so many at most are published once more.
AT_ONCE = 100


class Outbox:
    """The table `outbox` of a SQLite file, beside the tables of whoever has events to tell.

    A row that was published keeps its id alone, so that the same event is not told again.

    Parameters
    ----------
    connection
        To the file. The outbox neither opens nor closes it, and is of its thread.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(_SCHEMA)
        connection.execute(_WAITING_INDEX)

    def add(self, stream: str, event_id: str, fields: Mapping[str, str]) -> None:
        """Let an event wait, within the caller's transaction; one that is known is ignored.

        Raises
        ------
        ValueError
            If the event has no field, or a name or a value that is no text.
        """
        encoded([fields])
        text = json.dumps(dict(fields), ensure_ascii=False)
        self._connection.execute(
            "INSERT INTO outbox (stream, event_id, fields) VALUES (?, ?, ?)"
            " ON CONFLICT (stream, event_id) DO NOTHING",
            (stream, event_id, text),
        )

    def waiting(self) -> int:
        """Return how many events were not published yet."""
        (n_waiting,) = self._connection.execute(
            "SELECT COUNT(*) FROM outbox WHERE fields IS NOT NULL"
        ).fetchone()
        return int(n_waiting)

    def deliver(self, bus: EventBus) -> int:
        """Publish all that waits, in the order in which it was added; return how many events.

        Raises
        ------
        BusDownError
            If the bus cannot be used. What it has is marked, the rest waits on.
        RuntimeError
            If a transaction is open: its events could be taken back after they were published.
        """
        if self._connection.in_transaction:
            raise RuntimeError("commit before deliver: events of an open transaction may yet go")
        n_delivered = 0
        while rows := self._connection.execute(
            "SELECT position, stream, fields FROM outbox WHERE fields IS NOT NULL"
            " ORDER BY position LIMIT ?",
            (AT_ONCE,),
        ).fetchall():
            for stream, of_stream in groupby(rows, key=lambda row: str(row[1])):
                together = list(of_stream)
                bus.publish(stream, [json.loads(fields) for *_, fields in together])
                self._mark(stream, together[0][0], together[-1][0])
                n_delivered += len(together)
        return n_delivered

    def _mark(self, stream: str, first: int, last: int) -> None:
        """Write down that these were published, in one statement: all or none."""
        with self._connection:
            self._connection.execute(
                "UPDATE outbox SET fields = NULL WHERE stream = ? AND position BETWEEN ? AND ?",
                (stream, first, last),
            )
