"""Delivers everything that waits for a store, with nobody waiting for it but who asked."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracking.backlog import EndedSession, Passed, deliver_session, ended_sessions
from tracking.delivery import Delivery
from tracking.failures import cannot_be_reached, failure_line, store_failures
from tracking.figures import FigurePainter
from tracking.session import QueueError, Session, aside, records_in
from tracking.store import Store, open_store, quiet

# A run gives up on a request much sooner.
_ANSWER_S = "60"


@dataclass(slots=True)
class Synced:
    """What became of one session.

    Attributes
    ----------
    session
        Its name, which begins with the time it was begun.
    delivered
        Number of records that the store has now.
    waiting
        Number of records that still wait.
    set_aside
        Per record that was set aside, why.
    remarks
        Per promotion that left an alias where it was, why.
    reason
        Why something still waits, or None.
    """

    session: str
    delivered: int = 0
    waiting: int = 0
    set_aside: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    reason: str | None = None


@dataclass(slots=True)
class SyncReport:
    """What became of a queue.

    Attributes
    ----------
    sessions
        Those that had anything to deliver, oldest first.
    set_aside
        Folders of all that lies aside, now and from before.
    unreachable
        Why the store could not be opened, or None.
    """

    sessions: list[Synced] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    unreachable: str | None = None


def sync(uri: str, queue: Path, watch: Callable[[Synced], None]) -> SyncReport:
    """Deliver what waits in a queue, and close runs that were cut off.

    Parameters
    ----------
    watch
        Called after each record with what its session has come to.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _ANSWER_S)
    report, stores = SyncReport(), _Stores(uri)
    behind: set[str] = set()
    with closing(ended_sessions(queue)) as sessions:
        for ended in sessions:
            synced = _synced(ended, stores, behind, report, watch)
            if synced.delivered or synced.waiting or synced.set_aside or synced.reason:
                report.sessions.append(synced)
    report.set_aside = aside(queue)
    return report


class _Stores:
    """The store, opened once per experiment and only if something is to be delivered."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.painter = FigurePainter()
        self._opened: dict[str, Store] = {}

    def of(self, experiment: str) -> Store:
        if experiment not in self._opened:
            self._opened[experiment] = open_store(self.uri, experiment)
        return self._opened[experiment]


def _synced(
    ended: EndedSession,
    stores: _Stores,
    behind: set[str],
    report: SyncReport,
    watch: Callable[[Synced], None],
) -> Synced:
    synced = Synced(ended.folder.name, waiting=len(records_in(ended.folder)), reason=ended.reason)
    session = ended.session
    if session is None:
        if ended.in_the_way is not None:
            behind.add(ended.in_the_way)
        if ended.reason is not None and not synced.waiting:
            synced.set_aside[ended.folder.name] = ended.reason
            synced.reason = None
        return synced
    if session.execution in behind:
        synced.reason = "comes after an earlier part of the same run"
    elif report.unreachable is not None:
        synced.reason = report.unreachable
    else:
        try:
            with quiet():
                _deliver(session, stores, synced, watch)
        except QueueError as error:
            synced.reason = str(error)
        except store_failures() as error:
            synced.reason = failure_line(stores.uri, error)
            if cannot_be_reached(error):
                report.unreachable = synced.reason
    if synced.reason is not None:
        behind.add(session.execution)
    return synced


def _deliver(
    session: Session, stores: _Stores, synced: Synced, watch: Callable[[Synced], None]
) -> None:
    delivery = Delivery(stores.of(session.experiment), session, painter=stores.painter)
    for passed in deliver_session(stores.uri, session, delivery, _at_once):
        _note(synced, passed)
        synced.waiting = len(session.records())
        watch(synced)


def _note(synced: Synced, passed: Passed) -> None:
    if passed.reason is not None:
        synced.set_aside[passed.record.name] = passed.reason
    else:
        synced.delivered += 1
    if passed.remark is not None:
        synced.remarks.append(passed.remark)


def _at_once(work: Callable[[], Any], _record: Path | None) -> Any:
    return work()
