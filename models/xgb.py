"""XGBoost, strongly regularised, watched round by round."""

import atexit
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from models.base import (
    Augment,
    FitReport,
    Model,
    StoppedError,
    augmented_rows,
    check_at_least,
    check_share,
    prior_shift,
)
from models.booster_shape import check_booster
from models.interrupts import interrupts_after
from models.monitor import TrainingMonitor
from models.onnx_graph import OnnxGraph
from models.onnx_trees import Trees, add_trees

WEIGHTS = "booster.ubj"
SIDES = ("left", "right")


class XGBoost(Model):
    """Gradient-boosted trees (Chen and Guestrin, KDD 2016).

    Parameters
    ----------
    n_estimators, max_depth, min_child_weight, learning_rate, subsample, colsample_bytree,
    reg_alpha, reg_lambda
        As XGBoost names them.
    early_stopping_rounds : int or None
        Rounds without a better validation log-loss before the fit ends; None never stops early.
    early_stopping_min_rows : int
        Below so many training rows nothing is held back: the tail would be too small to judge by.
    max_bin : int
        Most bins that the values of a feature are put into, at least 2.
    """

    name = "XGBoost"
    stronger_when = MappingProxyType(
        {
            "n_estimators": "smaller",
            "max_depth": "smaller",
            "learning_rate": "smaller",
            "subsample": "smaller",
            "colsample_bytree": "smaller",
            "min_child_weight": "larger",
            "reg_alpha": "larger",
            "reg_lambda": "larger",
        }
    )

    def __init__(
        self,
        *,
        n_estimators: int,
        max_depth: int,
        learning_rate: float,
        subsample: float,
        colsample_bytree: float,
        min_child_weight: float,
        reg_alpha: float,
        reg_lambda: float,
        early_stopping_rounds: int | None,
        early_stopping_min_rows: int,
        max_bin: int = 256,
    ) -> None:
        super().__init__(
            n_estimators=n_estimators,
            max_depth=max_depth,
            learning_rate=learning_rate,
            subsample=subsample,
            colsample_bytree=colsample_bytree,
            min_child_weight=min_child_weight,
            reg_alpha=reg_alpha,
            reg_lambda=reg_lambda,
            early_stopping_rounds=early_stopping_rounds,
            early_stopping_min_rows=early_stopping_min_rows,
            max_bin=max_bin,
        )
        check_at_least("n_estimators", n_estimators, 1)
        check_at_least("max_depth", max_depth, 1)
        check_at_least("max_bin", max_bin, 2)
        check_share("learning_rate", learning_rate, closed=True)
        check_share("subsample", subsample, closed=True)
        check_share("colsample_bytree", colsample_bytree, closed=True)
        for key in ("min_child_weight", "reg_alpha", "reg_lambda", "early_stopping_min_rows"):
            check_at_least(key, self.hyperparameters[key], 0)
        if early_stopping_rounds is not None:
            check_at_least("early_stopping_rounds", early_stopping_rounds, 1)
        self.early_stopping_rounds = early_stopping_rounds
        self.early_stopping_min_rows = early_stopping_min_rows

    def stops_early(self, n_rows: int) -> bool:
        """Return whether the fit is large enough to hold a tail back."""
        return self.early_stopping_rounds is not None and n_rows >= self.early_stopping_min_rows

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        import xgboost

        x_MF, y_M, weight_M = augmented_rows(train.x_NF, train.y_N, train.weight_N, augment)
        fitted = _binned(x_MF, y_M, weight_M, self.hyperparameters["max_bin"])
        watched = [(fitted, "train")]
        if valid is not None:
            # Not in bins: that would take longer than the rounds that are saved.
            held = xgboost.DMatrix(valid.x_NF, valid.y_N, weight=valid.weight_N, nthread=1)
            watched.append((held, "val"))
        curves: dict[str, list[float]] = {}
        self._booster = xgboost.train(
            self._parameters(int(rng.integers(2**31))),
            fitted,
            num_boost_round=self.hyperparameters["n_estimators"],
            evals=watched,
            callbacks=[_watcher(monitor, curves), *self._stopper(valid)],
            verbose_eval=False,
        )
        self.log_odds_shift = prior_shift(train, float(np.average(y_M, weights=weight_M)))
        return FitReport(len(train), len(y_M), self._booster.num_boosted_rounds(), curves)

    def _parameters(self, seed: int) -> dict[str, Any]:
        own = ("n_estimators", "early_stopping_rounds", "early_stopping_min_rows")
        return {
            **{key: value for key, value in self.hyperparameters.items() if key not in own},
            "objective": "binary:logistic",
            "eval_metric": ["error", "logloss"],
            "tree_method": "hist",
            "nthread": 1,
            "seed": seed,
        }

    def _stopper(self, valid: Samples | None) -> list[Any]:
        import xgboost

        if valid is None:
            return []
        stopper = xgboost.callback.EarlyStopping(
            rounds=self.early_stopping_rounds,
            metric_name="logloss",
            data_name="val",
            save_best=True,
        )
        return [stopper]

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        margin_N = self._booster.inplace_predict(x_NF, predict_type="margin")
        return np.asarray(margin_N, dtype=np.float64)

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        learner = json.loads(self._booster.save_raw("json"))["learner"]
        return graph.float64(add_trees(graph, features, _trees(learner)))

    def _importance(self) -> FloatArray:
        gains = self._booster.get_score(importance_type="total_gain")
        return np.array([gains.get(f"f{f}", 0.0) for f in range(len(self.names_F))])

    def _save_weights(self, folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(self._booster.save_raw("ubj"))

    def _load_weights(self, folder: Path) -> None:
        import xgboost

        content = (folder / WEIGHTS).read_bytes()
        check_booster(content, len(self.names_F))
        self._booster = xgboost.Booster(params={"nthread": 1}, model_file=bytearray(content))


# Rows in bins by what they are of, the last used last: putting rows into bins takes as long as 40
# rounds on them. One is enough for the steps of a strength path and the members of a council.
_binned_rows: OrderedDict[tuple[bytes, int], Any] = OrderedDict()
_most_binned = 1


@contextmanager
def binned_kept(most: int) -> Iterator[None]:
    """Let fits in its block find the rows of so many before them in bins, for those that return."""
    global _most_binned
    before, _most_binned = _most_binned, most
    try:
        yield
    finally:
        # What is kept is let go by the next fit that is made elsewhere.
        _most_binned = before


def _binned(x_MF: FloatArray, y_M: IntArray, weight_M: FloatArray, max_bin: int) -> Any:
    """Return rows in bins; the same again where they have been kept."""
    import xgboost

    content = hashlib.sha256()
    for array in (x_MF, y_M, weight_M):
        content.update(repr((array.shape, array.dtype)).encode())
        content.update(np.ascontiguousarray(array).data)
    key = content.digest(), max_bin
    binned = _binned_rows.pop(key, None)
    if binned is None:
        # XGBoost crashes on an interrupt while it asks Python for rows.
        with interrupts_after():
            binned = xgboost.QuantileDMatrix(x_MF, y_M, weight=weight_M, nthread=1, max_bin=max_bin)
        if not _binned_rows:
            # What XGBoost has made must go before XGBoost does.
            atexit.register(_binned_rows.clear)
    _binned_rows[key] = binned
    while len(_binned_rows) > _most_binned:
        _binned_rows.popitem(last=False)
    return binned


def _trees(learner: Mapping[str, Any]) -> Trees:
    """Return the trees of XGBoost's own description of itself, its base score in the first."""
    trees = learner["gradient_booster"]["model"]["trees"]
    first_T = np.cumsum([0, *(len(tree["left_children"]) for tree in trees)])
    first_K = np.repeat(first_T[:-1], np.diff(first_T))
    children = (np.concatenate([tree[f"{side}_children"] for tree in trees]) for side in SIDES)
    left_K, right_K = (np.where(child_K < 0, -1, child_K + first_K) for child_K in children)
    # What a split compares with is, at a leaf, what the leaf adds.
    value_K = np.concatenate([tree["split_conditions"] for tree in trees]).astype(np.float32)
    # XGBoost adds tree after tree to the margin of the base score.
    base_score = np.float32(json.loads(learner["learner_model_param"]["base_score"].strip("[]")))
    weight_K = value_K.copy()
    weight_K[: first_T[1]] += -np.log(1 / base_score - 1)
    return Trees(
        root_T=first_T[:-1],
        left_K=left_K,
        right_K=right_K,
        feature_K=np.concatenate([tree["split_indices"] for tree in trees]),
        threshold_K=value_K,
        strict=True,
        weight_KW=weight_K[:, None],
    )


def _watcher(monitor: TrainingMonitor, curves: dict[str, list[float]]) -> Any:
    from xgboost.callback import TrainingCallback

    start_s = monitor.clock()

    class Watcher(TrainingCallback):  # type: ignore[misc]
        """Shows each round to the monitor, which may end the fit."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            for part, values in evals_log.items():
                curves.setdefault(f"{part}_loss", []).append(values["logloss"][-1])
                accuracy = 1.0 - values["error"][-1]
                curves.setdefault(f"{part}_accuracy", []).append(accuracy)
            monitor.check_nan_loss(curves["train_loss"][-1], epoch)
            if "val_loss" in curves:
                monitor.check_divergence(curves["val_loss"])
                monitor.check_hopeless(curves["val_loss"])
                monitor.check_overfitting(
                    curves["train_accuracy"][-1], curves["val_accuracy"][-1], epoch
                )
            monitor.check_timeout(start_s)
            if monitor.should_stop:
                # A stop asked for in round 0 would find XGBoost's own early stopping unprepared.
                raise StoppedError(monitor.stop_reason)
            return False

    return Watcher()
