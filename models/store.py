"""Opens a saved model by the kind its ``model.json`` names; runs no code from the files."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.base import Model, ModelError
from models.council import Council
from models.lstm import LSTM
from models.mlp import MLP
from models.null_models import LogisticRegression, MajorityClass
from models.random_forest import RandomForest
from models.xgb import XGBoost

if TYPE_CHECKING:
    import pandas as pd

KINDS: dict[str, type[Model]] = {
    kind.name: kind
    for kind in (RandomForest, XGBoost, MLP, LSTM, Council, MajorityClass, LogisticRegression)
}


def load_model(folder: Path) -> Model:
    """Return the model saved in ``folder``.

    Raises
    ------
    ModelError
        If the folder names a kind of model that does not exist here.
    """
    kind = json.loads((folder / "model.json").read_text(encoding="utf-8"))["kind"]
    if kind not in KINDS:
        raise ModelError(f"{folder}: unknown kind of model {kind}, known: {', '.join(KINDS)}")
    return KINDS[kind].load(folder)


class _ForMlflow:
    """A saved model as MLflow's ``pyfunc`` asks for it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, features: "pd.DataFrame") -> Any:
        """Return the probabilities of losing and winning, shape (n_rows, 2), rows in time order.

        Warns
        -----
        UserWarning
            If the model looks back on rows that the first ones do not have before them.
        """
        if self.model.context_rows:
            warnings.warn(
                f"{self.model.name} looks back {self.model.context_rows} rows, and so many of the "
                "first answers do without: give the rows before as well, and leave those out",
                stacklevel=2,
            )
        x_NF = features[list(self.model.names_F)].to_numpy(dtype="float64")
        return self.model.predict_proba(x_NF)


def _load_pyfunc(path: str) -> _ForMlflow:
    return _ForMlflow(load_model(Path(path)))
