"""Has a store do work for a run, and waits for it no longer than the run can bear."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracking.calls import Call, Ended, kind_of
from tracking.courier import Courier, Job
from tracking.patience import Patience
from tracking.records import ModelRecord, StudyRecord
from tracking.session import QueueError, Session
from tracking.store import quiet

# What a store takes for one piece of work when all is well; the rest of the time counts as lost.
# A local one is our own work, its tables included: slow only where the processor is busy.
_LOCAL_S, _NEW_LOCAL_S = 10.0, 60.0
# A handful of requests; or the two dozen of a model with its files, whose bytes come on top.
_SERVER_S, _SERVER_WITH_FILES_S = 0.25, 1.0
# Three requests for each of TRIALS_PER_CALL.
_SERVER_TRIALS_S = 2.0
_BYTES_PER_S = 2**20
_SHORT = ("failed_data", "promotion", "verdict")


class StillAtItError(Exception):
    """The store has not done a piece of work in the time that a run will wait for it."""


@dataclass(slots=True)
class _InHand:
    """A piece of work that nobody waits for any longer, and the record it would deliver."""

    job: Job
    session: Session
    call: Call | None
    record: Path | None


class Carrier:
    """Does one piece of work after another, on a thread of its own.

    Parameters
    ----------
    patience
        Loses the time that fails or that goes beyond what a piece of work may take.
    is_local
        Whether the store is a file of ours.
    """

    def __init__(self, patience: Patience, *, is_local: bool) -> None:
        self.patience = patience
        self._is_local = is_local
        self._courier = Courier()
        self._in_hand: _InHand | None = None

    def carry(
        self,
        work: Callable[[], Any],
        session: Session,
        *,
        call: Call | None = None,
        record: Path | None = None,
    ) -> Any:
        """Return what the work returns, or raise what it raises.

        Parameters
        ----------
        session
            Whose work it is; it is in hand until the work is done.
        call, record
            What it delivers: a call that was just made, or a record of the queue; or neither.

        Raises
        ------
        StillAtItError
            If it is not done when patience ends; it goes on, and `settled` sees to what comes of
            it.
        """
        if not self.patience.left_s:
            raise StillAtItError
        allowed_s = self._allowed_s(call if record is None else record)
        begun_s = time.monotonic()
        job = self._courier.begin(lambda: _quietly(work))
        done = False
        try:
            done = job.ended.wait(allowed_s + self.patience.left_s)
        finally:
            # Given up, or interrupted: it goes on all the same.
            if not done:
                session.in_hand = True
                self._in_hand = _InHand(job, session, call, record)
        if not done:
            self.patience.lose(self.patience.left_s)
            raise StillAtItError
        took_s = time.monotonic() - begun_s
        if job.error is not None:
            self.patience.lose(took_s)
            raise job.error
        self.patience.lose(took_s - allowed_s)
        self.patience.succeeded()
        return job.result

    def kept(self, call: Call, record: Path) -> None:
        """Tell which record of the queue holds a call, which may be in hand still."""
        if self._in_hand is not None and self._in_hand.call is call:
            self._in_hand.record = record

    def settled(self, own: Session | None) -> bool:
        """Return whether nothing is in hand; a record that arrived after all leaves the queue."""
        if self._courier.busy:
            return False
        hand, self._in_hand = self._in_hand, None
        if hand is not None:
            hand.session.in_hand = False
            if hand.record is not None and hand.job.error is None:
                # Where it must stay it is delivered once more, which changes nothing.
                with suppress(QueueError):
                    hand.session.forget(hand.record)
            if hand.session is not own:
                hand.session.release()
        return True

    def wait(self, seconds: float) -> None:
        """Wait for what is in hand, so long at most."""
        self._courier.wait(seconds)

    def stop(self) -> None:
        """End the thread once what is in hand is done."""
        self._courier.stop()

    def _allowed_s(self, told: Call | Path | None) -> float:
        if self._is_local:
            return _NEW_LOCAL_S if told is None else _LOCAL_S
        kind = told.name.partition("-")[2] if isinstance(told, Path) else told and kind_of(told)
        if kind == "trials":
            return _SERVER_TRIALS_S
        least_s = _SERVER_S if kind in _SHORT else _SERVER_WITH_FILES_S
        return least_s + _size_bytes(told) / _BYTES_PER_S


def _quietly(work: Callable[[], Any]) -> Any:
    # Here, so that it is as long as the work, whoever waits for that.
    with quiet():
        return work()


def _size_bytes(told: Call | Path | None) -> int:
    """Return the size of the files that go with a call or lie in a record."""
    if isinstance(told, ModelRecord):
        told = told.artifact_folder
    if isinstance(told, Ended | StudyRecord):
        return sum(path.stat().st_size for path, _ in told.artifacts if path.is_file())
    if not isinstance(told, Path):
        return 0
    return sum(path.stat().st_size for path in told.rglob("*") if path.is_file())
