"""Opens an MLflow store: quietly, with bounded waiting, and created by one process at a time."""

import functools
import logging
import os
import re
import secrets
import signal
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

SQLITE = "sqlite:///"

_LOCK_WAIT_S = 120.0

# MLflow's own defaults wait four minutes for each call to a dead server, ask again by themselves
# for what may have been done, report usage to its makers, and draw on the console.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A lock file in the working directory would be copied into every logged model.
    "MLFLOW_UV_AUTO_DETECT": "false",
}

# How long a server may take to answer once it was handed the last byte of a file: a slow line has
# megabytes of it under way then, and the server a store of its own to write to.
_UPLOAD_ANSWER_S = 60

# MLflow installs handlers of its own for the first two; urllib3 reports every retry, matplotlib
# that it lists the fonts once.
_NOISY_LOGGERS = ("mlflow", "alembic", "urllib3", "matplotlib")


@dataclass(frozen=True, slots=True)
class Store:
    """An open store: MLflow's client, and the experiment that runs go to."""

    client: Any
    experiment_id: str
    is_local: bool


def check_uri(uri: str) -> None:
    """Refuse a store address that the tracker cannot serve.

    Raises
    ------
    ValueError
        If `uri` names neither an SQLite file nor an HTTP server; what may be a password is not
        in the message.
    """
    named_file = uri.startswith(SQLITE) and uri not in (SQLITE, f"{SQLITE}:memory:")
    if not named_file and not _names_server(uri):
        # Where it cannot be taken apart, a password may reach up to the last @ or stand behind a ?.
        host = re.sub(r"^(\w[\w+.-]*://)?.*@", r"\1", uri, flags=re.DOTALL).partition("?")[0]
        found = (host if host.isprintable() else ascii(host)) or "empty"
        raise ValueError(f"tracking.uri must be {SQLITE}<file> or http(s)://<host>, was {found}")


def _names_server(uri: str) -> bool:
    if not uri.startswith(("http://", "https://")) or not uri.isprintable() or " " in uri:
        return False
    try:
        parts = urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        return False


def open_store(uri: str, experiment: str) -> Store:
    """Connect to the store, creating an SQLite one and the experiment where they are missing.

    Artifacts of an SQLite store lie in `artifacts/` beside its file, whatever folder later
    commands run in; a server decides for itself. Call it inside `quiet`.
    """
    if uri.startswith(SQLITE):
        return _open_sqlite(Path(uri.removeprefix(SQLITE)).resolve(), experiment)
    return _connect(uri, experiment, artifacts_uri=None)


def _open_sqlite(file: Path, experiment: str) -> Store:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that both find an empty file both create its tables, and one of them fails.
    with FileLock(f"{file}.lock", timeout=_LOCK_WAIT_S):
        artifacts_uri = (file.parent / "artifacts").as_uri()
        if not file.exists() or file.stat().st_size == 0:
            _create_whole(file, artifacts_uri)
        # Opening it here also fails at once where MLflow would retry for a hundred seconds.
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
        return _connect(f"{SQLITE}{file.as_posix()}", experiment, artifacts_uri=artifacts_uri)


def _create_whole(file: Path, artifacts_uri: str) -> None:
    """Make a new store's tables in a file that takes its name when all of them are there.

    A store whose making was cut off, by a kill for one, cannot be opened by MLflow ever again.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for cut_off in file.parent.glob(f".{file.name}.*.tmp*"):
        cut_off.unlink(missing_ok=True)
    begun = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Fails at once where MLflow would retry.
        sqlite3.connect(begun).close()
        SqlAlchemyStore(f"{SQLITE}{begun.as_posix()}", artifacts_uri).engine.dispose()
        begun.replace(file)
    finally:
        begun.unlink(missing_ok=True)


def _connect(uri: str, experiment: str, *, artifacts_uri: str | None) -> Store:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        create_once(lambda: client.create_experiment(experiment, artifact_location=artifacts_uri))
        found = client.get_experiment_by_name(experiment)
    return Store(client, found.experiment_id, is_local=artifacts_uri is not None)


def create_once(create: Callable[[], object]) -> None:
    """Create something that may be there already, perhaps since a moment ago."""
    from mlflow.exceptions import MlflowException

    try:
        create()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def import_mlflow() -> None:
    """Import MLflow as the tracker wants it; the first time takes seconds.

    Call it on the main thread: it sets environment variables.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _interrupts_after(), _no_foreign_warnings():
        import alembic.util  # noqa: F401
        import mlflow.pyfunc  # noqa: F401
        import sqlalchemy.exc  # noqa: F401
    _wait_for_uploads()


@contextmanager
def _interrupts_after() -> Iterator[None]:
    """Let an interrupt wait: a library whose import was cut off cannot be imported once more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for one that was not set from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for waited in came:
        signal.raise_signal(waited)


def _wait_for_uploads() -> None:
    """Give files longer than MLflow's one limit, which holds for requests of every kind."""
    from mlflow.store.artifact import http_artifact_repo

    usual = http_artifact_repo.http_request
    if not isinstance(usual, functools.partial):
        limit_s = max(_UPLOAD_ANSWER_S, int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]))
        http_artifact_repo.http_request = functools.partial(usual, timeout=limit_s)


@contextmanager
def _no_foreign_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # MLflow calls parts of SQLAlchemy that are on their way out: not for our users to mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        # It also warns about a type hint in a class of its own while that class is defined.
        warnings.filterwarnings("ignore", message=r".*Any type hint is inferred as AnyType")
        # And a record without an example is legal: the signature comes from the feature names.
        warnings.filterwarnings("ignore", message=r".*An input example was not provided")
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Import MLflow, and keep it off the console while it works for the tracker.

    It reports the creation of tables, each retry, and whole tracebacks of errors that it then
    raises; the tracker tells what matters in one line. Levels are restored afterwards.
    """
    # Imported first: it sets levels of its own, which are the ones to restore.
    import_mlflow()
    levels = {name: logging.getLogger(name).level for name in _NOISY_LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with _no_foreign_warnings():
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
