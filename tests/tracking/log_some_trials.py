"""A process that dies in the third of its trials: `log_some_trials.py <uri> <execution>`."""

import os
import signal
import sys
from dataclasses import replace

from tests.tracking.conftest import new_tracker
from tests.tracking.sample_records import STUDY, new_run, trial_record
from tracking import study_runs

tracker = new_tracker(sys.argv[1])
tracker.start(replace(new_run(), execution=sys.argv[2]))
tracker.log_trials(STUDY, [trial_record(number) for number in (0, 1)])


def die(_trial):
    os.kill(os.getpid(), signal.SIGKILL)


study_runs.trial_metrics = die
tracker.log_trials(STUDY, [trial_record(2)])
