"""A run as the tracker sees it: begun, and ended whatever comes of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tracking.records import RunStart, Status
from tracking.tracker import Tracker


@contextmanager
def tracked(tracker: Tracker, start: RunStart) -> Iterator[dict[str, Any]]:
    """Tell the tracker of a run; what is put into the yielded dict is its last facts."""
    status: Status = "FAILED"
    end: dict[str, Any] = {"metrics": {}, "tags": {}, "artifacts": []}
    tracker.start(start)
    try:
        yield end
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.finish(**end, status=status)
