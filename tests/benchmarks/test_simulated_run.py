"""One run through the pipeline's own code, in a process of the bench's."""

import io

import numpy as np
import pytest

from benchmarks.honesty.grids import SYMBOLS, Cell, Job
from benchmarks.honesty.records import RunRecords
from benchmarks.honesty.runner import run_jobs
from benchmarks.honesty.simulated_run import expected_accuracy

TOO_FEW_ROWS = 60


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A strong signal, one that cannot be trained before it; what was said and recorded of both."""
    records, screen = RunRecords(tmp_path_factory.mktemp("honesty")), io.StringIO()
    cells = (Cell("signal_68", TOO_FEW_ROWS, 1), Cell("signal_68", 350, 1))
    wanted = [Job("power", cell, 0, 3) for cell in cells]
    failures = run_jobs(wanted, records, n_workers=1, screen=screen)
    return wanted, records, screen.getvalue(), failures


def test_a_run_that_fails_is_told_and_the_others_are_recorded(finished):
    wanted, records, said, (failure,) = finished
    assert "60 rows, certified, run 0: RunError: ended with exit code 1" in failure
    assert "60 labelled rows, at least 100 are needed" in failure
    assert failure in said
    assert records.missing(wanted) == wanted[:1]


def test_a_signal_is_deployed_and_held_against_the_truth(finished):
    _, records, _, _ = finished
    (record,) = records.of("power")
    assert list(record["symbols"]) == list(SYMBOLS)
    symbols = list(record["symbols"].values())
    deployed = [one for one in symbols if one["selected_model"] == "Council"]
    assert len(deployed) >= 3
    assert all(one["p_value"] < 0.05 and one["log_loss_gain"] > 0 for one in deployed)
    fresh = np.mean([one["fresh_accuracy"] for one in deployed])
    assert 0.55 < fresh < np.mean([one["bayes_accuracy"] for one in deployed])
    assert abs(fresh - np.mean([one["printed_accuracy"] for one in deployed])) < 0.08
    kept = [one for one in symbols if one["selected_model"] is None]
    assert all(one["fresh_accuracy"] is None for one in kept)
    assert record["fit_cpu_seconds"] < record["cpu_seconds"]


def test_expected_accuracy_weighs_each_answer_by_its_true_chance():
    p_N = np.array([0.9, 0.8, 0.3, 0.4])
    answer_N = np.array([True, False, False, True])
    assert expected_accuracy(p_N, answer_N) == pytest.approx((0.9 + 0.2 + 0.7 + 0.4) / 4)
