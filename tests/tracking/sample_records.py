"""Records of made-up runs, shared by the tracker's tests and the processes they start."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np

from tracking.records import (
    DatasetRecord,
    FigureData,
    ModelRecord,
    RunStart,
    StudyKey,
    StudyRecord,
    TrialRecord,
)

FEATURES = ("rsi_14", "atr_pct", "hour")
BEGUN_UTC = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
N_EPOCHS = 1200
DIGEST = "ab" * 32

PARENT = RunStart(
    name="train_all 2026-03-02",
    params={f"model.option_{i}": str(i) for i in range(250)} | {"long": "x" * 7000},
    tags={"git_commit": "0123abc", "data": "simulated"},
    execution="0",
)


def new_run():
    """Return the parent run of work that no store has seen."""
    return replace(PARENT, execution=uuid4().hex)


FIGURES = FigureData(
    title="EURUSD RandomForest, 300 rows out of fold (simulated)",
    subtitle="Accuracy 0.610 (no skill 0.550), log-loss 0.6712 (no skill 0.6881)",
    confusion=[[100, 35], [82, 83]],
    reliability=[(0.3, 0.35, 100), (0.5, 0.55, 100), (0.7, 0.75, 100)],
    no_skill_accuracy=0.55,
    no_skill_log_loss=0.6881,
    curves={"train_loss": [0.7, 0.6, 0.5], "val_loss": [0.7, 0.65, 0.66], "grad_norm": [1.0] * 3},
    step="epoch",
    kept_step=2,
    importance=[("rsi_14", 0.6), ("atr_pct", 0.3), ("hour", 0.1)],
)


def full_record(folder, *, model="RandomForest", probability=0.75):
    saved = folder / model
    saved.mkdir(parents=True)
    (saved / "probability.txt").write_text(str(probability))
    return ModelRecord(
        symbol="EURUSD",
        model=model,
        params={"max_depth": "10"},
        tags={"git_commit": "0123abc", "data": "simulated"},
        metrics={"test_accuracy": 0.61, "gap (mean)": 0.05},
        curves={
            "train_loss": [1.0 / (epoch + 1) for epoch in range(N_EPOCHS)],
            "val_loss": [2.0 / (epoch + 1) for epoch in range(N_EPOCHS)],
        },
        result_json_name="EURUSD_RandomForest.json",
        result_json='{"symbol": "EURUSD"}',
        dataset=DatasetRecord(
            name="EURUSD 1h",
            digest=DIGEST,
            source="data/EURUSD.csv",
            x_columns=FEATURES,
            n_rows=300,
            profile={"base_rate": 0.5},
        ),
        artifact_folder=saved,
        loader_module="tests.tracking.probability_loader",
        pip_requirements=(f"numpy=={np.__version__}",),
        features=FEATURES,
        input_example=np.arange(6.0).reshape(2, 3),
        error=None,
        started_utc=BEGUN_UTC,
        ended_utc=BEGUN_UTC + timedelta(seconds=90),
        figures=FIGURES,
        registered_name="EURUSD",
        registered_description="Models of EURUSD.",
    )


def bare_record(folder):
    record = full_record(folder, model="Bare")
    return replace(
        record, registered_name=None, input_example=None, dataset=None, curves={}, figures=None
    )


def failed_record(folder):
    record = full_record(folder, model="LSTM")
    return replace(
        record, artifact_folder=None, metrics={}, figures=None, error="loss was NaN at epoch 3"
    )


STUDY = StudyKey("EURUSD", "RandomForest", "sweep EURUSD RandomForest")


def trial_record(number, *, state="complete"):
    return TrialRecord(
        number=number,
        params={"max_depth": str(number), "hidden": "[64, 32]"},
        metrics={} if state == "failed" else {"objective": 0.6 + number / 100, "gap": 0.02},
        steps=(0.7, 0.65) if state == "pruned" else (),
        state=state,
        error="loss was NaN" if state == "failed" else None,
        started_utc=BEGUN_UTC + timedelta(seconds=number),
        ended_utc=BEGUN_UTC + timedelta(seconds=number + 1),
    )


def study_record(folder):
    picture = folder / "history.png"
    picture.write_bytes(b"\x89PNG")
    return StudyRecord(
        key=STUDY,
        params={"max_depth": "0"},
        metrics={"best_objective": 0.6},
        tags={"verdict": "adopted"},
        artifacts=((picture, "plots"),),
        description="Adopted: **0.60**",
        started_utc=BEGUN_UTC,
        ended_utc=BEGUN_UTC + timedelta(seconds=90),
    )
