"""The embedded bus: streams in one SQLite file, for processes of one machine.

Every call is one transaction, on disk when it returns (WAL, ``synchronous=FULL``): a process that
is killed has done all of a call or nothing of it.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from live.bus import (
    TRIMMED_AT_ONCE,
    BusDownError,
    Delivery,
    GroupState,
    StreamState,
    checked_counts,
    encoded,
    warn_of_deleted,
)
from live.sqlite_file import OpenedFile, in_words, opened

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.05
# An id is a position; none is longer.
_MOST_DIGITS = 18


class SqliteBus:
    """An `EventBus` in a file; nothing is opened before the first call.

    Parameters
    ----------
    path
        The file; its folder is made. Not on a drive of another machine: SQLite's WAL needs memory
        that its users share.
    prefix
        Put before the name of every stream.
    timeout_s
        How long a call waits for the file while other processes write, in seconds.

    Raises
    ------
    ValueError
        If ``path`` is empty or ``timeout_s`` is not above 0.
    """

    def __init__(self, *, path: str, prefix: str, timeout_s: float = 5.0) -> None:
        if not path.strip():
            raise ValueError("path must name a file, was empty")
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s must be above 0 seconds, was {timeout_s}")
        self._path = Path(path)
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._opened: OpenedFile | None = None

    @property
    def path(self) -> Path:
        """The file, whether or not it is there yet."""
        return self._path

    def __repr__(self) -> str:
        return f"SqliteBus({self._path})"

    def publish(self, stream: str, events: Sequence[Mapping[str, str]]) -> list[str]:
        """Append events; see `EventBus.publish`."""
        encoded(events)
        texts = [json.dumps(dict(event), ensure_ascii=False) for event in events]
        insert = "INSERT INTO events (stream, fields) VALUES (?, ?)"
        if not texts:
            return []
        with self._transaction() as store:
            name = self._prefix + stream
            return [str(store.execute(insert, (name, text)).lastrowid) for text in texts]

    def take(
        self, stream: str, group: str, consumer: str, *, most: int, wait_s: float
    ) -> list[Delivery]:
        """Deliver new events; see `EventBus.take`. Looks every 50 ms at most while it waits."""
        checked_counts(most=most, wait_s=wait_s)
        give_up, pause_s = time.monotonic() + wait_s, _FIRST_WAIT_S
        while True:
            if self._has_new(stream, group):
                taken = self._take_now(stream, group, consumer, most)
                # Another consumer may have been faster.
                if taken:
                    return taken
            left_s = give_up - time.monotonic()
            if left_s <= 0.0:
                return []
            time.sleep(min(pause_s, left_s))
            pause_s = min(2.0 * pause_s, _LONGEST_WAIT_S)

    def _has_new(self, stream: str, group: str) -> bool:
        """Tell by reading alone whether there is something to write: a delivery, or a new group."""
        name = self._prefix + stream
        with self._reading() as store:
            found = store.execute(
                "SELECT delivered, (SELECT MAX(position) FROM events WHERE stream = ?) FROM groups"
                " WHERE stream = ? AND name = ?",
                (name, name, group),
            ).fetchone()
        return found is None or (found[1] is not None and found[1] > found[0])

    def _take_now(self, stream: str, group: str, consumer: str, most: int) -> list[Delivery]:
        name = self._prefix + stream
        with self._transaction() as store:
            store.execute(
                "INSERT INTO groups VALUES (?, ?, 0) ON CONFLICT DO NOTHING", (name, group)
            )
            rows = store.execute(
                "SELECT position, fields FROM events WHERE stream = ? AND position >"
                " (SELECT delivered FROM groups WHERE stream = ? AND name = ?)"
                " ORDER BY position LIMIT ?",
                (name, name, group, most),
            ).fetchall()
            if not rows:
                return []
            now_s = time.time()
            store.executemany(
                "INSERT INTO pending VALUES (?, ?, ?, ?, ?, 1)",
                [(name, group, position, consumer, now_s) for position, _ in rows],
            )
            store.execute(
                "UPDATE groups SET delivered = ? WHERE stream = ? AND name = ?",
                (rows[-1][0], name, group),
            )
        return [_delivery(stream, position, fields, 1) for position, fields in rows]

    def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_s: float, most: int
    ) -> list[Delivery]:
        """Deliver pending events once more; see `EventBus.reclaim`."""
        checked_counts(most=most, idle_s=idle_s)
        name, now_s = self._prefix + stream, time.time()
        whose = "p.consumer = ?" if idle_s == 0.0 else "p.delivered_at <= ?"
        chosen = consumer if idle_s == 0.0 else now_s - idle_s
        query = (
            "SELECT p.position, e.fields, p.deliveries + 1 FROM pending p LEFT JOIN events e"  # noqa: S608
            " USING (position) WHERE p.stream = ? AND p.name = ?"
            f" AND {whose} ORDER BY p.position LIMIT ?"
        )
        given = (name, group, chosen, most)
        with self._reading() as store:
            # Mostly nothing is left behind; writing would keep the others waiting for that.
            if store.execute(query, given).fetchone() is None:
                return []
        with self._transaction() as store:
            gone: list[str] = []
            rows = store.execute(query, given).fetchall()
            while missing := [position for position, fields, _ in rows if fields is None]:
                _forget(store, name, group, missing)
                gone += map(str, missing)
                rows = store.execute(query, given).fetchall()
            store.executemany(
                "UPDATE pending SET consumer = ?, delivered_at = ?, deliveries = deliveries + 1"
                " WHERE stream = ? AND name = ? AND position = ?",
                [(consumer, now_s, name, group, position) for position, *_ in rows],
            )
        warn_of_deleted(stream, group, gone)
        return [_delivery(stream, *row) for row in rows]

    def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> None:
        """Forget what is pending; see `EventBus.acknowledge`."""
        if not ids:
            return
        positions = [_position(one) for one in ids]
        with self._transaction() as store:
            _forget(store, self._prefix + stream, group, positions)

    def trim(self, stream: str, *, keep: int, without_group: bool = False) -> int:
        """Remove the oldest events; see `EventBus.trim`."""
        checked_counts(keep=keep)
        removed = 0
        while True:
            n_now = self._trim_some(self._prefix + stream, keep, without_group)
            removed += n_now
            if n_now < TRIMMED_AT_ONCE:
                return removed

    def _trim_some(self, name: str, keep: int, without_group: bool) -> int:
        with self._transaction() as store:
            floor = _first_needed(store, name)
            if floor is None and not without_group:
                return 0
            oldest_kept = store.execute(
                "SELECT position FROM events WHERE stream = ? ORDER BY position DESC"
                " LIMIT 1 OFFSET ?",
                (name, keep),
            ).fetchone()
            if oldest_kept is None:
                return 0
            below = oldest_kept[0] + 1 if floor is None else min(floor, oldest_kept[0] + 1)
            return store.execute(
                "DELETE FROM events WHERE position IN (SELECT position FROM events"
                " WHERE stream = ? AND position < ? ORDER BY position LIMIT ?)",
                (name, below, TRIMMED_AT_ONCE),
            ).rowcount

    def state(self, stream: str) -> StreamState:
        """Look at a stream; see `EventBus.state`."""
        name = self._prefix + stream
        with self._reading() as store:
            length, first, last = store.execute(
                "SELECT COUNT(*), MIN(position), MAX(position) FROM events WHERE stream = ?",
                (name,),
            ).fetchone()
            groups = store.execute(
                "SELECT g.name,"
                " (SELECT COUNT(*) FROM pending p WHERE p.stream = g.stream AND p.name = g.name),"
                " (SELECT COUNT(*) FROM events e"
                "  WHERE e.stream = g.stream AND e.position > g.delivered),"
                " (SELECT MIN(position) FROM pending p"
                "  WHERE p.stream = g.stream AND p.name = g.name)"
                " FROM groups g WHERE g.stream = ? ORDER BY g.name",
                (name,),
            ).fetchall()
        states = {
            group: GroupState(pending, undelivered, _id(lowest))
            for group, pending, undelivered, lowest in groups
        }
        return StreamState(length, _id(first), _id(last), states)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.store.close()
                self._opened = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Write: begun before anything is read, on disk at its end, undone by any exception."""
        with self._using() as file:
            file.store.execute("BEGIN IMMEDIATE")
            try:
                yield file.store
                file.store.execute("COMMIT")
            except BaseException:
                if file.store.in_transaction:
                    file.store.execute("ROLLBACK")
                raise
            # Deleted since the call began, it holds what nobody will read.
            file.check_named()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._using() as file:
            yield file.store

    @contextmanager
    def _using(self) -> Iterator[OpenedFile]:
        """Give the open file, or open it; one that is not at its path any more is given up.

        It is not opened anew within the call: ids that the caller holds are of the earlier file.
        """
        with self._lock:
            try:
                if self._opened is None:
                    self._opened = opened(self._path, self._timeout_s)
                self._opened.check_named()
                yield self._opened
            except (sqlite3.Error, OSError) as error:
                self.close()
                raise BusDownError(f"events bus {self._path}: {in_words(error)}") from error


def _forget(store: sqlite3.Connection, name: str, group: str, positions: Sequence[int]) -> None:
    store.executemany(
        "DELETE FROM pending WHERE stream = ? AND name = ? AND position = ?",
        [(name, group, position) for position in positions],
    )


def _first_needed(store: sqlite3.Connection, name: str) -> int | None:
    """Return the position that a trim may not reach; None where no group exists."""
    (floor,) = store.execute(
        "SELECT MIN(COALESCE((SELECT MIN(position) FROM pending p WHERE p.stream = g.stream"
        " AND p.name = g.name), g.delivered + 1)) FROM groups g WHERE g.stream = ?",
        (name,),
    ).fetchone()
    return None if floor is None else int(floor)


def _delivery(stream: str, position: int, fields: str, deliveries: int) -> Delivery:
    texts: dict[str, str] = json.loads(fields)
    as_bytes = {name.encode(): value.encode() for name, value in texts.items()}
    return Delivery(stream, str(position), as_bytes, deliveries)


def _id(position: int | None) -> str | None:
    return None if position is None else str(position)


def _position(one: str) -> int:
    if not one.isdecimal() or not one.isascii() or len(one) > _MOST_DIGITS:
        raise ValueError(f"{one!r} is no id of this bus")
    return int(one)
