"""A model's ONNX form answers as the model does, whatever the kind, the calibration and the rows.

Axes: N rows, F features.
"""

import json
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from market.bars import FloatArray
from market.samples import Samples
from models.base import Model, ModelError, NotFittedError, Scaler
from models.calibration import Calibration
from models.monitor import TrainingMonitor
from models.null_models import MajorityClass
from models.onnx_model import OnnxModel
from models.store import load_model
from models.xgb import _trees
from tests.models.planted import CANDIDATES, NULLS, make_model, noise

Fit = Callable[..., Model]
MODELS = (*CANDIDATES, *NULLS)
every_model = pytest.mark.parametrize("file", MODELS)
CALIBRATIONS = {
    "none": Calibration.none(),
    "platt": Calibration.platt(0.6, -0.2),
    "flat": Calibration.platt(0.0, 0.3),
    "isotonic": Calibration.isotonic([-2.0, -0.5, 0.0, 1.0], [0.1, 0.1, 0.45, 0.8]),
    "one knot": Calibration.isotonic([0.2], [0.4]),
}
MAX_DIFFERENCE = 1e-5


@pytest.fixture(scope="module")
def calibrated(fitted: Fit) -> Callable[[str, str], tuple[Model, OnnxModel]]:
    """Return a function that gives a fitted model with a calibration, and its ONNX form opened."""

    @cache
    def calibrated(file: str, calibration: str) -> tuple[Model, OnnxModel]:
        model = copy(fitted(file))
        model.calibration = CALIBRATIONS[calibration]
        return model, OnnxModel(model.to_onnx())

    return calibrated


def assert_equal(model: Model, opened: OnnxModel, x_NF: FloatArray, before_NF: Any = None) -> None:
    wanted_N2 = model.predict_proba(x_NF, before_NF)
    given_N2 = opened.predict_proba(x_NF, before_NF)
    assert given_N2.shape == wanted_N2.shape
    assert given_N2.dtype == np.float64
    assert np.abs(given_N2 - wanted_N2).max() <= MAX_DIFFERENCE
    assert np.abs(given_N2.sum(axis=1) - 1).max() < 1e-12


@every_model
@pytest.mark.parametrize("calibration", CALIBRATIONS)
@given(data=st.data())
@settings(max_examples=15)
def test_random_rows_get_the_models_answers(
    file: str, calibration: str, calibrated: Any, rows: Samples, data: st.DataObject
) -> None:
    n_rows = data.draw(st.integers(1, 20))
    deviations_NF = data.draw(arrays(np.float64, (n_rows, 4), elements=st.floats(-10, 10)))
    x_NF = rows.x_NF.mean(axis=0) + deviations_NF * rows.x_NF.std(axis=0)
    assert_equal(*calibrated(file, calibration), x_NF)


@pytest.mark.parametrize("file", [one for one in MODELS if one not in ("mlp", "lstm")])
@given(x_NF=arrays(np.float64, (5, 4), elements=st.floats(-1e30, 1e30)))
def test_extreme_rows_get_the_models_answers(file: str, calibrated: Any, x_NF: FloatArray) -> None:
    assert_equal(*calibrated(file, "none"), x_NF)


@pytest.mark.parametrize("file", ["mlp", "lstm"])
@pytest.mark.parametrize("size", [1e3, 1e9, 1e30])
def test_a_net_that_is_certain_far_out_is_certain_as_onnx(
    file: str, size: float, calibrated: Any
) -> None:
    corners_NF = np.array(np.meshgrid(*[[-size, size]] * 4)).reshape(4, -1).T
    assert_equal(*calibrated(file, "none"), corners_NF)


@pytest.mark.parametrize("file", ["random_forest", "xgboost"])
def test_a_row_on_a_threshold_or_beside_it_goes_where_the_model_sends_it(
    file: str, calibrated: Any, rows: Samples
) -> None:
    model, opened = calibrated(file, "none")
    feature_K, threshold_K = splits(model)
    at_K = threshold_K.astype(np.float32)
    ends = [np.nextafter(at_K, np.float32(end)) for end in (-np.inf, np.inf)]
    for value_K in (threshold_K, at_K, *ends, (at_K + ends[0]) / 2):
        x_NF = np.repeat(rows.x_NF[:1], len(feature_K), axis=0)
        x_NF[np.arange(len(feature_K)), feature_K] = value_K
        assert_equal(model, opened, x_NF)


def splits(model: Any) -> tuple[Any, Any]:
    """Return feature and threshold of every split."""
    if model.name == "XGBoost":
        trees = _trees(json.loads(model._booster.save_raw("json"))["learner"])
        inner_K = trees.left_K >= 0
        return trees.feature_K[inner_K], trees.threshold_K[inner_K].astype(np.float64)
    inner_K = model._nodes["left"] >= 0
    return model._nodes["feature"][inner_K], model._nodes["threshold"][inner_K]


@every_model
def test_a_feature_that_was_constant_is_nothing_to_the_onnx_form_either(
    file: str, fit: Fit, rows: Samples
) -> None:
    x_NF = rows.x_NF.copy()
    x_NF[:, 1] = 7.0
    constant = replace(rows, x_NF=x_NF)
    model = make_model(file)
    held = constant.take(slice(200, 260)) if model.stops_early(200) else None
    train = constant.take(slice(0, 200))
    model.fit(train, held, rng=np.random.default_rng(2), monitor=TrainingMonitor())
    other_NF = x_NF.copy()
    other_NF[:, 1] = np.linspace(-1e6, 1e6, len(x_NF))
    assert_equal(model, OnnxModel(model.to_onnx()), other_NF)


@every_model
def test_the_same_model_gives_the_same_bytes_before_and_after_it_is_saved(
    file: str, fitted: Fit, tmp_path: Path
) -> None:
    content = fitted(file).to_onnx()
    assert fitted(file).to_onnx() == content
    fitted(file).save(tmp_path)
    assert load_model(tmp_path).to_onnx() == content


@every_model
def test_the_file_says_what_it_is_and_asks_for_little(
    file: str, fitted: Fit, rows: Samples
) -> None:
    model = fitted(file)
    opened, form = OnnxModel(model.to_onnx()), onnx.load_model_from_string(model.to_onnx())
    assert (opened.name, opened.names_F) == (model.name, rows.names_F)
    assert opened.context_rows == model.context_rows
    assert {one.domain: one.version for one in form.opset_import} == {"": 13, "ai.onnx.ml": 2}
    assert form.ir_version == 7
    assert {node.domain for node in form.graph.node} <= {"", "ai.onnx.ml"}
    (taken,), (given_out,) = form.graph.input, form.graph.output
    assert (taken.name, given_out.name) == ("features", "probabilities")
    sizes = [one.dim_value or one.dim_param for one in taken.type.tensor_type.shape.dim]
    assert sizes == (["n_rows", 4, 4] if file == "lstm" else ["n_rows", 4])
    kinds = {one.type.tensor_type.elem_type for one in (taken, given_out)}
    assert kinds == {onnx.TensorProto.DOUBLE}


@pytest.mark.parametrize("before", [0, 1, 3, 50])
@pytest.mark.parametrize("n_rows", [0, 1, 2, 60])
def test_windows_are_the_models_whatever_comes_before(
    before: int, n_rows: int, calibrated: Any, rows: Samples
) -> None:
    model, opened = calibrated("lstm", "none")
    x_NF, before_NF = rows.x_NF[60 : 60 + n_rows], rows.x_NF[60 - before : 60]
    wanted_N2 = model.predict_proba(x_NF, before_NF)
    given_N2 = opened.predict_proba(x_NF, before_NF)
    assert given_N2.shape == wanted_N2.shape == (n_rows, 2)
    assert np.abs(given_N2 - wanted_N2).max(initial=0) <= MAX_DIFFERENCE


def test_layers_of_an_lstm_follow_one_another(fit: Fit, rows: Samples) -> None:
    model = fit("lstm", model=make_model("lstm", layers=3, max_epochs=2))
    assert_equal(model, OnnxModel(model.to_onnx()), rows.x_NF)


def test_an_lstm_that_looks_at_its_own_row_alone_takes_rows(rows: Samples) -> None:
    import torch

    model: Any = make_model("lstm", lookback=1)
    model.names_F, model._scaler = rows.names_F, Scaler.fitted(rows.x_NF)
    model._net = model._module(4).eval()
    with torch.inference_mode():
        windows = torch.as_tensor(model._scaled(rows.x_NF)[:, None])
        wanted_N = torch.sigmoid(model._net(windows)).numpy()
    p_N = OnnxModel(model.to_onnx()).predict_proba(rows.x_NF)[:, 1]
    assert np.abs(p_N - wanted_N).max() <= 1e-6


def test_a_steep_calibration_of_a_forest_is_met_on_its_steps(fitted: Fit, rows: Samples) -> None:
    model = copy(fitted("random_forest"))
    log_odds_K = np.unique(model.raw_log_odds(rows.x_NF))
    close_K = np.sort(np.concatenate([log_odds_K, log_odds_K + 1e-7]))
    p_K = np.linspace(0.1, 0.9, len(close_K))
    model.calibration = Calibration.isotonic(close_K.tolist(), p_K.tolist())
    assert_equal(model, OnnxModel(model.to_onnx()), rows.x_NF)


def test_members_of_a_council_are_corrected_before_they_are_clipped(
    fitted: Fit, rows: Samples
) -> None:
    model: Any = deepcopy(fitted("council"))
    for member, shift in zip(model.members.values(), (3.0, -2.0, 1.0), strict=True):
        member.log_odds_shift = shift
    assert_equal(model, OnnxModel(model.to_onnx()), rows.x_NF)


def test_a_model_that_is_not_fitted_or_has_no_onnx_form_says_so() -> None:
    with pytest.raises(NotFittedError, match="MLP is not fitted yet"):
        make_model("mlp").to_onnx()

    class Odd(MajorityClass):
        _onnx_log_odds = Model._onnx_log_odds

    odd = Odd()
    odd.names_F = noise(1, seed=1).names_F
    with pytest.raises(ModelError, match=r"^MajorityClass has no ONNX form$"):
        odd.to_onnx()
