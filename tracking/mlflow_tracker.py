"""Mirrors a command to MLflow: a parent run, and a child run for each model or study."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import Timeout

from tracking.backlog import EndedSession, deliver_session, ended_sessions
from tracking.calls import (
    TRIALS_PER_CALL,
    Call,
    DataFailed,
    Ended,
    Promotion,
    Started,
    Trials,
)
from tracking.carrier import Carrier, StillAtItError
from tracking.delivery import Delivery
from tracking.disk import digest
from tracking.failures import failure_line, is_refusal, raised, store_failures, without_password
from tracking.figures import FigurePainter
from tracking.patience import Patience
from tracking.records import (
    NOT_LOGGED,
    FailedData,
    LoggedModel,
    ModelRecord,
    RunStart,
    Status,
    StudyKey,
    StudyRecord,
    TrialRecord,
    Verdict,
)
from tracking.session import QueueError, Session, queue_of
from tracking.store import SQLITE, Store, check_uri, import_mlflow, open_store
from tracking.waiting import Shortfall, sync_command

# How long an interrupted run waits for what it was just delivering, and then for its end.
_INTERRUPTED_S = 3.0

# How long one call may deliver what waits before it; the first and the last have `patience_s`.
_CATCH_UP_S = 2.0

_log = logging.getLogger(__name__)


class _MoreWaitsError(Exception):
    """There is more to deliver than there is time for now, though the store takes it."""


class MlflowTracker:
    """Records one command in an MLflow store, from one process, never failing the run.

    What the store does not take is kept in a queue on disk, and everything after it behind it.
    The first time is told as a warning. The store is asked again with growing pauses; once it has
    cost the run `patience_s` seconds, by failing or by taking long, all else goes to the queue.

    Parameters
    ----------
    uri
        `sqlite:///<file>`, relative to the working directory, or a server's `http(s)://` address.
    experiment
        Name of the experiment that runs go to; created where missing.
    figures
        Whether pictures of each model are drawn and kept with its run.
    queue
        Folder of the queue, or None for `queue/` beside an SQLite file and for
        `mlruns/queue/<host>` with a server.
    patience_s
        Time that a run may lose by the store in all, in seconds.

    Raises
    ------
    ValueError
        If `uri`, `experiment` or `patience_s` cannot be used.
    """

    def __init__(
        self, *, uri: str, experiment: str, figures: bool, queue: str | None, patience_s: float
    ) -> None:
        check_uri(uri)
        if not experiment:
            raise ValueError("tracking.experiment must be a name, was empty")
        if not patience_s > 0:
            raise ValueError(f"patience_s must be above 0, was {patience_s}")
        self.failure: str | None = None
        self.waiting = 0
        self.queue: Path = queue_of(uri, queue)
        self.cpu_seconds = 0.0
        self.uri = uri
        self._experiment = experiment
        self._short = Shortfall(self.queue, sync_command(uri, queue))
        self._where = f"MLflow at {without_password(uri)}"
        self._painter = FigurePainter() if figures else None
        self._patience_s = patience_s
        self._carrier = Carrier(Patience(patience_s), is_local=uri.startswith(SQLITE))
        self._stores: dict[str, Store] = {}
        self._session: Session | None = None
        self._delivery: Delivery | None = None

    def start(self, run: RunStart) -> str | None:
        """Open the store and the parent run; return its id, or None where that must wait.

        What earlier commands left in the queue is delivered too, for `patience_s` at most, and
        runs that were cut off are closed.
        """
        self._begin(run.execution)
        self._tell(Started(run, datetime.now(UTC)))
        if self.waiting or self._delivery is None:
            return None
        parent_id = self._delivery.parent_id
        self._deliver_others()
        return parent_id

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Record one model as an ended child run, and register it where it has a name.

        One that an earlier part of the same execution recorded is taken over as it is.
        """
        return self._tell(record) or NOT_LOGGED

    def log_failed_data(self, failed: FailedData) -> None:
        """Record a symbol that could not be trained as a failed child run."""
        self._tell(DataFailed(failed, datetime.now(UTC)))

    def log_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Add verdict and description to the runs, models and versions that were logged."""
        for verdict in verdicts:
            self._tell(verdict)

    def log_trials(self, key: StudyKey, trials: Sequence[TrialRecord]) -> None:
        """Record ended trials as runs beneath their study's, a few at a time."""
        for first in range(0, len(trials), TRIALS_PER_CALL):
            self._tell(Trials(key, tuple(trials[first : first + TRIALS_PER_CALL])))

    def log_study(self, record: StudyRecord) -> None:
        """Add the last facts to a study's run, and end it."""
        self._tell(record)

    def promote(
        self,
        registered_name: str,
        version: str | None,
        *,
        simulated: bool,
        description: str,
        manifest: Path | None = None,
        model: str | None = None,
    ) -> str | None:
        """Point the alias `champion` at one version, unless simulated data would displace real."""
        if self._session is None:
            self._begin(uuid4().hex)
        kept: str | None = self._tell(
            Promotion(
                registered_name=registered_name,
                version=version,
                model=model,
                simulated=simulated,
                description=description,
                manifest=None if manifest is None else str(manifest.resolve()),
                manifest_sha256=None if manifest is None else digest(manifest),
                at=datetime.now(UTC),
            )
        )
        return kept

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[tuple[Path, str]],
        status: Status,
        name: str | None = None,
        description: str = "",
    ) -> None:
        """Add the last facts to the parent run, end every run that is still open, and close.

        A child that is still open was cut off: it ends as KILLED. The store is asked once more
        whatever pause it is in, unless the run was interrupted and must end.
        """
        if self._session is None:
            return
        end = Ended(metrics, tags, tuple(artifacts), status, name, description, datetime.now(UTC))
        if status == "KILLED":
            self._carrier.patience.shorten(_INTERRUPTED_S)
            self._carrier.wait(_INTERRUPTED_S)
        self._tell(end)
        if not self.waiting and status != "KILLED":
            self._deliver_others()
        self.close()

    def close(self) -> None:
        """Leave what waits to the next command; without `start`, this ends what `promote` began."""
        session, self._session = self._session, None
        if session is not None:
            session.in_hand |= not self._carrier.settled(session)
            if self.waiting or session.in_hand:
                session.release()
            else:
                session.remove()
        self._carrier.stop()

    def _begin(self, execution: str) -> None:
        self.failure, self._delivery = None, None
        self._short.refused = self._short.lost = 0
        try:
            self._session = Session.begun(
                self.queue, execution=execution, experiment=self._experiment
            )
        except (OSError, Timeout) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.failure = f"nothing is tracked: {self.queue} cannot be written to ({reason})"
            _log.warning("%s", self.failure)

    def _tell(self, call: Call) -> Any:
        """Deliver a call, and first what waits; or keep it and return None."""
        session = self._session
        if session is None:
            return None
        with self._counted():
            try:
                with self._failures_told():
                    if self._may_deliver(call, session):
                        return self._delivered(call, session)
            except KeyboardInterrupt:
                self._keep(call, session)
                raise
            self._keep(call, session)
        return None

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Let what goes wrong with the store or the queue be known, and go no further."""
        try:
            yield
        except _MoreWaitsError:
            self._short.say(f"more waits for {self._where} than this run has time for")
        except QueueError as error:
            self._upset(str(error))
        except StillAtItError:
            self._upset(failure_line(self.uri, TimeoutError()))
        except store_failures() as error:
            _log.debug("MLflow raised %s", raised(self.uri, error))
            self._upset(failure_line(self.uri, error))

    def _may_deliver(self, call: Call, session: Session) -> bool:
        if not self._carrier.settled(session):
            return False
        self._count(session)
        if not self._carrier.patience.left_s and self._short.reason is None:
            self._short.say(
                f"{self._where} has taken the {self._patience_s:g} s that this run gives it"
            )
        if not isinstance(call, Ended):
            return self._carrier.patience.allows()
        # An interrupted run does not stay to deliver what waits.
        if call.status == "KILLED" and self.waiting:
            return False
        return self._carrier.patience.allows(in_pause=True)

    def _delivered(self, call: Call, session: Session) -> Any:
        import_mlflow()
        limit_s = self._patience_s if isinstance(call, Started | Ended) else _CATCH_UP_S
        delivery = self._caught_up(session, time.monotonic() + limit_s)
        try:
            return self._carrier.carry(
                lambda: delivery.deliver(call, late=False), session, call=call
            )
        except store_failures() as error:
            if not is_refusal(self.uri, error) or isinstance(call, Started):
                raise
            return self._refuse(call, session, error)

    def _caught_up(self, session: Session, until_s: float) -> Delivery:
        """Deliver what earlier parts of this execution, and this one, left waiting."""
        if self._delivery is None:
            with closing(ended_sessions(self.queue, session.execution)) as earlier:
                for ended in earlier:
                    if ended.session is not None:
                        delivery = self._new_delivery(ended.session)
                        self._deliver_all(ended.session, delivery, until_s)
                    elif ended.folder != session.folder:
                        self._pass_over(ended)
            self._delivery = self._new_delivery(session)
        self._deliver_all(session, self._delivery, until_s)
        return self._delivery

    def _pass_over(self, ended: EndedSession) -> None:
        """Go on without a session that was set aside; wait for one that is in use."""
        told = f"an earlier part of this run, {ended.folder}, {ended.reason}"
        if ended.folder.is_dir():
            raise QueueError(told)
        self._short.refused += 1
        _log.warning("tracking: %s", told)

    def _deliver_others(self) -> None:
        """Deliver what other commands left waiting, as far as there is time."""
        until_s = time.monotonic() + self._patience_s
        behind: set[str] = set()
        with (
            self._counted(),
            self._failures_told(),
            suppress(_MoreWaitsError),
            closing(ended_sessions(self.queue)) as sessions,
        ):
            for ended in sessions:
                if time.monotonic() > until_s:
                    return
                if ended.in_the_way is not None:
                    behind.add(ended.in_the_way)
                if ended.session is not None and ended.session.execution not in behind:
                    delivery = self._new_delivery(ended.session)
                    self._deliver_all(ended.session, delivery, until_s)

    def _deliver_all(self, session: Session, delivery: Delivery, until_s: float) -> None:
        """Deliver what waits of a session; raises _MoreWaitsError where time runs out before."""
        own = session is self._session
        if own and not self.waiting:
            return

        def carry(work: Callable[[], Any], record: Path | None) -> Any:
            return self._carrier.carry(work, session, record=record)

        for passed in deliver_session(self.uri, session, delivery, carry, own=own):
            self._count(session)
            if passed.reason is not None:
                self._short.refused += 1
                _log.warning("tracking: %s %s", passed.record.name, passed.reason)
            if time.monotonic() > until_s and session.records():
                raise _MoreWaitsError

    def _new_delivery(self, session: Session) -> Delivery:
        name = session.experiment
        if name not in self._stores:
            # Stored there: one that is opened too late for this call is there for the next.
            def open_it() -> None:
                self._stores[name] = open_store(self.uri, name)

            self._carrier.carry(open_it, session)
        return Delivery(self._stores[name], session, painter=self._painter)

    def _keep(self, call: Call, session: Session) -> None:
        kept = call
        if isinstance(call, ModelRecord) and self._painter is None:
            kept = replace(call, figures=None)
        try:
            self._carrier.kept(call, session.append(kept))
        except OSError as error:
            self._short.lost += 1
            told = "tracking: a record could not be kept in %s (%s)"
            _log.warning(told, session.folder, error.strerror or error)
        self._count(session)

    def _refuse(self, call: Call, session: Session, error: Exception) -> None:
        """Set a call aside that a working store will not have."""
        self._short.reason = failure_line(self.uri, error)
        try:
            record = session.append(call)
        except OSError:
            self._short.lost += 1
        else:
            # Where it cannot be moved it waits, and is set aside another time.
            with suppress(QueueError):
                session.set_aside(record, self._short.reason)
                self._short.refused += 1
        _log.warning("tracking: a record was set aside: %s", self._short.reason)
        self._count(session)

    def _upset(self, reason: str) -> None:
        self._short.say(reason)
        self._carrier.patience.failed()

    def _count(self, session: Session | None) -> None:
        """Take stock of what waits, and say so."""
        if session is None:
            return
        if session is self._session:
            self.waiting = len(session.records())
        self.failure = self._short.line(self.waiting)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the processor time of what is done."""
        begun_s = time.process_time()
        try:
            yield
        finally:
            self.cpu_seconds += time.process_time() - begun_s
