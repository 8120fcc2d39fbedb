"""A process of its own that tracks one small run: `log_one_model.py <uri> <folder>`."""

import sys
from pathlib import Path

from tests.tracking.sample_records import PARENT, full_record
from tracking.mlflow_tracker import MlflowTracker

tracker = MlflowTracker(uri=sys.argv[1], experiment="train_all", figures=True)
tracker.start(PARENT)
tracker.log_model(full_record(Path(sys.argv[2])))
tracker.finish(metrics={}, tags={}, artifacts=[], status="FINISHED")
sys.exit(tracker.failure)
