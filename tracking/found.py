"""What a store holds of one execution already: its runs, their models and registered versions."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracking.entities import STUDY, TRIAL
from tracking.records import LoggedModel
from tracking.store import Store

EXECUTION = "execution"
SESSION = "session"
PARENT = "mlflow.parentRunId"

# A symbol and a model, which is empty for the run of a symbol without usable data; of a study
# its name as well.
Key = tuple[str, ...]

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run as the store has it.

    Attributes
    ----------
    complete
        Whether everything about it was logged: it ended as FINISHED, or as FAILED with an error.
    """

    run_id: str
    status: str
    complete: bool
    failed: bool
    session: str
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version."""

    name: str
    number: str
    model_id: str | None


@dataclass(slots=True)
class Found:
    """The runs of one execution; models and versions by their run."""

    parents: list[FoundRun] = field(default_factory=list)
    children: dict[Key, list[FoundRun]] = field(default_factory=lambda: defaultdict(list))
    models: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    versions: dict[str, list[Version]] = field(default_factory=lambda: defaultdict(list))

    def running(self, session: str) -> dict[str, None]:
        """Return the ids of a session's runs that nothing has ended, the parent first."""
        runs = [*self.parents, *(run for runs in self.children.values() for run in runs)]
        mine = (run for run in runs if run.session == session)
        return {run.run_id: None for run in mine if run.status == "RUNNING"}

    def complete(self, key: Key, *, failed: bool) -> FoundRun | None:
        """Return a run that was logged in full and came out so, the latest there is."""
        return _last(
            run for run in self.children.get(key, ()) if run.complete and run.failed == failed
        )

    def cut_off(self, key: Key) -> FoundRun | None:
        """Return a run that was begun and not logged in full."""
        return _last(run for run in self.children.get(key, ()) if not run.complete)

    def logged(self, run: FoundRun) -> LoggedModel:
        """Return where a complete run's model went."""
        model_id = next((one.model_id for one in self.models.get(run.run_id, ())), None)
        versions = self.versions.get(run.run_id)
        if versions:
            first = versions[0]
            address = f"models:/{first.name}/{first.number}"
            return LoggedModel(run.run_id, first.number, address, model_id, first.name)
        uri = f"models:/{model_id}" if model_id else None
        return LoggedModel(run.run_id, None, uri, model_id, None)


def look_up(store: Store, execution: str) -> Found:
    """Ask the store for everything of an execution; one request where there is nothing.

    Trials are left out: they may be thousands, and are found by the run of their study.
    """
    found, client = Found(), store.client
    wanted = f"tags.`{EXECUTION}` = '{execution}'"
    experiments = [store.experiment_id]
    for run in _runs(store, wanted):
        _add_run(found, run)
    if not found.children:
        return found
    for model in _pages(
        lambda page: client.search_logged_models(experiments, wanted, page_token=page)
    ):
        found.models[model.source_run_id].append(model)
    for one in _pages(lambda page: client.search_model_versions(wanted, page_token=page)):
        version = Version(one.name, str(one.version), one.model_id)
        found.versions[one.run_id].append(version)
    _order(found)
    return found


def trials_of(store: Store, study_run_id: str) -> dict[str, list[FoundRun]]:
    """Ask the store for the runs beneath a study's, by the number of their trial."""
    trials: dict[str, list[FoundRun]] = defaultdict(list)
    for run in _runs(store, f"tags.`{PARENT}` = '{study_run_id}'"):
        trials[run.data.tags.get(TRIAL, "")].append(_found_run(run))
    return trials


def still_running(store: Store, session: str) -> list[str]:
    """Return the ids of all runs of a session that nothing has ended, trials among them."""
    wanted = f"tags.`{SESSION}` = '{session}' AND attributes.status = 'RUNNING'"
    return [run.info.run_id for run in _runs(store, wanted)]


def best_of(runs: Sequence[FoundRun]) -> FoundRun:
    """Return which run of several of the same stays: one logged in full, else the latest."""
    return _last(run for run in runs if run.complete) or runs[-1]


def _runs(store: Store, wanted: str) -> Iterator[Any]:
    order = ["attributes.start_time ASC"]
    return _pages(
        lambda page: store.client.search_runs(
            [store.experiment_id], wanted, max_results=_PAGE, order_by=order, page_token=page
        )
    )


def _order(found: Found) -> None:
    """Put first what counts: the lowest version, and the model that it is of or that is ready."""
    for versions in found.versions.values():
        versions.sort(key=lambda one: int(one.number))
    for run_id, models in found.models.items():
        registered = {one.model_id for one in found.versions.get(run_id, ())}
        models.sort(
            key=lambda one: (one.model_id not in registered, str(one.status) != "READY"),
        )


def _found_run(run: Any) -> FoundRun:
    tags, status = run.data.tags, run.info.status
    failed = "error" in tags
    return FoundRun(
        run_id=run.info.run_id,
        status=status,
        complete=status == ("FAILED" if failed else "FINISHED"),
        failed=failed,
        session=tags.get(SESSION, ""),
        parent_id=tags.get(PARENT),
    )


def _add_run(found: Found, run: Any) -> None:
    tags, one = run.data.tags, _found_run(run)
    if one.parent_id is None:
        found.parents.append(one)
        return
    study = (tags[STUDY],) if STUDY in tags else ()
    found.children[tags.get("symbol", ""), tags.get("model", ""), *study].append(one)


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    page = None
    while True:
        answer = ask(page)
        yield from answer
        page = answer.token
        if not page:
            return


def _last(runs: Iterator[FoundRun]) -> FoundRun | None:
    return max(enumerate(runs), default=(0, None), key=lambda one: one[0])[1]
