"""The sections of a configuration that are no object of another package, and every choice in it."""

from pathlib import Path
from typing import Any, Literal

from augmentation import DataAugmenter
from market.bar_files import BarFiles
from market.definitions import EVENTS, FEATURES, LABELS
from market.simulate import SimulatedMarket
from market.splits import FixedFractions, WalkForward
from market.table_files import TableFiles
from models import TrainingMonitor
from models.base import Model
from models.council import Council
from models.lstm import LSTM
from models.mlp import MLP
from models.null_models import LogisticRegression, MajorityClass
from models.random_forest import RandomForest
from models.xgb import XGBoost
from selection import ModelSelector
from selection.certified import CertifiedSelector
from selection.signing import SigningError, SigningKey
from tracking.mlflow_tracker import MlflowTracker
from tracking.tracker import NoTracker

# Less than the libraries take, and no model would be trained.
LEAST_MEMORY_BYTES = 256_000_000


class Costs:
    """Cost of one round trip, as shares of the ATR at entry."""

    def __init__(self, *, spread_atr: float, commission_atr: float, slippage_atr: float) -> None:
        for name, value in (
            ("spread_atr", spread_atr),
            ("commission_atr", commission_atr),
            ("slippage_atr", slippage_atr),
        ):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, was {value}")
        self.total_atr = spread_atr + commission_atr + slippage_atr


class Execution:
    """Where the work is done."""

    def __init__(self, *, workers: int | None, memory_limit: str | int | None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, was {workers}")
        self.workers = workers
        self.memory_limit_bytes = None if memory_limit is None else _bytes(memory_limit)


def _bytes(size: str | int) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        n_bytes = int(TypeAdapter(ByteSize).validate_python(size))
    except ValidationError:
        n_bytes = 0
    if n_bytes < LEAST_MEMORY_BYTES:
        raise ValueError(f"memory_limit must be a size of at least 256MB such as 2GB, was {size}")
    return n_bytes


class Training:
    """How fits are judged and stopped."""

    def __init__(
        self,
        *,
        early_stopping_fraction: float,
        calibration: Literal["auto", "none"],
        decision_threshold: float | None,
        max_feature_auc: float,
    ) -> None:
        if not 0 < early_stopping_fraction < 0.5:
            raise ValueError(
                f"early_stopping_fraction must be in (0, 0.5), was {early_stopping_fraction}"
            )
        if decision_threshold is not None and not 0 < decision_threshold < 1:
            raise ValueError(f"decision_threshold must be in (0, 1), was {decision_threshold}")
        if not 0.5 < max_feature_auc <= 1:
            raise ValueError(f"max_feature_auc must be in (0.5, 1], was {max_feature_auc}")
        self.early_stopping_fraction = early_stopping_fraction
        self.calibrates = calibration == "auto"
        self.decision_threshold = decision_threshold
        self.max_feature_auc = max_feature_auc


class Manifest:
    """Where the deployment manifest is written, and what it is signed with."""

    def __init__(self, *, path: str, sign: bool, signing_key: str | None) -> None:
        self.path = Path(path)
        if self.path.suffix != ".json":
            raise ValueError(f"path must end in .json, was {path}")
        if sign and signing_key is None:
            raise ValueError("signing_key is missing: sign=true needs the path of a private key")
        try:
            # Read now: a key that cannot be used must not be found out after hours of training.
            self.key = SigningKey(Path(signing_key)) if sign and signing_key else None
        except SigningError as error:
            raise ValueError(f"manifest.signing_key: {error}") from error


class Deploy:
    """What a selection does beyond the manifest."""

    def __init__(
        self, *, promote: Literal["auto", "never"], holdout: Literal["open", "sealed"]
    ) -> None:
        self.promotes = promote == "auto"
        self.opens_holdout = holdout == "open"


class NoAugmentation:
    """Fits see their own rows only."""


Steps = list[dict[str, Any]]


class StrengthPaths:
    """Per model the steps that lead from its configured hyperparameters to stronger ones."""

    def __init__(self, *, random_forest: Steps, xgboost: Steps, mlp: Steps, lstm: Steps) -> None:
        self.by_model = {
            "random_forest": random_forest,
            "xgboost": xgboost,
            "mlp": mlp,
            "lstm": lstm,
        }


class NoStrengthPaths(StrengthPaths):
    """Models are fitted as configured."""

    def __init__(self) -> None:
        super().__init__(random_forest=[], xgboost=[], mlp=[], lstm=[])


MODELS: dict[str, type[Model]] = {
    "random_forest": RandomForest,
    "xgboost": XGBoost,
    "mlp": MLP,
    "lstm": LSTM,
    "council": Council,
}
NULL_MODELS: dict[str, type[Model]] = {"majority": MajorityClass, "logistic": LogisticRegression}
CHOICES: dict[str, dict[str, type]] = {
    "features": FEATURES,
    "labels": LABELS,
    "data": {"demo": SimulatedMarket, "bars": BarFiles, "table": TableFiles},
    "events": EVENTS,
    "split": {"walk_forward": WalkForward, "reference": FixedFractions},
    "augmentation": {"none": NoAugmentation, "always": DataAugmenter, "adaptive": DataAugmenter},
    "regularize": {"reference": NoStrengthPaths, "adaptive": StrengthPaths},
    "selection": {"certified": CertifiedSelector, "reference": ModelSelector},
    "tracking": {"mlflow": MlflowTracker, "none": NoTracker},
}
SECTIONS: dict[str, type] = {
    "costs": Costs,
    "monitor": TrainingMonitor,
    "execution": Execution,
    "training": Training,
    "manifest": Manifest,
    "deploy": Deploy,
}
SCALARS: dict[str, Any] = {
    "name": str,
    "symbols": list[str] | None,
    "seed": int,
    "output_dir": str | None,
    "resume": bool,
    "tuned": str | None,
    "features_dir": str,
    "format": Literal["table", "json"],
    "output": str | None,
}
TRAIN_SCALARS = ("name", "symbols", "seed", "output_dir", "resume", "tuned")
MODEL_SECTIONS = {"models": MODELS, "null_models": NULL_MODELS}
