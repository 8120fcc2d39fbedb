"""Where studies are kept: a journal file of one sweep, or a database that many work on."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.interrupts import interrupts_after

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

HEARTBEATS_MISSED = 3
# How long another process may take to make the tables.
TABLES_S = 3.0
DRIVERS = {"postgresql": "psycopg[binary]", "mysql": "mysqlclient"}


class StorageError(ValueError):
    """A database of studies that cannot be used; the message is one line without its password."""


def open_journal(path: Path) -> "BaseStorage":
    """Open the journal of a sweep that nobody else works on, made where it is missing.

    Raises
    ------
    StorageError
        If the file holds what is no journal.
    """
    with quiet():
        from training.tuning.journal import Journal

        try:
            return Journal(path)
        except (ValueError, KeyError) as error:
            raise StorageError(
                f"{path} cannot be read; resume=false begins anew, without its trials"
            ) from error


@contextmanager
def opened_database(url: str, heartbeat_s: int) -> "Iterator[BaseStorage]":
    """Open a database of studies, its tables made where they are missing, and close it at the end.

    Parameters
    ----------
    url : str
        As SQLAlchemy reads it.
    heartbeat_s : int
        Seconds between signs of life of a trial under way; it is given up, and tried again by
        whoever notices, after three times that.

    Raises
    ------
    StorageError
        If there is no driver for it, or it does not answer.
    OSError
        If it fails in the block.
    """
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

    def connected() -> RDBStorage:
        return RDBStorage(
            url,
            heartbeat_interval=heartbeat_s,
            grace_period=HEARTBEATS_MISSED * heartbeat_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )

    try:
        with quiet():
            try:
                storage = connected()
            except (IntegrityError, ProgrammingError):
                # Another process has made the tables meanwhile.
                time.sleep(TABLES_S)
                storage = connected()
    except ImportError as error:
        kind = url.partition(":")[0].partition("+")[0]
        package = DRIVERS.get(kind, "its package")
        raise StorageError(f"{kind} needs a driver: pip install '{package}'") from error
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageError(f"cannot be used: {_first_line(error)}") from error
    try:
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        raise OSError(f"sweep.storage: {_first_line(error)}") from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _first_line(error: Exception) -> str:
    """Return what a database says of itself, in one line."""
    return next(iter(str(error.__cause__ or error).strip().splitlines()), "no reason given")


@contextmanager
def undisturbed(storage: "BaseStorage") -> Iterator[None]:
    """Talk to a storage: `quiet`, with no interrupt meanwhile, and all of it on the disk after."""
    from training.tuning.journal import Journal

    with interrupts_after(), quiet():
        try:
            yield
        finally:
            if isinstance(storage, Journal):
                storage.flush()


@contextmanager
def quiet() -> Iterator[None]:
    """Leave Optuna's notes to the developer unsaid: experimental parts, ask without optimize."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        warnings.filterwarnings("ignore", message="Fixed parameter")
        yield
