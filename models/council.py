"""The council: three cheap learners, declared before looking, that ask whether there is signal.

Axes: N rows, F features.
"""

from pathlib import Path

import numpy as np

from market.bars import FloatArray
from market.samples import Samples
from models.base import Augment, FitReport, Model
from models.monitor import TrainingMonitor
from models.null_models import LogisticRegression
from models.onnx_graph import OnnxGraph
from models.xgb import XGBoost


class Council(Model):
    """Equal-weight mean of the clipped log-odds of a logistic regression and two small XGBoosts.

    Its members are never tuned, never stopped early and never given synthetic rows: what is
    declared beforehand can be tested without a penalty for having been chosen.

    Parameters
    ----------
    c_rows : float
        The logistic regression's penalty is C = ``c_rows`` / number of training rows.
    depths : list of int
        One XGBoost of each depth, no depth twice.
    n_estimators, learning_rate, subsample, colsample_bytree, min_child_weight, reg_alpha,
    reg_lambda
        Of each XGBoost.
    clip : float
        Each member's probability is kept in [``clip``, 1 - ``clip``], in (0, 0.5).
    """

    name = "Council"

    def __init__(
        self,
        *,
        c_rows: float,
        depths: list[int],
        n_estimators: int,
        learning_rate: float,
        subsample: float,
        colsample_bytree: float,
        min_child_weight: float,
        reg_alpha: float,
        reg_lambda: float,
        clip: float,
    ) -> None:
        super().__init__(
            c_rows=c_rows,
            depths=depths,
            n_estimators=n_estimators,
            learning_rate=learning_rate,
            subsample=subsample,
            colsample_bytree=colsample_bytree,
            min_child_weight=min_child_weight,
            reg_alpha=reg_alpha,
            reg_lambda=reg_lambda,
            clip=clip,
        )
        if not depths or len(set(depths)) < len(depths) or min(depths) < 1:
            raise ValueError(f"depths must be one or more, each once and at least 1, was {depths}")
        if not 0 < clip < 0.5:
            raise ValueError(f"clip must be in (0, 0.5), was {clip}")
        self.clip = clip
        self.members: dict[str, Model] = {"logistic": LogisticRegression(c_rows=c_rows)}
        for depth in depths:
            self.members[f"xgboost_depth_{depth}"] = XGBoost(
                n_estimators=n_estimators,
                max_depth=depth,
                learning_rate=learning_rate,
                subsample=subsample,
                colsample_bytree=colsample_bytree,
                min_child_weight=min_child_weight,
                reg_alpha=reg_alpha,
                reg_lambda=reg_lambda,
                early_stopping_rounds=None,
                early_stopping_min_rows=0,
            )

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        del valid, augment
        for member in self.members.values():
            member.fit(train, None, rng=rng, monitor=monitor)
        return FitReport(len(train), len(train), self.hyperparameters["n_estimators"])

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        # Sums round by memory order, and a table may come in any.
        x_NF = np.ascontiguousarray(x_NF)
        limit = self._limit
        members_MN = [one.raw_log_odds(x_NF, context_NF) for one in self.members.values()]
        mean_N: FloatArray = np.clip(members_MN, -limit, limit).mean(axis=0)
        return mean_N

    @property
    def _limit(self) -> float:
        return float(np.log1p(-self.clip) - np.log(self.clip))

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        members = [one._onnx_log_odds(graph, features) for one in self.members.values()]
        shift_M = np.array([one.log_odds_shift for one in self.members.values()])
        together = graph.node("Concat", *members, attributes={"axis": 1})
        corrected = graph.node("Add", together, graph.constant(shift_M))
        limit = self._limit
        clipped = graph.node("Clip", corrected, graph.constant(-limit), graph.constant(limit))
        n_members = len(members)
        return graph.linear(clipped, np.full((n_members, 1), 1 / n_members), np.zeros(1))

    def _importance(self) -> FloatArray:
        shares = [one.importance() or {} for one in self.members.values()]
        mean_F: FloatArray = np.mean(
            [[one[name] for name in self.names_F] for one in shares], axis=0
        )
        return mean_F

    def _save_weights(self, folder: Path) -> None:
        for name, member in self.members.items():
            member.save(folder / name)

    def _load_weights(self, folder: Path) -> None:
        self.members = {
            name: type(member).load(folder / name) for name, member in self.members.items()
        }
