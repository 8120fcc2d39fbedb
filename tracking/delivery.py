"""Tells a store what a session has to tell, each thing once however often it is tried."""

import time
from collections.abc import Mapping

from tracking.calls import Call, DataFailed, Ended, Promotion, Started
from tracking.child_runs import ChildRun, log_model_run, log_parent, log_verdict
from tracking.entities import (
    child_tags,
    failed_data_tags,
    ms_since_epoch,
    params_of,
    run_tags,
    tags_of,
)
from tracking.failures import UnknownVersionError
from tracking.figures import FigurePainter
from tracking.found import EXECUTION, PARENT, SESSION, Found, FoundRun, Key, look_up
from tracking.records import LoggedModel, ModelRecord, Verdict
from tracking.registry import promote
from tracking.session import Session
from tracking.store import Store
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
        self.parent_id: str | None = None
        self._store = store
        self._session = session
        self._painter = painter
        self._parent_name = ""
        self._found = Found()
        # Whether `_found` is what the store holds.
        self._sure = False
        # Whether something may stand there twice.
        self._doubtful = False
        self._open: dict[str, None] = {}
        self._logged: dict[Key, LoggedModel] = {}
        self._registered: set[str] = set()

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
        mine = f"tags.`{SESSION}` = '{self._session.name}' AND attributes.status = 'RUNNING'"
        client = self._store.client
        for run in client.search_runs([self._store.experiment_id], mine):
            client.set_terminated(run.info.run_id, "KILLED")

    def _told(self, call: Call, *, late: bool) -> LoggedModel | str | None:
        if isinstance(call, Promotion) and call.version is not None:
            return promote(self._store.client, call, call.version, late=late)
        if not self._sure:
            self._look_up()
        match call:
            case Started():
                self._start(call)
            case ModelRecord():
                return self._model(call)
            case DataFailed():
                self._failed_data(call)
            case Verdict():
                log_verdict(self._store.client, call, self._logged_as(call))
            case Promotion():
                return promote(self._store.client, call, self._version_of(call), late=late)
            case Ended():
                self._end(call)
        return None

    def _look_up(self) -> None:
        self._found = look_up(self._store, self._session.execution)
        self._open = self._found.running(self._session.name)
        self._sure = True
        mine = [run for run in self._found.parents if run.session == self._session.name]
        if self.parent_id is None and mine:
            self.parent_id = mine[0].run_id

    def _start(self, call: Started) -> None:
        self._parent_name = call.run.name
        if self.parent_id is None:
            started_ms = ms_since_epoch(call.at)
            self.parent_id = self._created(call.run.name, call.run.tags, started_ms=started_ms)
        client = self._store.client
        client.log_batch(self.parent_id, params=params_of(call.run.params))
        for parent in self._found.parents:
            if parent.session == self._session.name:
                continue
            client.set_tag(parent.run_id, "resumed_by", self.parent_id)
            if parent.status == "RUNNING":
                client.set_terminated(parent.run_id, "KILLED")

    def _model(self, record: ModelRecord) -> LoggedModel:
        key = record.symbol, record.model
        failed = record.error is not None
        there = self._found.complete(key, failed=failed)
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
            self._ended(run.run_id, status, ended_ms=ms_since_epoch(record.ended_utc))
        else:
            logged = self._adopted(there)
        self._logged[key] = logged
        return logged

    def _failed_data(self, call: DataFailed) -> None:
        failed, at_ms = call.failed, ms_since_epoch(call.at)
        key = failed.symbol, ""
        there = self._found.complete(key, failed=True)
        if there is not None:
            self._adopted(there)
            return
        run = self._child_run(key, failed_data_tags(failed), at_ms)
        if failed.report is not None:
            self._store.client.log_artifact(run.run_id, str(failed.report), "data")
        self._ended(run.run_id, "FAILED", ended_ms=at_ms)

    def _child_run(self, key: Key, tags: Mapping[str, str], started_ms: int) -> ChildRun:
        """Begin a run beneath the parent, or go on with one that was cut off."""
        begun = self._found.cut_off(key)
        all_tags = {**tags, **self._places(), **self._marks()}
        if begun is None:
            symbol, model = key
            run_id = self._created(f"{symbol} {model or 'data'}", all_tags, started_ms=started_ms)
            return ChildRun(run_id)
        client = self._store.client
        client.log_batch(begun.run_id, tags=run_tags(all_tags))
        models = self._found.models.get(begun.run_id, [])
        versions = self._found.versions.get(begun.run_id, [])
        outputs = client.get_run(begun.run_id).outputs
        return ChildRun(
            begun.run_id,
            model=models[0] if models else None,
            version=versions[0].number if versions else None,
            has_outputs=bool(outputs and outputs.model_outputs),
        )

    def _adopted(self, run: FoundRun) -> LoggedModel:
        """Take a run that is complete beneath this session's parent."""
        if run.parent_id != self._parent():
            tags = {**self._places(), SESSION: self._session.name}
            self._store.client.log_batch(run.run_id, tags=run_tags(tags))
        return self._found.logged(run)

    def _created(self, name: str, tags: Mapping[str, str], *, started_ms: int) -> str:
        run = self._store.client.create_run(
            self._store.experiment_id,
            start_time=started_ms,
            tags=tags_of({**tags, **self._marks()}),
            run_name=name,
        )
        run_id = str(run.info.run_id)
        self._open[run_id] = None
        return run_id

    def _parent(self) -> str:
        """Return the parent's id, making one that says so where its own record was lost."""
        if self.parent_id is None:
            self._parent_name = f"run of {self._session.name[:8]}"
            now_ms = int(time.time() * 1000)
            self.parent_id = self._created(self._parent_name, {}, started_ms=now_ms)
        return self.parent_id

    def _places(self) -> dict[str, str]:
        """Return the tags that put a run beneath the parent, whose name children carry."""
        parent = self._parent()
        if not self._parent_name:
            self._parent_name = str(self._store.client.get_run(parent).info.run_name)
        return {PARENT: parent, "run": self._parent_name}

    def _marks(self) -> dict[str, str]:
        """Return the tags that everything of this session is found by."""
        return {EXECUTION: self._session.execution, SESSION: self._session.name}

    def _ended(self, run_id: str, status: str, *, ended_ms: int) -> None:
        self._store.client.set_terminated(run_id, status, ended_ms)
        self._open.pop(run_id, None)

    def _logged_as(self, verdict: Verdict) -> LoggedModel:
        """Return where a model went, of which the caller may not know: it was in the queue."""
        if verdict.logged.run_id is not None:
            return verdict.logged
        key = verdict.symbol, verdict.model
        if key in self._logged:
            return self._logged[key]
        either = (self._found.complete(key, failed=failed) for failed in (False, True))
        run = next(filter(None, either), None)
        return verdict.logged if run is None else self._found.logged(run)

    def _version_of(self, call: Promotion) -> str:
        """Return the version of a model that had none yet when it was promoted."""
        keys = [key for key in (*self._logged, *self._found.children) if key[1] == call.model]
        for key in keys:
            run = self._found.complete(key, failed=False)
            logged = self._logged.get(key) or (run and self._found.logged(run))
            if logged and logged.version and logged.registered_name == call.registered_name:
                return logged.version
        raise UnknownVersionError(
            f"{call.registered_name} has no version of {call.model} from this run"
        )

    def _end(self, call: Ended) -> None:
        """Add the last facts; end what is open: a child that was cut off, always as KILLED."""
        parent_id, client = self._parent(), self._store.client
        at_ms = ms_since_epoch(call.at)
        if call.name is not None:
            client.update_run(parent_id, name=call.name)
        log_parent(client, parent_id, call)
        if self._doubtful or call.status == "KILLED":
            # What was asked for may be there since: an answer was lost, or a call interrupted.
            self._look_up()
            self._open |= {parent_id: None}
            for run_id in remove_surplus(self._store, self._found, self._session.name, parent_id):
                self._open.pop(run_id, None)
        for run_id in reversed(list(self._open)):
            status = call.status if run_id == parent_id else "KILLED"
            client.set_terminated(run_id, status, at_ms)
        self._open = {}
