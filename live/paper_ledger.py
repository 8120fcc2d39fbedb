"""What a paper account has on disk: where it stands, which intents it carried out, what it tells.

One SQLite file, in which a step's orders, positions and events are written together or not at all.
"""

import io
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from live.bus import EventBus
from live.outbox import Outbox

FILE: Final = "paper.db"

_TABLES: Final = """
create table if not exists facts (name text primary key, value text not null) without rowid;
create table if not exists arrays (name text primary key, value blob not null) without rowid;
create table if not exists pieces (
    name text not null, first integer not null, value blob not null, primary key (name, first)
) without rowid;
create table if not exists intents (
    intent_id text primary key, outcome text, told_utc text not null, fields text not null
) without rowid;
"""


class LedgerError(ValueError):
    """A file that holds no paper account that can go on; one line with the file and what to do."""


class PaperLedger:
    """The file of one paper account.

    Parameters
    ----------
    path : Path
        Made where it is missing.

    Attributes
    ----------
    outbox : Outbox
        Events on their way to the bus.
    carried_out : dict of str to str
        What became of each intent, by its id.

    Raises
    ------
    LedgerError
        If there is a file that is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.executescript(_TABLES)
            self.outbox = Outbox(self._connection)
            rows = self._connection.execute("select intent_id, outcome from intents").fetchall()
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{path}: holds no paper account ({error}); move it away, or give another "
                "output_dir"
            ) from error
        self.carried_out: dict[str, str] = {one: outcome for one, outcome in rows if outcome}
        self._waiting = {one for one, outcome in rows if not outcome}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write what is written within together, or none of it; raises OSError where it cannot."""
        with self._on_disk():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def deliver(self, bus: EventBus) -> int:
        """Publish what waits in the outbox; raises BusDownError, or OSError as `transaction`."""
        with self._on_disk():
            return self.outbox.deliver(bus)

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}; make room, or give the rights to it") from error

    @property
    def waiting(self) -> frozenset[str]:
        """Intents that were told and not carried out yet."""
        return frozenset(self._waiting)

    def tell(self, intent_id: str, fields: Mapping[str, str]) -> None:
        """Write down that an intent is on its way; one that was told before stays as it is."""
        row = (intent_id, _now(), json.dumps(fields))
        self._connection.execute("insert or ignore into intents values (?, null, ?, ?)", row)
        if intent_id not in self.carried_out:
            self._waiting.add(intent_id)

    def told(self, intent_id: str) -> dict[str, str]:
        """Return an intent as it was told."""
        row = self._connection.execute(
            "select fields from intents where intent_id = ?", (intent_id,)
        ).fetchone()
        found: dict[str, str] = json.loads(row[0])
        return found

    def carry_out(
        self, intent_id: str, outcome: str, fields: Mapping[str, str] | None = None
    ) -> None:
        """Write down what became of an intent, whoever told it; ``fields`` of one that is kept."""
        row = (intent_id, outcome, _now(), json.dumps(fields or {}))
        self._connection.execute("insert or replace into intents values (?, ?, ?, ?)", row)
        self.carried_out[intent_id] = outcome
        self._waiting.discard(intent_id)

    def fact(self, name: str) -> Any:
        """Return what was written under a name; None where nothing was."""
        row = self._connection.execute("select value from facts where name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def write_fact(self, name: str, value: Any) -> None:
        """Write something that JSON can hold under a name."""
        text = json.dumps(value, allow_nan=False)
        self._connection.execute("insert or replace into facts values (?, ?)", (name, text))

    def array(self, name: str) -> Any:
        """Return an array that was written under a name; raises LedgerError where there is none."""
        row = self._connection.execute("select value from arrays where name = ?", (name,))
        found = row.fetchone()
        if found is None:
            raise LedgerError(f"{self.path}: {name} is missing; start anew in another output_dir")
        return _array(found[0])

    def write_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Write arrays in place of those of the same names."""
        rows = [(name, _bytes(one)) for name, one in arrays.items()]
        self._connection.executemany("insert or replace into arrays values (?, ?)", rows)

    def joined_pieces(self, name: str, none: Any) -> Any:
        """Return the pieces that were added under a name as one array; ``none`` without any."""
        rows = self._connection.execute(
            "select value from pieces where name = ? order by first", (name,)
        ).fetchall()
        return np.concatenate([_array(one) for (one,) in rows]) if rows else none

    def add_piece(self, name: str, first: int, piece: Any) -> None:
        """Add to what is there under a name; ``first`` is how much that is."""
        if len(piece):
            self._connection.execute(
                "insert into pieces values (?, ?, ?)", (name, first, _bytes(piece))
            )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _bytes(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(array), allow_pickle=False)
    return content.getvalue()


def _array(content: bytes) -> Any:
    return np.load(io.BytesIO(content), allow_pickle=False)
