"""From rows of decisions to an exit model: advantage-weighted regression, and what it rests on.

Each parameter of each decision weighs exp(effect x deviation / temperature): the net learns the
mean of what was tried where it did good, and less of it elsewhere (Peng, Kumar, Zhang, Levine,
Advantage-Weighted Regression, 2019, equation 9). ``credit="decision"`` weighs each parameter by
what a critic says it did (`exits.critic`); ``credit="trade"`` weighs all 132 alike by how the trade
ended.

Axes: N decisions, M trades, F the 208 features, P the 132 parameters, J state summaries.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from exits.credit import Credited, by_decision, by_trade
from exits.decision_rows import DecisionRows
from exits.evidence import CopyTest, Judged, ParameterEvidence, judge
from exits.exit_model import ExitModel
from exits.exit_net_training import Lessons, NetSettings, OnEpoch, TrainedNet, train_exit_net
from exits.feature_bounds import FeatureBounds
from exits.parameters import ATR, INDEX, PARAMETERS, defaults, normalize
from market.bars import FloatArray
from market.compiled import BoolArray
from models.monitor import TrainingMonitor

FEWEST_TRADES: Final = 100
FEWEST_HELD_BACK: Final = 20
_ATR_P: Final = INDEX[ATR]
_WIDEST_RATIO: Final = (0.1, 10.0)
_USUAL_RATIO: Final = (0.5, 2.0)
# Unidentified parameters are fitted as well, so that it can be said how well, but shape little.
_ASIDE: Final = 0.05


class LearningError(ValueError):
    """Rows from which nothing can be learnt; one line saying what is lacking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSettings:
    """How decisions are weighted, and what counts as identified.

    Attributes
    ----------
    net : NetSettings
    validation_share : float
        Of trades, the latest: held back, to stop by and to judge by.
    credit : str
        ``decision``: each parameter by its own effect; ``trade``: all by the trade's result.
    temperature : float
        What a weight of e is worth: in standard errors of the effect, or of results (``trade``).
    most_weight : float
        No row weighs more than this or less than its inverse, before weights are brought to mean 1.
    false_discovery_rate : float
        Of what counts as identified.

    Raises
    ------
    ValueError
        If one is out of range.
    """

    net: NetSettings
    validation_share: float
    credit: Literal["decision", "trade"]
    temperature: float
    most_weight: float
    false_discovery_rate: float

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share must be in (0, 1), was {self.validation_share}")
        if self.credit not in ("decision", "trade"):
            raise ValueError(f"credit must be decision or trade, was {self.credit!r}")
        if not 0 < self.temperature < np.inf:
            raise ValueError(f"temperature must be above 0, was {self.temperature}")
        if not 1 < self.most_weight < np.inf:
            raise ValueError(f"most_weight must be above 1, was {self.most_weight}")
        if not 0 < self.false_discovery_rate < 1:
            rate = self.false_discovery_rate
            raise ValueError(f"false_discovery_rate must be in (0, 1), was {rate}")


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there was."""

    trades: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """An exit model, and what it rests on.

    Attributes
    ----------
    model : ExitModel
    curves : dict
        By epoch: train_loss, val_loss, learning_rate, grad_norm.
    evidence : tuple of ParameterEvidence
        In the order of the table.
    copy_test : CopyTest
    n_train, n_validation : Counts
    split_time : datetime64[us]
        First entry of the trades held back. Trades open at it are in neither part.
    best_epoch : int
    val_loss : float
    hindsight : bool
    """

    model: ExitModel
    curves: dict[str, list[float]]
    evidence: tuple[ParameterEvidence, ...]
    copy_test: CopyTest
    n_train: Counts
    n_validation: Counts
    split_time: np.datetime64
    best_epoch: int
    val_loss: float
    hindsight: bool


def learn(
    rows: DecisionRows,
    settings: LearningSettings,
    *,
    seed: int,
    monitor: TrainingMonitor,
    on_epoch: OnEpoch | None = None,
) -> Learnt:
    """Learn exit parameters from decisions; equal arguments give equal models.

    Everything that is fitted is fitted to the earlier trades alone; the later ones stop the fit
    and judge it.

    Parameters
    ----------
    rows : DecisionRows
    settings : LearningSettings
    seed : int
    monitor : TrainingMonitor
    on_epoch : callable, optional
        Told epoch (from 1), training loss and held-back loss.

    Raises
    ------
    LearningError
        If there are too few trades, or the fit comes to nothing.
    """
    try:
        lesson = _lesson_of(rows, settings)
        trained = train_exit_net(
            lesson.fitted, lesson.held, settings.net, seed=seed, monitor=monitor, on_epoch=on_epoch
        )
    except LearningError:
        raise
    except ValueError as error:
        raise LearningError(str(error)) from error
    judged = judge(
        net=trained.net,
        fitted=lesson.fitted,
        held=lesson.held,
        previous_NP=lesson.previous_NP,
        trade_N=rows.trade_N[lesson.held_N],
        credited=lesson.credited,
        base_P=_base(rows.decided_NP[lesson.train_N]),
        atr_ratio=lesson.atr_ratio,
        false_discovery_rate=settings.false_discovery_rate,
    )
    return Learnt(
        model=_model(rows, settings, seed, lesson, trained, judged),
        curves=trained.curves,
        evidence=judged.evidence,
        copy_test=judged.copy_test,
        n_train=_counts(rows, lesson.train_N),
        n_validation=_counts(rows, lesson.held_N),
        split_time=lesson.split_time,
        best_epoch=trained.best_epoch,
        val_loss=trained.val_loss,
        hindsight=rows.hindsight,
    )


def _model(
    rows: DecisionRows,
    settings: LearningSettings,
    seed: int,
    lesson: "_Lesson",
    trained: TrainedNet,
    judged: Judged,
) -> ExitModel:
    return ExitModel(
        net=trained.net,
        bounds=lesson.bounds,
        identified_P=judged.identified_P,
        base_P=judged.base_P,
        atr_ratio=lesson.atr_ratio,
        hindsight=rows.hindsight,
        trained_until=rows.learnt_until,
        facts={
            "epoch": trained.best_epoch,
            "val_loss": trained.val_loss,
            "seed": seed,
            "credit": settings.credit,
            "trades": len(rows.r_M),
            "decisions": len(rows.r_N),
        },
        why={one.name: one.why for one in judged.evidence},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """All that the net is fitted to and judged by; of the training part alone, but for ``held``."""

    train_N: BoolArray
    held_N: BoolArray
    split_time: np.datetime64
    atr_ratio: tuple[float, float]
    bounds: FeatureBounds
    credited: Credited
    fitted: Lessons
    held: Lessons
    previous_NP: FloatArray


def _lesson_of(rows: DecisionRows, settings: LearningSettings) -> _Lesson:
    train_N, held_N, split_time = _split(rows, settings.validation_share)
    atr_ratio = _atr_ratio(rows, train_N)
    low_N, high_N = _around(rows, atr_ratio)
    target_NP = normalize(rows.decided_NP, atr_bounds=(low_N, high_N))
    credited = _credited(rows, target_NP, train_N, settings)
    bounds = FeatureBounds.fit(rows.x_NF[train_N])
    weight_NP = _weights(credited, train_N, settings.false_discovery_rate)
    _forecast(rows, atr_ratio, target_NP, weight_NP)
    unit_NF = bounds.unit(rows.x_NF)
    fitted, held = (
        Lessons(
            unit_NF=unit_NF[part_N],
            target_NP=target_NP[part_N].astype(np.float32),
            weight_NP=weight_NP[part_N].astype(np.float32),
        )
        for part_N in (train_N, held_N)
    )
    around_held = low_N[held_N], high_N[held_N]
    return _Lesson(
        train_N=train_N,
        held_N=held_N,
        split_time=split_time,
        atr_ratio=atr_ratio,
        bounds=bounds,
        credited=credited,
        fitted=fitted,
        held=held,
        previous_NP=normalize(rows.previous_NP[held_N], atr_bounds=around_held),
    )


def _split(
    rows: DecisionRows, validation_share: float
) -> tuple[BoolArray, BoolArray, np.datetime64]:
    """Return training rows, held-back rows, and the first entry of the latter."""
    n_trades = len(rows.r_M)
    entry_M = np.sort(rows.entry_time_M)
    split_time = entry_M[min(int(n_trades * (1.0 - validation_share)), n_trades - 1)]
    held_M = rows.entry_time_M >= split_time
    train_M = rows.exit_time_M < split_time
    for name, n, fewest in (
        ("train on", int(train_M.sum()), FEWEST_TRADES),
        ("hold back", int(held_M.sum()), FEWEST_HELD_BACK),
    ):
        if n < fewest:
            raise LearningError(
                f"of {n_trades} trades {n} are left to {name}, at least {fewest} are needed; "
                "give more experiences"
            )
    return train_M[rows.trade_N], held_M[rows.trade_N], split_time


def _atr_ratio(rows: DecisionRows, train_N: BoolArray) -> tuple[float, float]:
    """Return the range of the next ATR as a multiple of the measured one."""
    ratio_N = (rows.next_atr_N / rows.atr_N)[train_N]
    ratio_N = ratio_N[np.isfinite(ratio_N) & (ratio_N > 0)]
    if len(ratio_N) < FEWEST_TRADES:
        return _USUAL_RATIO
    low, high = np.clip(np.quantile(ratio_N, (0.005, 0.995)), *_WIDEST_RATIO)
    return (float(low), float(high)) if low < 1.0 < high else _USUAL_RATIO


def _around(rows: DecisionRows, atr_ratio: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Return the range of `current_atr` at each decision; about what was decided, if unmeasured."""
    atr_N = np.where(np.isfinite(rows.atr_N), rows.atr_N, rows.decided_NP[:, _ATR_P])
    return atr_ratio[0] * atr_N, atr_ratio[1] * atr_N


def _credited(
    rows: DecisionRows, unit_NP: FloatArray, train_N: BoolArray, settings: LearningSettings
) -> Credited:
    # Who sees how a trade ended needs no credit: the earlier system's way is shown as it was.
    if settings.credit == "trade" or rows.hindsight:
        return by_trade(
            rows,
            unit_NP,
            train_N,
            temperature=settings.temperature,
            most_weight=settings.most_weight,
        )
    return by_decision(
        rows,
        unit_NP,
        train_N,
        temperature=settings.temperature,
        most_weight=settings.most_weight,
        false_discovery_rate=settings.false_discovery_rate,
    )


def _weights(credited: Credited, train_N: BoolArray, rate: float) -> FloatArray:
    """Return weights with mean 1 in training for each parameter; of the unidentified, with less."""
    weight_NP: FloatArray = credited.weight_NP / credited.weight_NP[train_N].mean(axis=0)
    if credited.p_value_P is not None:
        weight_NP[:, credited.p_value_P > rate] *= _ASIDE
    return weight_NP


def _forecast(
    rows: DecisionRows,
    atr_ratio: tuple[float, float],
    target_NP: FloatArray,
    weight_NP: FloatArray,
) -> None:
    """Make `current_atr` a forecast of what came, in place, where that is known."""
    ratio_N = rows.next_atr_N / rows.atr_N
    known_N = np.isfinite(ratio_N) & (ratio_N > 0)
    unit_N = (np.where(known_N, ratio_N, 1.0) - atr_ratio[0]) / (atr_ratio[1] - atr_ratio[0])
    target_NP[:, _ATR_P] = np.clip(unit_N, 0.0, 1.0)
    weight_NP[:, _ATR_P] = known_N


def _base(decided_NP: FloatArray) -> FloatArray:
    """Return what unidentified parameters are: what most decisions had, else the defaults.

    The rest was learnt with it as it was: what was set while others were varied stays set.
    """
    base_P = defaults(1.0)
    for p, parameter in enumerate(PARAMETERS):
        values, counts = np.unique(decided_NP[:, p], return_counts=True)
        usual, n_usual = values[counts.argmax()], counts.max()
        if 2 * n_usual > len(decided_NP) and parameter.low <= usual <= parameter.high:
            base_P[p] = usual
    return base_P


def _counts(rows: DecisionRows, part_N: BoolArray) -> Counts:
    return Counts(len(np.unique(rows.trade_N[part_N])), int(part_N.sum()))
