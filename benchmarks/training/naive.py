"""The naive loop: what a competent user writes who has other things to do.

One process with the threads that the libraries take by themselves, a DataLoader for the nets,
MLflow on SQLite with its defaults: a run per model, values logged one by one, and ``log_model``,
which finds out by itself what the model requires. The fits are those of the bare loop.

``python -m benchmarks.training.naive WORK FOUND`` reads the work from one file and writes what it
found to the other; MLflow's store goes to the working directory.
"""

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.nets import Batch, module, probabilities, tensors, train
from benchmarks.training.trees import EARLY_STOPPING, forest, forest_at_base_rate, mean_one
from benchmarks.training.work import (
    FINAL,
    MODELS,
    NAMES,
    NETS,
    Fit,
    Fitted,
    Work,
    divided,
    fits,
    losses,
)
from market.bars import FloatArray

EXAMPLE_ROWS = 5


class Tracking:
    """MLflow's fluent calls, and the processor seconds spent in them."""

    def __init__(self) -> None:
        self.cpu_s = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add what is used in here, by child processes as well."""
        start_s = _cpu_s()
        try:
            yield
        finally:
            self.cpu_s += _cpu_s() - start_s

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Log one value."""
        import mlflow

        with self.counted():
            mlflow.log_metric(name, value, step=step)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log one parameter after another."""
        import mlflow

        with self.counted():
            for name, value in values.items():
                mlflow.log_param(name, value)

    def model(self, model: str, fitted: Any, example: Any) -> None:
        """Log a model with MLflow's defaults, and what it takes to be stored at all."""
        import mlflow.pytorch
        import mlflow.sklearn
        import mlflow.xgboost

        with self.counted():
            if model == "random_forest":
                trusted = ["sklearn.tree._tree.Tree"]
                mlflow.sklearn.log_model(fitted, name="model", skops_trusted_types=trusted)
            elif model == "xgboost":
                mlflow.xgboost.log_model(fitted, name="model")
            else:
                mlflow.pytorch.log_model(fitted, name="model", input_example=example)


def tracked_model(work: Work, symbol: str, model: str, tracking: Tracking) -> Fitted:
    """Fit, predict and log one model of one symbol in a run of its own."""
    import mlflow

    split = divided(work, symbol)
    own = work.models[model]
    p_N = np.full(len(split.development), np.nan)
    rounds = []
    with tracking.counted():
        mlflow.start_run(run_name=f"{symbol} {NAMES[model]}")
    tracking.params({"symbol": symbol, "model": NAMES[model], **own})
    cpu_s = 0.0
    for number, fit in enumerate(fits(work, model, split)):
        start_s, tracked_s = time.process_time(), tracking.cpu_s
        p_N[fit.block], n_rounds, fitted, example = _one_fit(fit, model, work, number, tracking)
        cpu_s += time.process_time() - start_s - (tracking.cpu_s - tracked_s)
        rounds.append(n_rounds)
        if fit.name == FINAL:
            tracking.model(model, fitted, example)
        else:
            block_loss, _ = losses(split.development.y_N[fit.block], p_N[fit.block], slice(None))
            tracking.metric("fold_log_loss", block_loss, number)
    out_of_fold, test = losses(split.development.y_N, p_N, split.test)
    tracking.metric("log_loss", out_of_fold)
    tracking.metric("test_log_loss", test)
    with tracking.counted():
        mlflow.end_run()
    return Fitted(symbol, model, out_of_fold, test, rounds, cpu_s)


def _one_fit(
    fit: Fit, model: str, work: Work, number: int, tracking: Tracking
) -> tuple[FloatArray, int, Any, Any]:
    """Return the block's probabilities, the rounds made, the fitted model, and rows as it takes."""
    own, random_state = work.models[model], work.seed + number
    if model in NETS:
        return _net(model, fit, own, random_state, tracking)
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(fit.train.x_NF)
    train_NF, weight_N = scaler.transform(fit.train.x_NF), mean_one(fit.train.weight_N)
    if model == "random_forest":
        fitted = forest(own, len(fit.train), random_state)
        fitted.fit(train_NF, fit.train.y_N, sample_weight=weight_N)
        n_rounds = len(fitted.estimators_)
    else:
        fitted, curve = _xgboost(fit, own, random_state, scaler, train_NF, weight_N)
        n_rounds = fitted.get_booster().num_boosted_rounds()
        if fit.name == FINAL:
            for step, value in enumerate(curve):
                tracking.metric("val_loss", value, step)
    p_N = np.zeros(0)
    if len(fit.block_NF):
        p_N = fitted.predict_proba(scaler.transform(fit.block_NF))[:, 1].astype(np.float64)
    if model == "random_forest":
        p_N = forest_at_base_rate(p_N, fit, own)
    return p_N, n_rounds, fitted, None


def _xgboost(
    fit: Fit,
    own: Mapping[str, Any],
    random_state: int,
    scaler: Any,
    train_NF: FloatArray,
    weight_N: FloatArray,
) -> tuple[Any, list[float]]:
    from xgboost import XGBClassifier

    given = {key: own[key] for key in own if key not in EARLY_STOPPING}
    rounds, tail = own["early_stopping_rounds"], fit.tail
    classifier = XGBClassifier(
        **given,
        random_state=random_state,
        eval_metric="logloss",
        early_stopping_rounds=None if tail is None else rounds,
    )
    watched: dict[str, Any] = {}
    if tail is not None:
        watched["eval_set"] = [(scaler.transform(tail.x_NF), tail.y_N)]
        watched["sample_weight_eval_set"] = [tail.weight_N]
    classifier.fit(train_NF, fit.train.y_N, sample_weight=weight_N, verbose=False, **watched)
    curve = classifier.evals_result()["validation_0"]["logloss"] if tail is not None else []
    return classifier, curve


def _net(
    model: str, fit: Fit, own: Mapping[str, Any], random_state: int, tracking: Tracking
) -> tuple[FloatArray, int, Any, Any]:
    import torch
    from sklearn.preprocessing import StandardScaler
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(random_state)
    data = tensors(model, fit, own, StandardScaler().fit(fit.train.x_NF).transform)
    loader = DataLoader(TensorDataset(*data.fitted), batch_size=own["batch_size"], shuffle=True)
    net = module(model, own, fit.train.x_NF.shape[1])

    def batches() -> Iterable[Batch]:
        return loader

    def told(epoch: int, train_loss: float, val_loss: float) -> None:
        if fit.name == FINAL:
            tracking.metric("train_loss", train_loss, epoch)
            tracking.metric("val_loss", val_loss, epoch)

    n_epochs = train(net, batches, data.held, own, told)
    example = data.fitted[0][:EXAMPLE_ROWS].numpy()
    return probabilities(net, data.asked, fit, own), n_epochs, net, example


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main(work_path: str, found_path: str) -> None:
    """Do the work; write what was found."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    work, tracking = Work.read(Path(work_path)), Tracking()
    with tracking.counted():
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        mlflow.set_experiment("naive")
    found = [
        asdict(tracked_model(work, symbol, model, tracking))
        for symbol in work.symbols
        for model in MODELS
    ]
    told = {"fitted": found, "tracking_cpu_s": tracking.cpu_s}
    Path(found_path).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
