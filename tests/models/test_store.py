"""A saved model as MLflow opens it."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.samples import Samples
from models.base import Model
from models.store import _load_pyfunc

Fit = Callable[..., Model]


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "mlp", "lstm", "council"])
def test_mlflow_is_answered_as_the_model_answers_and_told_of_a_cold_start(
    file: str, fitted: Fit, rows: Samples, tmp_path: Path
) -> None:
    model = fitted(file)
    model.save(tmp_path)
    frame = pd.DataFrame(rows.x_NF, columns=rows.names_F)[list(reversed(rows.names_F))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = _load_pyfunc(str(tmp_path)).predict(frame)
    assert np.array_equal(answers, model.predict_proba(rows.x_NF))
    said = [str(one.message) for one in caught]
    looks_back = f"{model.name} looks back {model.context_rows} rows, and so many of the first"
    assert [one.startswith(looks_back) for one in said] == [True] * (file == "lstm")
