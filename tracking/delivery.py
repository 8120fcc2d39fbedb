"""Tells a store what a session has to tell, each thing once however often it is tried."""

from collections.abc import Mapping

from tracking.calls import Call, DataFailed, Ended, Promotion, Started, Trials
from tracking.child_runs import ChildRun, log_model_run, log_parent, log_verdict
from tracking.entities import (
    child_tags,
    failed_data_tags,
    ms_since_epoch,
    params_of,
    run_tags,
)
from tracking.failures import UnknownVersionError
from tracking.figures import FigurePainter
from tracking.found import Key, still_running
from tracking.records import LoggedModel, ModelRecord, StudyRecord, Verdict
from tracking.registry import promote
from tracking.session import Session
from tracking.session_runs import SessionRuns
from tracking.store import Store
from tracking.study_runs import StudyRuns
from tracking.surplus import remove_surplus


class Delivery:
    """Delivers the calls of one session, in order.

    After a call that failed nobody knows what the store made of it. The next one therefore looks
    up what is there, by the tags `execution` and `session`, and goes on from that: a run that was
    begun is completed, one that is complete is left as it is.

    Parameters
    ----------
    session
        Whose calls these are.
    painter
        Draws the figures of models, or None.
    """

    def __init__(self, store: Store, session: Session, *, painter: FigurePainter | None) -> None:
        self._store = store
        self._session = session
        self._painter = painter
        self._runs = SessionRuns(store, session)
        self._studies = StudyRuns(self._runs)
        # Whether what was found is what the store holds.
        self._sure = False
        # Whether something may stand there twice.
        self._doubtful = False
        self._logged: dict[Key, LoggedModel] = {}
        self._registered: set[str] = set()

    @property
    def parent_id(self) -> str | None:
        """The parent run, or None where none was begun."""
        return self._runs.parent_id

    def deliver(self, call: Call, *, late: bool) -> LoggedModel | str | None:
        """Tell the store one thing; return where a model went, or why an alias stayed.

        Raises one of `store_failures` where that did not succeed, or not for certain, and
        UnknownVersionError for a promotion of what was never registered.

        Parameters
        ----------
        late
            Whether the call comes from the queue: then others may have come between.
        """
        self._doubtful |= late
        try:
            return self._told(call, late=late)
        except BaseException:
            self._sure, self._doubtful = False, True
            raise

    def close_cut_off(self) -> None:
        """End the runs of a session whose process died, as KILLED."""
        for run_id in still_running(self._store, self._session.name):
            self._store.client.set_terminated(run_id, "KILLED")

    def _told(self, call: Call, *, late: bool) -> LoggedModel | str | None:
        if isinstance(call, Promotion) and call.version is not None:
            return promote(self._store.client, call, call.version, late=late)
        if not self._sure:
            self._runs.look_up()
            self._studies.forget()
            self._sure = True
        match call:
            case Started():
                self._start(call)
            case ModelRecord():
                return self._model(call)
            case DataFailed():
                self._failed_data(call)
            case Trials():
                self._studies.log_trials(call)
            case StudyRecord():
                self._studies.log_study(call, doubtful=self._doubtful)
            case Verdict():
                log_verdict(self._store.client, call, self._logged_as(call))
            case Promotion():
                return promote(self._store.client, call, self._version_of(call), late=late)
            case Ended():
                self._end(call)
        return None

    def _start(self, call: Started) -> None:
        runs, client = self._runs, self._store.client
        runs.parent_name = call.run.name
        if runs.parent_id is None:
            tags = {**call.run.tags, **runs.marks()}
            started_ms = ms_since_epoch(call.at)
            runs.parent_id = runs.created(call.run.name, tags, started_ms=started_ms)
        client.log_batch(runs.parent_id, params=params_of(call.run.params))
        for parent in runs.found.parents:
            if parent.session == self._session.name:
                continue
            client.set_tag(parent.run_id, "resumed_by", runs.parent_id)
            if parent.status == "RUNNING":
                client.set_terminated(parent.run_id, "KILLED")

    def _model(self, record: ModelRecord) -> LoggedModel:
        key = record.symbol, record.model
        failed = record.error is not None
        there = self._runs.found.complete(key, failed=failed)
        if there is None:
            run = self._child_run(key, child_tags(record), ms_since_epoch(record.started_utc))
            logged = log_model_run(
                self._store,
                record,
                run,
                execution=self._session.execution,
                painter=self._painter,
                known=self._registered,
            )
            status = "FAILED" if failed else "FINISHED"
            self._runs.ended(run.run_id, status, ended_ms=ms_since_epoch(record.ended_utc))
        else:
            self._runs.adopted(there)
            logged = self._runs.found.logged(there)
        self._logged[key] = logged
        return logged

    def _failed_data(self, call: DataFailed) -> None:
        failed, at_ms = call.failed, ms_since_epoch(call.at)
        key = failed.symbol, ""
        there = self._runs.found.complete(key, failed=True)
        if there is not None:
            self._runs.adopted(there)
            return
        run = self._child_run(key, failed_data_tags(failed), at_ms)
        if failed.report is not None:
            self._store.client.log_artifact(run.run_id, str(failed.report), "data")
        self._runs.ended(run.run_id, "FAILED", ended_ms=at_ms)

    def _child_run(self, key: Key, tags: Mapping[str, str], started_ms: int) -> ChildRun:
        """Begin a run beneath the parent, or go on with one that was cut off."""
        begun = self._runs.found.cut_off(key)
        all_tags = {**tags, **self._runs.places(), **self._runs.marks()}
        if begun is None:
            symbol, model = key
            run_id = self._runs.created(
                f"{symbol} {model or 'data'}", all_tags, started_ms=started_ms
            )
            return ChildRun(run_id)
        client = self._store.client
        client.log_batch(begun.run_id, tags=run_tags(all_tags))
        models = self._runs.found.models.get(begun.run_id, [])
        versions = self._runs.found.versions.get(begun.run_id, [])
        outputs = client.get_run(begun.run_id).outputs
        return ChildRun(
            begun.run_id,
            model=models[0] if models else None,
            version=versions[0].number if versions else None,
            has_outputs=bool(outputs and outputs.model_outputs),
        )

    def _logged_as(self, verdict: Verdict) -> LoggedModel:
        """Return where a model went, of which the caller may not know: it was in the queue."""
        if verdict.logged.run_id is not None:
            return verdict.logged
        key = verdict.symbol, verdict.model
        if key in self._logged:
            return self._logged[key]
        either = (self._runs.found.complete(key, failed=failed) for failed in (False, True))
        run = next(filter(None, either), None)
        return verdict.logged if run is None else self._runs.found.logged(run)

    def _version_of(self, call: Promotion) -> str:
        """Return the version of a model that had none yet when it was promoted."""
        keys = [key for key in (*self._logged, *self._runs.found.children) if key[1] == call.model]
        for key in keys:
            run = self._runs.found.complete(key, failed=False)
            logged = self._logged.get(key) or (run and self._runs.found.logged(run))
            if logged and logged.version and logged.registered_name == call.registered_name:
                return logged.version
        raise UnknownVersionError(
            f"{call.registered_name} has no version of {call.model} from this run"
        )

    def _end(self, call: Ended) -> None:
        """Add the last facts; end what is open: a child that was cut off, always as KILLED."""
        parent_id, client = self._runs.parent(), self._store.client
        at_ms = ms_since_epoch(call.at)
        if call.name is not None:
            client.update_run(parent_id, name=call.name)
        log_parent(client, parent_id, call)
        if self._doubtful or call.status == "KILLED":
            # What was asked for may be there since: an answer was lost, or a call interrupted.
            self._runs.look_up()
            self._runs.open |= {parent_id: None}
            self._runs.open |= dict.fromkeys(still_running(self._store, self._session.name))
            name = self._session.name
            for run_id in remove_surplus(self._store, self._runs.found, name, parent_id):
                self._runs.open.pop(run_id, None)
        for run_id in reversed(list(self._runs.open)):
            status = call.status if run_id == parent_id else "KILLED"
            client.set_terminated(run_id, status, at_ms)
        self._runs.open = {}
