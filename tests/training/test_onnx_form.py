"""What is deployed as ONNX has been held against the model itself.

Axes: N rows, F features.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.bars import FloatArray
from models.base import ModelError
from models.calibration import Calibration
from models.monitor import TrainingMonitor
from models.onnx_model import OnnxModel
from models.store import load_model
from tests.models.planted import make_model, signal
from training import onnx_form
from training.onnx_form import write_onnx

ROWS = signal(260, seed=5)


def saved(folder: Path, file: str, calibration: Calibration | None = None, **changes: Any) -> Path:
    """Save a fitted model and return its folder."""
    model = make_model(file, **changes)
    held = ROWS.take(slice(200, 260)) if model.stops_early(200) else None
    train = ROWS.take(slice(0, 200))
    model.fit(train, held, rng=np.random.default_rng(1), monitor=TrainingMonitor())
    model.calibration = calibration or Calibration.none()
    model.save(folder)
    return folder


class Shifted:
    """Answers as the ONNX form does, but for what is added to the probability of some rows."""

    def __init__(self, added_N: Any) -> None:
        self.added_N = added_N

    def __call__(self, content: bytes) -> "Shifted":
        self.opened = OnnxModel(content)
        return self

    def predict_proba(self, x_NF: FloatArray) -> FloatArray:
        return self.opened.predict_proba(x_NF) + np.resize(self.added_N, (len(x_NF), 1))


def test_what_is_written_answers_as_the_model_and_says_by_how_much(tmp_path: Path) -> None:
    said = write_onnx(saved(tmp_path, "lstm", max_epochs=2), ROWS.x_NF)
    opened = OnnxModel((tmp_path / said["path"]).read_bytes())
    wanted_N2 = load_model(tmp_path).predict_proba(ROWS.x_NF)
    apart = np.abs(opened.predict_proba(ROWS.x_NF) - wanted_N2).max()
    assert 0 < said["largest_difference"] < 1e-6
    assert apart <= 1e-6
    assert (said["shape"], said["lookback_rows"]) == ([None, 4, 4], 3)


@pytest.mark.parametrize(("n_rows", "compared"), [(1, 7), (260, 266), (5000, 1006)])
def test_at_most_a_thousand_rows_and_six_made_up_ones_are_compared(
    n_rows: int, compared: int, tmp_path: Path
) -> None:
    x_NF = np.resize(ROWS.x_NF, (n_rows, 4))
    assert write_onnx(saved(tmp_path, "majority"), x_NF)["rows_compared"] == compared


def test_rows_of_any_size_can_be_compared(tmp_path: Path) -> None:
    x_NF = np.vstack([ROWS.x_NF, np.full((1, 4), -1.5e308), np.full((1, 4), 1.5e308)])
    probe_NF = onnx_form._probe_rows(x_NF)
    assert np.isfinite(probe_NF).all()
    assert np.abs(probe_NF[-6:]).max() <= 1e30


@pytest.mark.parametrize("added", [2e-5, -2e-5, np.nan])
def test_one_row_that_is_answered_otherwise_is_enough_to_refuse(
    added: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_form, "OnnxModel", Shifted([0.0] * 100 + [added]))
    with pytest.raises(
        ValueError, match=r"^the ONNX form of MajorityClass answers .* at most; rep"
    ):
        write_onnx(saved(tmp_path, "majority"), ROWS.x_NF)
    assert not (tmp_path / "model.onnx").exists()


def test_what_rounding_makes_of_a_steep_calibration_is_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path, "majority")
    model = load_model(folder)
    (log_odds,) = model.raw_log_odds(ROWS.x_NF[:1])
    model.calibration = Calibration.isotonic([log_odds - 1e-5, log_odds + 1e-5], [0.3, 0.7])
    model.save(folder)
    monkeypatch.setattr(onnx_form, "OnnxModel", Shifted([0.03]))
    assert write_onnx(folder, ROWS.x_NF)["largest_difference"] == pytest.approx(0.03)
    monkeypatch.setattr(onnx_form, "OnnxModel", Shifted([0.05]))
    with pytest.raises(ValueError, match=r"MajorityClass answers 0\.55"):
        write_onnx(folder, ROWS.x_NF)


def test_a_model_without_an_onnx_form_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(content: bytes) -> None:
        raise ModelError("ONNX Runtime 1: no")

    monkeypatch.setattr(onnx_form, "OnnxModel", fails)
    with pytest.raises(ValueError, match=r"its ONNX form: ONNX Runtime 1: no$"):
        write_onnx(saved(tmp_path, "majority"), ROWS.x_NF)
