"""A process of its own that tracks one small run: `log_one_model.py <uri> <folder>`."""

import sys
from pathlib import Path

from tests.tracking.conftest import new_tracker
from tests.tracking.sample_records import full_record, new_run

tracker = new_tracker(sys.argv[1], figures=True)
tracker.start(new_run())
tracker.log_model(full_record(Path(sys.argv[2])))
tracker.finish(metrics={}, tags={}, artifacts=[], status="FINISHED")
sys.exit(tracker.failure)
