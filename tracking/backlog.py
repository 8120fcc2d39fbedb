"""Delivers what waits in the queue of a store, oldest first."""

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracking.delivery import Delivery
from tracking.failures import is_refusal, store_failures
from tracking.kept_calls import MalformedRecordError, kept_call
from tracking.session import (
    QueueError,
    Session,
    execution_of,
    put_aside,
    records_in,
    session_folders,
    sweep_locks,
)

# Does a piece of work for a record of the queue; how long that may take is its own affair.
Carry = Callable[[Callable[[], Any], Path | None], Any]


@dataclass(frozen=True, slots=True)
class Passed:
    """A record that left the queue.

    Attributes
    ----------
    reason
        Why it was set aside, or None: it was delivered.
    remark
        Why an alias stayed where it was, or None.
    """

    record: Path
    reason: str | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session whose process has ended, and that nobody else is delivering.

    Attributes
    ----------
    session
        None where it cannot be read, or is in use.
    reason
        Why it was set aside as a whole, or cannot be delivered yet; or None.
    in_the_way
        Id of the work that cannot go on to later sessions before this one is delivered, or None.
    """

    folder: Path
    session: Session | None
    reason: str | None = None
    in_the_way: str | None = None


def ended_sessions(queue: Path, execution: str | None = None) -> Generator[EndedSession]:
    """Yield the sessions of a queue, oldest first, each locked until the next one is asked for.

    One that is in use is left out where it has nothing that waits. At the end locks are removed
    that processes left behind when they died.

    Parameters
    ----------
    execution
        Id of the work whose sessions are asked for; None for all.
    """
    for folder in session_folders(queue):
        if execution is not None and execution_of(folder) != execution:
            continue
        try:
            session = Session.claimed(folder)
        except ValueError as error:
            yield from _unreadable(folder, queue, str(error))
            continue
        if session is None:
            if records_in(folder):
                reason = "its run goes on, or another sync is delivering it"
                yield EndedSession(folder, None, reason, execution_of(folder))
            continue
        with _held(session):
            yield EndedSession(folder, session)
    sweep_locks(queue)


def deliver_session(
    uri: str, session: Session, delivery: Delivery, carry: Carry, *, own: bool = False
) -> Iterator[Passed]:
    """Deliver what waits of a session, in order; then close and forget it, unless it is our own.

    Raises one of `store_failures` where the store fails, and QueueError where the queue cannot be
    written to; what was not delivered then still waits.
    A record that cannot be read, or that a working store refuses, is set aside.
    """
    ended = False
    for record in session.records():
        passed = _delivered(uri, session, record, delivery, carry)
        ended |= record.name.endswith("-end") and passed.reason is None
        yield passed
    if not own:
        if not ended:
            carry(delivery.close_cut_off, None)
        session.remove()


def _delivered(
    uri: str, session: Session, record: Path, delivery: Delivery, carry: Carry
) -> Passed:
    try:
        call = kept_call(record)
    except MalformedRecordError as error:
        session.set_aside(record, str(error))
        return Passed(record, f"cannot be read: {error}")
    try:
        remark = carry(lambda: delivery.deliver(call, late=True), record)
    except store_failures() as error:
        # Nothing can be told of a run that the store did not let begin.
        if not is_refusal(uri, error) or record.name.endswith("-start"):
            raise
        session.set_aside(record, str(error))
        return Passed(record, f"was refused: {str(error).splitlines()[0]}")
    session.forget(record)
    return Passed(record, remark=remark if isinstance(remark, str) else None)


def _unreadable(folder: Path, queue: Path, error: str) -> Iterator[EndedSession]:
    """Put a session aside as a whole; one whose process died before it said anything just goes."""
    if not records_in(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        put_aside(folder, queue, folder.name, error)
    except QueueError as failure:
        if folder.is_dir():
            yield EndedSession(folder, None, str(failure))
        return
    yield EndedSession(folder, None, f"was set aside: {error}")


@contextmanager
def _held(session: Session) -> Iterator[None]:
    try:
        yield
    finally:
        session.release()
