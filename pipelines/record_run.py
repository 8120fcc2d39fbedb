"""One run of the recorder: its files, its signals, its exit code."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from live.bus import BusDownError
from live.line_files import InUseError
from live.recorder import Recorder, Tally
from live.rejected import RejectedLog
from live.sqlite_bus import SqliteBus
from live.trade_log import TradeLog
from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED, ConfigError
from pipelines.console import lines_beside_json
from pipelines.record_display import Recorded, began, show
from pipelines.record_settings import RecordSettings

ALL_RECORDED, NONE_RECORDED, SOME_REFUSED = ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED


def run(settings: RecordSettings) -> int:
    """Record until told to end; show what was done; return the exit code.

    Raises
    ------
    ConfigError
        If another recorder works in the folder, or it cannot be written to.
    OSError
        If the disk takes no more.
    """
    folder, rotate_bytes = Path(settings.rules.folder), settings.rules.rotate_bytes
    with ExitStack() as opened, asked_to_end() as stop:
        if settings.format == "json":
            opened.enter_context(lines_beside_json())
        opened.enter_context(closing(settings.alerts))
        opened.enter_context(closing(settings.bus))
        try:
            log = opened.enter_context(closing(TradeLog(folder, rotate_bytes=rotate_bytes)))
            kept = opened.enter_context(closing(RejectedLog(folder, rotate_bytes=rotate_bytes)))
        except InUseError as error:
            raise ConfigError(f"record.folder: {error}") from None
        except OSError as error:
            named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise ConfigError(f"record.folder: cannot be written to: {named}") from None
        recorder = Recorder(
            settings.bus,
            log,
            kept,
            settings.alerts,
            settings.rules,
            patience_s=settings.patience_s,
        )
        began(settings, len(log))
        made = _file_to_make(settings)
        failure: OSError | None = None
        try:
            recorder.run(stop, follow=settings.follow)
        except BusDownError as error:
            failure = error
        made = made if made is not None and _is_there(made) else None
        recorded = Recorded(recorder.tally, len(log), len(kept), log.path, kept.path, failure, made)
        show(settings, recorded)
        return NONE_RECORDED if failure else _exit_code(recorder.tally)


def _file_to_make(settings: RecordSettings) -> Path | None:
    """Return the file of a bus that is not there yet: what records only once may have its name."""
    bus = settings.bus
    if settings.follow or not isinstance(bus, SqliteBus) or _is_there(bus.path):
        return None
    return bus.path


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:
        # In a folder that may not be read: the bus itself says so.
        return False


def _exit_code(tally: Tally) -> int:
    if not tally.refused and not tally.refused_again:
        return ALL_RECORDED
    return SOME_REFUSED if tally.recorded or tally.absorbed else NONE_RECORDED


@contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; the second one interrupts."""
    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {one: signal.signal(one, asked) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
