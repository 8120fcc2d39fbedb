"""What the libraries alone take for the same work: the floor below each part of a run.

Axes: N rows, F features.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.training.bare import one_fit
from benchmarks.training.matrix_products import products_s
from benchmarks.training.modes import ROOT
from benchmarks.training.trees import forest, mean_one, xgboost_parameters
from benchmarks.training.work import NETS, Fit, Work, divided, fits

Hyperparameters = Mapping[str, Any]
# What any process of a run imports, and what its parent does beyond.
WORKER_LIBRARIES = ("numpy", "sklearn.linear_model", "xgboost", "torch")
PARENT_LIBRARIES = ("hydra", "polars", "numba", "pydantic", "rich", "scipy.special")
# Of a run of one model, about.
LOGGED_RUNS, LOGGED_METRICS, LOGGED_PARAMS = 10, 150, 40


def fit_floors(
    work: Work, symbol: str, paths: Mapping[str, Sequence[Hyperparameters]], council: Any
) -> dict[str, float]:
    """Return CPU seconds by model, of every fit of one symbol at each step of a model's path.

    Trees: the library's fit alone, of as many rounds as were made. Nets: their matrix products
    alone, of as many epochs. The council: its three fits alone.
    """
    split = divided(work, symbol)
    found = {
        model: sum(_floor_s(model, own, list(fits(work, model, split)), work) for own in path)
        for model, path in paths.items()
    }
    whole = list(fits(work, "random_forest", split))
    return found | {"council": sum(_council_s(fit, council, work.seed) for fit in whole)}


def _floor_s(model: str, own: Hyperparameters, given: Sequence[Fit], work: Work) -> float:
    if model == "random_forest":
        return sum(_forest_s(fit, own, work.seed) for fit in given)
    at = Work(**{**_fields(work), "models": {**work.models, model: own}})
    rounds = [one_fit(fit, model, at, random_state=work.seed)[1] for fit in given]
    if model in NETS:
        return products_s(model, own, given, rounds)
    return sum(_xgboost_s(fit, own, n, work.seed) for fit, n in zip(given, rounds, strict=True))


def _fields(work: Work) -> dict[str, Any]:
    return {name: getattr(work, name) for name in work.__slots__}


def _forest_s(fit: Fit, own: Hyperparameters, seed: int) -> float:
    classifier, weight_N = forest(own, len(fit.train), seed), mean_one(fit.train.weight_N)
    start_s = time.process_time()
    classifier.fit(fit.train.x_NF, fit.train.y_N, sample_weight=weight_N)
    return time.process_time() - start_s


def _xgboost_s(fit: Fit, own: Hyperparameters, n_rounds: int, seed: int) -> float:
    import xgboost

    parameters = xgboost_parameters(own) | {"nthread": 1, "seed": seed}
    weight_N = mean_one(fit.train.weight_N)
    start_s = time.process_time()
    rows = xgboost.QuantileDMatrix(fit.train.x_NF, fit.train.y_N, weight=weight_N, nthread=1)
    xgboost.train(parameters, rows, num_boost_round=n_rounds)
    return time.process_time() - start_s


def _council_s(fit: Fit, own: Any, seed: int) -> float:
    """Return the CPU seconds of the council's members on a fit's rows."""
    from sklearn.linear_model import LogisticRegression

    trees = {key: own[key] for key in own if key not in ("c_rows", "depths", "clip")}
    total_s = sum(
        _xgboost_s(fit, {**trees, "max_depth": depth}, own["n_estimators"], seed)
        for depth in own["depths"]
    )
    scaled_NF = (fit.train.x_NF - fit.train.x_NF.mean(axis=0)) / (
        fit.train.x_NF.std(axis=0) + 1e-12
    )
    linear = LogisticRegression(C=own["c_rows"] / len(fit.train), max_iter=1000)
    start_s = time.process_time()
    linear.fit(scaled_NF, fit.train.y_N, sample_weight=fit.train.weight_N)
    return total_s + time.process_time() - start_s


def import_floor(libraries: Sequence[str]) -> float:
    """Return the CPU seconds that a fresh process takes to start and import these."""
    before = os.times()
    lines = ";".join(f"import {library}" for library in libraries)
    subprocess.run([sys.executable, "-c", lines], check=True, cwd=ROOT)  # noqa: S603 - our own
    after = os.times()
    return after.children_user + after.children_system - before[2] - before[3]


def tracking_floors() -> tuple[float, float]:
    """Return the CPU seconds of opening a fresh store, and of one run with a model's files.

    The run is made, given parameters and metrics in one batch and a small folder, and ended.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="floor-") as name:
        place = Path(name)
        files = place / "model"
        files.mkdir()
        (files / "model.json").write_text("{}")
        (files / "weights").write_bytes(bytes(100_000))
        start_s = time.process_time()
        client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
        experiment = client.create_experiment("floor", artifact_location=str(place / "artifacts"))
        opened_s = time.process_time() - start_s
        metrics = [Metric(f"m{k}", 0.5, 0, 0) for k in range(LOGGED_METRICS)]
        params = [Param(f"p{k}", "1") for k in range(LOGGED_PARAMS)]
        start_s = time.process_time()
        for _ in range(LOGGED_RUNS):
            run_id = client.create_run(experiment).info.run_id
            client.log_batch(run_id, metrics=metrics, params=params)
            client.log_artifacts(run_id, str(files), "model")
            client.set_terminated(run_id)
        return opened_s, (time.process_time() - start_s) / LOGGED_RUNS
