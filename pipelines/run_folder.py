"""A run's output folder: one run's at a time, and what it remembers from one start to the next."""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from pipelines.command import ConfigError
from selection.atomic import write_json_atomically

EXECUTION = "execution.json"
UNITS = "units"
ROWS_PREFIX = ".rows-"
WRITTEN_TO = ("data", "predictions", "results")

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Execution:
    """The work that one command line amounts to, from its first start to its end.

    Attributes
    ----------
    id : str
        The same after every interruption.
    identity : str
        Digest of the configuration, the data and the code: another one is other work.
    begun_utc, started_utc : str
        When it was first started, and last.
    process : str
        Which one works on it, or did last.
    has_ended : bool
        Whether the same command would do nothing but the same again.
    """

    id: str
    identity: str
    begun_utc: str
    started_utc: str
    process: str
    has_ended: bool


class RunFolder:
    """The folder of one run's results; made by `opened`, which keeps other runs out.

    Parameters
    ----------
    folder : Path
    execution : Execution
    before : Execution or None
        What the folder was last used for.
    """

    def __init__(self, folder: Path, execution: Execution, before: Execution | None) -> None:
        self.folder = folder
        self.execution = execution
        self.is_resumed = before is not None and before.id == execution.id
        self.held_other_work = before is not None and before.identity != execution.identity

    def ended_before(
        self, symbols: Sequence[str], models: Sequence[str]
    ) -> tuple[dict[str, dict[str, Result]], dict[str, Result], Result] | None:
        """Return results by symbol and model, selections and record of a run that has ended.

        None where it has not, or where something of it is gone.
        """
        if not self.execution.has_ended:
            return None
        try:
            record, selections = self._read("run.json"), self._read("selections.json")
            results = {
                symbol: {name: self._read(f"results/{symbol}_{name}.json") for name in models}
                for symbol in symbols
                if record["symbols"][symbol]["models"]
            }
            return results, {symbol: selections[symbol] for symbol in symbols}, record
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def end(self) -> None:
        """Note that the work has ended."""
        ended = {**asdict(self.execution), "has_ended": True}
        write_json_atomically(self.folder / EXECUTION, ended)

    def _read(self, name: str) -> Result:
        found: Result = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return found


@contextmanager
def opened(folder: Path, identity: str, *, resume: bool) -> Iterator[RunFolder]:
    """Open a run's folder, made where it is missing, and keep other runs out of it meanwhile.

    What a run that was killed has left half done is cleared; without ``resume`` its finished fits
    too.

    Raises
    ------
    ConfigError
        If another run works in the folder.
    OSError
        If it cannot be written to.
    """
    with held(folder):
        _clear(folder)
        before = _execution(folder)
        if not resume:
            _remove_units(folder)
        goes_on = resume and before is not None and before.identity == identity
        execution = _started(before if goes_on else None, identity)
        write_json_atomically(folder / EXECUTION, asdict(execution))
        yield RunFolder(folder, execution, before)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other commands out of an output folder, made where it is missing.

    Raises
    ------
    ConfigError
        If another one works in it.
    OSError
        If it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Held by the system for this process alone: it ends with it, however that ends.
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(_in_use(folder)) from None
    try:
        yield
    finally:
        lock.release()


def _clear(folder: Path) -> None:
    """Remove what a run that was killed had no time to remove."""
    for rows in folder.glob(f"{ROWS_PREFIX}*"):
        shutil.rmtree(rows, ignore_errors=True)
    # Nothing else is ours: others may work further down, where a folder of folders was named.
    for place in (folder, *(folder / name for name in WRITTEN_TO)):
        for half_written in place.glob(".*.tmp"):
            half_written.unlink(missing_ok=True)


def _remove_units(folder: Path) -> None:
    """Remove the finished fits; raises OSError where they would be believed by the next start."""
    if (folder / UNITS).exists():
        shutil.rmtree(folder / UNITS)


def _started(before: Execution | None, identity: str) -> Execution:
    now_utc = datetime.now(UTC).isoformat(timespec="seconds")
    return Execution(
        id=before.id if before else uuid4().hex,
        identity=identity,
        begun_utc=before.begun_utc if before else now_utc,
        started_utc=now_utc,
        process=f"process {os.getpid()} on {socket.gethostname()}",
        has_ended=before is not None and before.has_ended,
    )


def _execution(folder: Path) -> Execution | None:
    """Return what the folder remembers; nothing where that cannot be read."""
    try:
        return Execution(**json.loads((folder / EXECUTION).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _in_use(folder: Path) -> str:
    other = _execution(folder)
    who = f" ({other.process}, started {other.started_utc})" if other else ""
    return (
        f"output_dir: another run is at work in {folder}{who}; wait for it to end, or give another "
        "output_dir"
    )
