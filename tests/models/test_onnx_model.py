"""Opening an ONNX form: what it needs, what it refuses, and many rows at once.

Axes: N rows, F features.
"""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from market.bars import FloatArray
from models import onnx_model
from models.base import Model, ModelError
from models.onnx_model import OnnxModel
from tests.models.planted import CANDIDATES

Fit = Callable[..., Model]
every_candidate = pytest.mark.parametrize("file", CANDIDATES)
ASKED_ALONE = """
import sys
from pathlib import Path
import numpy as np
from models.onnx_model import OnnxModel
opened = OnnxModel(Path(sys.argv[1]).read_bytes())
for n_rows in (1, 5000):
    opened.predict_proba(np.zeros((n_rows, 4)))
heavy = {"torch", "sklearn", "xgboost", "mlflow", "imblearn", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""


@every_candidate
def test_it_answers_without_what_it_was_trained_with(
    file: str, fitted: Fit, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(fitted(file).to_onnx())
    asked = subprocess.run(
        [sys.executable, "-c", ASKED_ALONE, str(path)], capture_output=True, text=True, check=False
    )
    assert (asked.stdout, asked.stderr) == ("[]\n", "")


def many_rows(n_rows: int) -> FloatArray:
    rng = np.random.default_rng(4)
    return rng.normal(size=(n_rows, 4)) * [1.0, 50.0, 1.0, 0.01] + [0.0, 900.0, 0.0, 0.0]


@every_candidate
def test_many_rows_get_what_each_gets_alone(
    file: str, fitted: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "BATCH_ROWS", 50)
    opened, x_NF = OnnxModel(fitted(file).to_onnx()), many_rows(130)
    alone = [opened.predict_proba(x_NF[n : n + 1], x_NF[:n]) for n in range(130)]
    together_N2 = opened.predict_proba(x_NF)
    assert np.abs(together_N2 - np.concatenate(alone)).max() <= 1e-6
    for order_NF in (np.asfortranarray(x_NF), np.repeat(x_NF, 2, axis=0)[::2]):
        assert np.array_equal(opened.predict_proba(order_NF), together_N2)
    assert np.array_equal(opened.predict_proba(x_NF[:100]), together_N2[:100])


@pytest.mark.parametrize(
    ("file", "walks"), [("random_forest", 1), ("xgboost", 1), ("council", 2), ("mlp", 0)]
)
def test_trees_are_cut_out_for_many_rows_and_for_no_others(
    file: str, walks: int, fitted: Fit
) -> None:
    form = onnx.load_model_from_string(fitted(file).to_onnx())
    assert len(onnx_model._cut_out_trees(form)) == walks
    assert not [node for node in form.graph.node if node.op_type == "TreeEnsembleRegressor"]
    wanted = {one.name for one in form.graph.input}
    assert ("features" in wanted) == (file in ("council", "mlp"))


def test_trees_of_another_make_are_left_to_the_runtime(fitted: Fit) -> None:
    form = onnx.load_model_from_string(fitted("council").to_onnx())
    one = next(node for node in form.graph.node if node.op_type == "TreeEnsembleRegressor")
    one.attribute.append(onnx.helper.make_attribute("base_values", [0.5]))
    before = form.SerializeToString(deterministic=True)
    assert onnx_model._cut_out_trees(form) == {}
    assert form.SerializeToString(deterministic=True) == before
    opened, x_NF = OnnxModel(before), many_rows(5000)
    assert np.array_equal(opened.predict_proba(x_NF)[:9], opened.predict_proba(x_NF[:9]))


def test_threads_may_ask_at_once(fitted: Fit) -> None:
    opened, x_NF = OnnxModel(fitted("random_forest").to_onnx()), many_rows(5000)
    wanted_N2 = opened.predict_proba(x_NF)
    fresh = OnnxModel(fitted("random_forest").to_onnx())
    with ThreadPoolExecutor(4) as pool:
        for answers_N2 in pool.map(fresh.predict_proba, [x_NF] * 8):
            assert np.array_equal(answers_N2, wanted_N2)
        rows = [x_NF[n : n + 1] for n in range(200)]
        for n, answer_N2 in enumerate(pool.map(fresh.predict_proba, rows)):
            assert np.array_equal(answer_N2[0], wanted_N2[n])


def spoilt(content: bytes, how: str) -> bytes:
    form = onnx.load_model_from_string(content)
    if how == "other files":
        tensor = form.graph.initializer[0]
        onnx.external_data_helper.set_external_data(tensor, location="elsewhere")
        tensor.ClearField("raw_data")
    if how == "no notes":
        del form.metadata_props[:]
    if how == "other notes":
        form.metadata_props[1].value = '["one"]'
    if how == "far back":
        form.metadata_props[2].value = "1000000000"
    if how == "no such operator":
        form.graph.node[0].op_type = "Wish"
    if how == "newer":
        form.opset_import[0].version = 999
    return {"cut off": content[:-50], "nothing": b"", "text": b"a model"}.get(
        how, form.SerializeToString()
    )


@pytest.mark.parametrize(
    ("how", "finding"),
    [
        ("cut off", "is no ONNX: "),
        ("nothing", "ONNX Runtime .*: "),
        ("text", "is no ONNX: "),
        ("no such operator", "it holds an operator that no model of ours has: Wish"),
        ("newer", "ONNX Runtime .*999"),
        ("other files", "its weights lie in other files, expected them inside"),
        (
            "other notes",
            r"it takes features of shape \['n_rows', 4\], its metadata speaks of 1 feat",
        ),
        ("far back", "it looks back on 1000000000 rows, expected from 0 to 10000"),
        ("no notes", "its metadata does not say kind, features and lookback_rows"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line(
    how: str, finding: str, fitted: Fit, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=f"^{finding}") as refused:
        OnnxModel(spoilt(fitted("mlp").to_onnx(), how))
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""
