"""What a manifest names as ONNX is what answers, and nothing else is opened."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from market.bars import DataError
from models import store
from models.base import Model
from models.onnx_model import OnnxModel
from selection import DeployedModels, DeploymentError
from tests.selection.conftest import KINDS, edited, original_model

ASKED = """
import sys
import numpy as np
from selection import DeployedModels
deployed = DeployedModels.from_manifest(sys.argv[1])
for symbol in deployed.symbols:
    rows = np.zeros((20, 57))
    answers = deployed.predict_proba(symbol, rows[:1], rows)
    assert answers.shape == (1, 2)
heavy = {"torch", "sklearn", "xgboost", "mlflow", "imblearn", "safetensors", "onnx"}
print(sorted(heavy & set(sys.modules)))
"""


def onnx_file(path, symbol="EURUSD"):
    return path.parent / json.loads(path.read_text())["selections"][symbol]["onnx"]["path"]


def replaced(path, content):
    """Put other bytes in the file's place, and let the manifest say so."""
    file = onnx_file(path)
    file.write_bytes(content)

    def digest(one):
        (entry,) = (entry for entry in one["artifacts"] if entry["path"].endswith(".onnx"))
        entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    edited(path, digest)


@pytest.fixture(scope="module")
def by_onnx(onnx_deployment):
    return DeployedModels.from_manifest(onnx_deployment)


def test_the_onnx_form_is_asked_and_nothing_that_a_model_was_trained_with_is_imported(
    onnx_deployment,
):
    asked = subprocess.run(
        [sys.executable, "-c", ASKED, str(onnx_deployment)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.stdout, asked.stderr) == ("[]\n", "")


@pytest.mark.parametrize("symbol", KINDS)
def test_answers_are_the_models_for_one_row_and_for_many(by_onnx, deployment, tables, symbol):
    x_NF, model = tables[symbol].x_NF, original_model(deployment, symbol)
    together = by_onnx.predict_proba(symbol, x_NF, allow_cold_start=True)
    assert np.abs(together - model.predict_proba(x_NF)).max() <= 1e-5
    alone = [by_onnx.predict_proba(symbol, x_NF[n : n + 1], x_NF[:n]) for n in range(20, 60)]
    assert np.abs(np.concatenate(alone) - together[20:60]).max() <= 1e-6
    frame = pl.DataFrame(x_NF, schema=list(tables[symbol].names_F))
    for given in (frame, frame.select(reversed(frame.columns)), np.asfortranarray(x_NF)):
        said = by_onnx.predict_proba(symbol, given, allow_cold_start=True)
        assert (said == together).all()


@pytest.mark.parametrize("symbol", KINDS)
def test_bars_get_the_events_of_the_saved_model_and_its_answers(by_onnx, deployed, market, symbol):
    said, wanted = (one.predict_bars(symbol, market[symbol]) for one in (by_onnx, deployed))
    assert (said.t0_N == wanted.t0_N).all()
    assert (said.settled_N == wanted.settled_N).all()
    assert np.abs(said.p_win_N - wanted.p_win_N).max() <= 1e-5
    assert len(said) > 20


def test_rows_to_look_back_on_are_asked_for_and_the_last_of_them_used(by_onnx, tables):
    x_NF = tables["GBPUSD"].x_NF
    assert by_onnx.lookback_rows("GBPUSD") == 9
    with pytest.raises(DeploymentError, match=r"looks back 9 rows \(8 were given\)"):
        by_onnx.predict_proba("GBPUSD", x_NF[20:], x_NF[12:20])
    warm = by_onnx.predict_proba("GBPUSD", x_NF[20:], x_NF[:20])
    assert (warm == by_onnx.predict_proba("GBPUSD", x_NF[20:], x_NF[11:20])).all()
    assert by_onnx.predict_proba("GBPUSD", x_NF[20:20], x_NF[:20]).shape == (0, 2)
    cold = by_onnx.predict_proba("GBPUSD", x_NF[20:], allow_cold_start=True)
    assert np.abs(cold[0] - warm[0]).max() > 1e-6
    assert np.allclose(cold[9:], warm[9:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 3])
def test_a_feature_that_is_no_finite_number_is_refused_wherever_it_stands(
    by_onnx, tables, value, row
):
    x_NF = tables["GBPUSD"].x_NF[:30].copy()
    x_NF[row, 0] = value
    with pytest.raises(DataError, match=rf"^EURUSD: row {row}, feature atr is {value}, expected "):
        by_onnx.predict_proba("EURUSD", x_NF[: row + 1])
    with pytest.raises(DataError, match=rf"^GBPUSD, context: row {row}, feature "):
        by_onnx.predict_proba("GBPUSD", x_NF[20:], x_NF[:20])


@pytest.mark.parametrize("shape", [(1, 56), (1, 58), (57,), (1, 1, 57), ()])
def test_rows_of_another_shape_are_refused(by_onnx, shape):
    with pytest.raises(DataError, match=r"were given, expected \(n_rows, 57\)"):
        by_onnx.predict_proba("EURUSD", np.zeros(shape))


def test_an_onnx_form_that_was_changed_is_refused_before_and_after_the_check(onnx_copied):
    models = DeployedModels.from_manifest(onnx_copied)
    file = onnx_file(onnx_copied)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    changed = r"^EURUSD: \S+/model.onnx has SHA-256 [^\n]*$"
    with pytest.raises(DeploymentError, match=changed):
        models.predict_proba("EURUSD", np.zeros((1, 57)))
    with pytest.raises(DeploymentError, match=changed):
        DeployedModels.from_manifest(onnx_copied)


def test_only_the_onnx_form_is_opened(onnx_copied, monkeypatch):
    models = DeployedModels.from_manifest(onnx_copied)
    for file in onnx_file(onnx_copied).parent.glob("[!m]*"):
        file.unlink()
    monkeypatch.setattr(store, "load_model", None)
    assert isinstance(models._model("EURUSD"), OnnxModel)
    assert models.predict_proba("EURUSD", np.zeros((1, 57))).shape == (1, 2)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08"])
def test_bytes_that_are_no_onnx_are_refused_in_one_line(onnx_copied, content):
    replaced(onnx_copied, content)
    models = DeployedModels.from_manifest(onnx_copied)
    with pytest.raises(DeploymentError, match=r"^EURUSD: \S+/model.onnx cannot be opened: ") as no:
        models.predict_proba("EURUSD", np.zeros((1, 57)))
    assert "\n" not in str(no.value)


def test_the_onnx_form_of_another_model_is_refused(onnx_copied):
    replaced(onnx_copied, onnx_file(onnx_copied, "GBPUSD").read_bytes())
    with pytest.raises(DeploymentError, match=r"holds a LSTM, the manifest says RandomForest$"):
        DeployedModels.from_manifest(onnx_copied).lookback_rows("EURUSD")
    edited(onnx_copied, lambda one: one.update(selected_model="LSTM"))
    edited(onnx_copied, lambda one: one["features"]["names"].reverse())
    with pytest.raises(
        DeploymentError, match="the manifest lists Distance_to_Entry_ATR at place 0"
    ):
        DeployedModels.from_manifest(onnx_copied).lookback_rows("EURUSD")


def test_an_onnx_form_that_is_not_among_the_artifacts_is_refused(onnx_copied):
    edited(onnx_copied, lambda one: one["onnx"].update(path="artifacts/other.onnx"))
    with pytest.raises(
        DeploymentError,
        match=r"^EURUSD: the manifest names artifacts/other.onnx as ONNX, but not among the artifa",
    ):
        DeployedModels.from_manifest(onnx_copied)


@pytest.mark.parametrize("change", [lambda one: one.pop("onnx"), lambda one: one.update(onnx=None)])
def test_without_an_onnx_form_the_saved_model_answers(onnx_copied, deployed, tables, change):
    edited(onnx_copied, change)
    models = DeployedModels.from_manifest(onnx_copied)
    assert isinstance(models._model("EURUSD"), Model)
    x_NF = tables["EURUSD"].x_NF
    answers = models.predict_proba("EURUSD", x_NF)
    assert (answers == deployed.predict_proba("EURUSD", x_NF)).all()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda onnx: onnx.pop("input"), "onnx"),
        (lambda onnx: onnx.update(shape=[57]), "onnx"),
        (lambda onnx: onnx.update(lookback_rows=-1), "onnx"),
        (lambda onnx: onnx.update(largest_difference=2), "onnx"),
    ],
)
def test_an_onnx_entry_that_cannot_be_right_breaks_the_schema(onnx_copied, change, place):
    edited(onnx_copied, lambda one: change(one["onnx"]))
    with pytest.raises(DeploymentError, match=rf"selections\.EURUSD\.{place}"):
        DeployedModels.from_manifest(onnx_copied)
