"""The runs of one session in a store: what they are found by, and which are still open."""

import time
from collections.abc import Mapping

from tracking.entities import run_tags, tags_of
from tracking.found import EXECUTION, PARENT, SESSION, Found, FoundRun, look_up
from tracking.session import Session
from tracking.store import Store


class SessionRuns:
    """Begins runs of a session and ends them, beneath one parent.

    Attributes
    ----------
    store
        Where they are.
    found
        What the store held of the execution when it was last asked.
    open
        Ids of runs that are to be ended, the parent first.
    parent_id
        The parent run, or None where none was begun.
    parent_name
        Its name, which children carry, or empty where it must be asked for.
    """

    def __init__(self, store: Store, session: Session) -> None:
        self.store = store
        self.found = Found()
        self.open: dict[str, None] = {}
        self.parent_id: str | None = None
        self.parent_name = ""
        self._session = session

    def look_up(self) -> None:
        """Ask the store for what it holds."""
        self.found = look_up(self.store, self._session.execution)
        self.open = self.found.running(self._session.name)
        mine = [run for run in self.found.parents if run.session == self._session.name]
        if self.parent_id is None and mine:
            self.parent_id = mine[0].run_id

    def parent(self) -> str:
        """Return the parent's id, making one that says so where its own record was lost."""
        if self.parent_id is None:
            self.parent_name = f"run of {self._session.name[:8]}"
            now_ms = int(time.time() * 1000)
            self.parent_id = self.created(self.parent_name, self.marks(), started_ms=now_ms)
        return self.parent_id

    def places(self) -> dict[str, str]:
        """Return the tags that put a run beneath the parent, whose name children carry."""
        parent = self.parent()
        if not self.parent_name:
            self.parent_name = str(self.store.client.get_run(parent).info.run_name)
        return {PARENT: parent, "run": self.parent_name}

    def marks(self) -> dict[str, str]:
        """Return the tags that everything of this session is found by."""
        return {EXECUTION: self._session.execution, **self.session_mark()}

    def session_mark(self) -> dict[str, str]:
        """Return the one tag that a run needs in order to be closed if this process dies."""
        return {SESSION: self._session.name}

    def created(self, name: str, tags: Mapping[str, str], *, started_ms: int) -> str:
        """Begin a run and return its id."""
        run = self.store.client.create_run(
            self.store.experiment_id, start_time=started_ms, tags=tags_of(tags), run_name=name
        )
        run_id = str(run.info.run_id)
        self.open[run_id] = None
        return run_id

    def adopted(self, run: FoundRun) -> None:
        """Take a run that is complete beneath this session's parent."""
        if run.parent_id != self.parent():
            tags = {**self.places(), **self.session_mark()}
            self.store.client.log_batch(run.run_id, tags=run_tags(tags))

    def ended(self, run_id: str, status: str, *, ended_ms: int) -> None:
        """End a run."""
        self.store.client.set_terminated(run_id, status, ended_ms)
        self.open.pop(run_id, None)
