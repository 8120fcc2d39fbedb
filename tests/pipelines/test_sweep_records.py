"""What the tracker is told of studies and trials."""

from datetime import UTC, datetime

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from pipelines.sweep_records import study_record, trial_record
from tests.selection.founds import found, turned_down
from tracking.records import StudyKey

ATTRS = {
    "hyperparameters": {"dropout": 0.5, "hidden": [64, 32], "max_features": "sqrt"},
    "log_loss": 0.68,
    "gap": 0.02,
    "accuracy": 0.55,
    "cpu_s": 0.4,
}
PARAMS = {"dropout": "0.5", "hidden": "[64, 32]", "max_features": "sqrt"}
BEGUN = datetime(2026, 3, 2, 8, tzinfo=UTC)


def ended(state, **attrs):
    return create_trial(
        state=state,
        value=0.681 if state == TrialState.COMPLETE else None,
        params={"dropout": 0.5},
        distributions={"dropout": FloatDistribution(0, 1)},
        intermediate_values={2: 0.682, 1: 0.69},
        user_attrs={**ATTRS, **attrs},
    )


def test_a_completed_trial_is_told_with_all_its_hyperparameters_and_figures():
    record = trial_record(ended(TrialState.COMPLETE))
    assert (record.state, record.params, record.error) == ("complete", PARAMS, None)
    figures = {name: ATTRS[name] for name in ("log_loss", "gap", "accuracy", "cpu_s")}
    assert record.metrics == {"objective": 0.681, **figures}


def test_a_pruned_trial_has_its_steps_in_order_and_no_figures_over_fewer_blocks():
    record = trial_record(ended(TrialState.PRUNED))
    assert (record.state, record.steps, record.metrics) == (
        "pruned",
        (0.69, 0.682),
        {"cpu_s": 0.4},
    )


@pytest.mark.parametrize(
    ("attrs", "error"),
    [({"error": "fold 2: loss was NaN"}, "fold 2: loss was NaN"), ({}, "its process ended")],
)
def test_a_failed_trial_says_why(attrs, error):
    record = trial_record(ended(TrialState.FAIL, **attrs))
    assert (record.state, record.error.startswith(error)) == ("failed", True)


def test_a_trial_under_way_is_refused():
    study = optuna.create_study()
    study.ask()
    with pytest.raises(ValueError, match=r"^trial 0 has not ended, was RUNNING$"):
        trial_record(study.trials[0])


def test_the_span_of_a_trial_is_that_of_the_clock():
    before, study = datetime.now(UTC), optuna.create_study()
    study.tell(study.ask(), 0.69)
    record = trial_record(study.trials[0])
    assert before <= record.started_utc <= record.ended_utc <= datetime.now(UTC)


def test_a_study_is_told_with_what_came_of_it(tmp_path):
    picture = tmp_path / "history.png"
    tuned = found(hyperparameters=ATTRS["hyperparameters"])
    record = study_record(
        tuned, started=BEGUN, ended=BEGUN, simulated=True, n_seen=3, pictures=[picture]
    )
    assert record.key == StudyKey("EURUSD", "XGBoost", "EURUSD XGBoost 1f2e")
    assert (record.params, record.tags["data"]) == (PARAMS, "simulated")
    assert record.artifacts == ((picture, "plots"),)
    wanted = {"trials_complete": 38, "cv_log_loss_tuned": 0.64, "later_accuracy_default": 0.60}
    assert record.metrics.items() >= {**wanted, "p_value": 0.002, "adopted": 1.0}.items()
    assert "log-loss 0.6400 (default 0.6600)" in record.description


def test_a_study_without_a_completed_trial_is_told_too():
    nothing = {"hyperparameters": {}, "best_trial": None, "cross_validated": None, "later": None}
    tuned = turned_down(**nothing, adoption=None, reason="no trial was completed")
    record = study_record(tuned, started=BEGUN, ended=BEGUN, simulated=False, n_seen=4)
    assert record.tags["verdict"].endswith("not adopted: no trial was completed")
    assert (record.tags["adopted"], record.tags["data"]) == ("false", "real")
    assert "best_trial" not in record.metrics
