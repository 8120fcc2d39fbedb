"""Files of models that claim more than they hold, or would take their reader down with them."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import ModelError
from models.calibration import Calibration
from models.onnx_model import OnnxModel
from models.onnx_shape import OPERATORS, check_onnx
from models.store import load_model
from models.ubj_shape import MOST_LEVELS, check_ubj
from models.xgb import WEIGHTS

BIG = (2**62).to_bytes(8, "big")


def one(n: int) -> bytes:
    return b"L" + n.to_bytes(8, "big")


NESTED = {
    "objects": (b"{" + one(1) + b"a") * 10**6,
    "arrays": b"{" + one(1) + b"a" + b"[" * 10**6,
}


@pytest.mark.parametrize("content", NESTED.values(), ids=NESTED)
def test_what_is_nested_so_deep_that_a_reader_would_crash_is_refused(content):
    with pytest.raises(ModelError, match=f"is nested more than {MOST_LEVELS} levels deep"):
        check_ubj(content)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", "ends at byte 0"),
        (b"{", "ends at byte 1|holds no length at byte 1"),
        (b"{" + one(1) + b"a[$d#L" + BIG, "claims to have"),
        (b"{" + one(1) + b"aSL" + BIG, "claims to have"),
        (b"{" + one(1) + b"aSL" + b"\xff" * 8, "holds a length of -1"),
        (b"{" + one(1) + b"a[$x#" + one(1), "holds an array of an unknown kind"),
        (b'{"a": 1}', "holds no length at byte 1"),
        (b"\x80\x04}", "holds something unknown at byte 0"),
    ],
)
def test_a_claim_that_cannot_be_true_is_refused(content, finding):
    with pytest.raises(ModelError, match=finding):
        check_ubj(content)


@given(st.binary(max_size=60))
def test_any_bytes_are_looked_over_to_their_end(content):
    for head in (b"", b"{" + one(1) + b"a", b"["):
        refused = ""
        try:
            check_ubj(head + content)
        except ModelError as error:
            refused = str(error)
        assert refused.isprintable()


@pytest.mark.parametrize("spoil", [bytes, lambda content: content[:-1], lambda content: b"{\x93"])
def test_a_boosters_own_file_passes_and_half_of_it_does_not(fitted, tmp_path, spoil):
    fitted("xgboost").save(tmp_path)
    content = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(spoil(content))
    if spoil(content) == content:
        assert load_model(tmp_path).names_F
    else:
        with pytest.raises(ModelError):
            load_model(tmp_path)


def with_array(content: bytes, name: str, at: int, value: int) -> bytes:
    """Return a booster's file with one number of the first such array changed."""
    start = content.index(one(len(name)) + name.encode() + b"[$l#L") + 9 + len(name) + 5 + 8
    return content[: start + 4 * at] + value.to_bytes(4, "big") + content[start + 4 * at + 4 :]


HOSTILE = {
    "itself": ("left_children", 0, 0),
    "beyond": ("right_children", 0, 2**30),
    "half a leaf": ("left_children", 0, 2**32 - 1),
    "no such feature": ("split_indices", 0, 2**31 - 5),
}


def test_a_booster_that_leads_astray_is_refused_and_brings_no_process_down(fitted, tmp_path):
    for name, (array, at, value) in HOSTILE.items():
        fitted("xgboost").save(tmp_path / name)
        path = tmp_path / name / WEIGHTS
        path.write_bytes(with_array(path.read_bytes(), array, at, value))
    code = (
        "import sys, pathlib, numpy as np\n"
        "from models.store import load_model\n"
        "for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try:\n"
        "        model = load_model(folder)\n"
        "        print(folder.name, model.predict_proba(np.zeros((9, len(model.names_F)))).shape)\n"
        "    except RuntimeError as error:\n"
        "        print(folder.name, 'refused', error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(re.findall(r"^[a-z ]+ refused tree 0: ", ended.stdout, re.M)) == len(HOSTILE)


@pytest.mark.parametrize(
    ("was", "put", "finding"),
    [
        (b"gbtree", b"gbline", "kind of booster: gbline, expected gbtree"),
        (b"split_type", b"split_tipe", "does not describe a booster"),
        (b"binary:logistic", b"binary:logistik", "objective"),
    ],
)
def test_a_booster_of_another_kind_is_refused(fitted, tmp_path, was, put, finding):
    fitted("xgboost").save(tmp_path)
    content = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(content.replace(was, put))
    with pytest.raises(ModelError, match=finding):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("file", "key", "claim"), [("mlp", "hidden", [1] * 12_000), ("lstm", "layers", 12_000)]
)
def test_more_layers_than_the_file_has_weights_for_are_not_made(fitted, tmp_path, file, key, claim):
    fitted(file).save(tmp_path)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    description["hyperparameters"][key] = claim
    path.write_text(json.dumps(description))
    with pytest.raises(ModelError, match=r"speaks of 12000 layers, net.safetensors holds \d+ tens"):
        load_model(tmp_path)


@pytest.mark.parametrize(("file", "claim"), [("mlp", [10**7, 10**7]), ("lstm", 10**8)])
def test_a_net_takes_no_memory_for_sizes_that_its_file_does_not_hold(fitted, tmp_path, file, claim):
    fitted(file).save(tmp_path)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    description["hyperparameters"]["hidden"] = claim
    path.write_text(json.dumps(description))
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        load_model(tmp_path)


@pytest.mark.parametrize("file", ["mlp", "random_forest"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: BIG + content[8:],
        lambda content: (2**63 - 1).to_bytes(8, "little") + content[8:],
        lambda content: (50).to_bytes(8, "little") + b"[" * 50,
        lambda content: content.replace(b'"data_offsets":[0,', b'"data_offsets":[9,', 1),
        lambda content: content.replace(b'"shape":[', b'"shape":[9', 1),
        lambda content: content[:-1],
    ],
)
def test_a_header_that_claims_too_much_is_refused_by_its_format(fitted, tmp_path, file, spoil):
    from safetensors import SafetensorError

    fitted(file).save(tmp_path)
    (weights,) = tmp_path.glob("*.safetensors")
    weights.write_bytes(spoil(weights.read_bytes()))
    with pytest.raises(SafetensorError):
        load_model(tmp_path)


def graph_of(operator: str, *, weights=()) -> bytes:
    """Return a model of one operator as ONNX."""
    from onnx import TensorProto, helper

    taken = helper.make_tensor_value_info("features", TensorProto.DOUBLE, [None, 2])
    given_out = helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, 2])
    node = helper.make_node(operator, ["features"], ["probabilities"])
    graph = helper.make_graph([node], "model", [taken], [given_out], list(weights))
    return bytes(helper.make_model(graph).SerializeToString())


def weights_elsewhere():
    from onnx import TensorProto

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


@pytest.mark.parametrize("operator", ["Loop", "If", "Scan", "ConstantOfShape", "Range", "Expand"])
def test_an_operator_that_no_model_of_ours_has_is_refused(operator):
    with pytest.raises(ModelError, match=f"it holds an operator that no model of ours.*{operator}"):
        OnnxModel(graph_of(operator))


def test_weights_in_other_files_are_refused_however_that_is_written():
    content = graph_of("Relu", weights=[weights_elsewhere()])
    # The length of "location" in two bytes instead of one, so that the others no longer fit.
    disguised = content.replace(b"\n\x08location", b"\n\x88\x00location")
    for file in (content, disguised):
        with pytest.raises(ModelError, match=r"its weights lie in other files|is no ONNX"):
            OnnxModel(file)


def model_of(*nodes, constants=()) -> bytes:
    """Return a model of several operators as ONNX."""
    from onnx import TensorProto, helper, numpy_helper

    names = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, 2])
        for name in ("features", "probabilities")
    ]
    held = [numpy_helper.from_array(value, f"w{n}") for n, value in enumerate(constants)]
    graph = helper.make_graph(list(nodes), "model", names[:1], names[1:], held)
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=domains, ir_version=8)
    return bytes(made.SerializeToString())


def node(operator, *names, domain="", **attributes):
    from onnx import helper

    return helper.make_node(operator, names[:-1], names[-1:], domain=domain, **attributes)


@pytest.mark.parametrize("name", ["target_weights_as_tensor", "target_weights"])
def test_weights_in_other_files_are_refused_in_attributes_too(name):
    tree = node("TreeEnsembleRegressor", "features", "probabilities", domain="ai.onnx.ml")
    kept = tree.attribute.add(name=name)
    kept.t.CopyFrom(weights_elsewhere())
    kept.type = kept.TENSOR
    content = model_of(tree)
    with pytest.raises(ModelError, match="it holds TreeEnsembleRegressor with an attribute that"):
        OnnxModel(content)


def test_a_graph_within_an_attribute_is_refused_behind_any_numbers():
    from onnx import GraphProto

    tree = node("TreeEnsembleRegressor", "features", "probabilities", nodes_values=[0.5] * 9)
    tree.attribute[0].g.CopyFrom(GraphProto(name="inner"))
    with pytest.raises(ModelError, match="an attribute that is no number and no text"):
        OnnxModel(model_of(tree))


SMALL, WIDE = np.zeros(4), np.zeros((4, 1, 1))
GROWING = {
    "Concat of constants alone": ([("Concat", "w0", "w0", "a")], [SMALL]),
    "Add of constants alone": ([("Add", "w0", "w1", "a")], [SMALL, SMALL]),
    "Add of a constant of several axes": ([("Add", "features", "w0", "a")], [WIDE]),
    "Concat of one thing several": ([("Concat", "features", "features", "a")], []),
    "Gemm of weights that are comp": ([("Gemm", "w0", "features", "a")], [SMALL]),
    "2 of them Concat": ([("Concat", "features", "a", "b"), ("Concat", "a", "b", "c")], []),
    "Add of axes in another order": (
        [("Transpose", "features", "a"), ("Add", "a", "features", "b")],
        [],
    ),
}


@pytest.mark.parametrize("finding", GROWING)
def test_what_would_grow_from_operator_to_operator_is_refused(finding):
    nodes, constants = GROWING[finding]
    with pytest.raises(ModelError, match=finding):
        OnnxModel(model_of(*(node(*one) for one in nodes), constants=constants))


def test_a_tree_of_more_targets_than_anyone_has_is_refused():
    tree = node("TreeEnsembleRegressor", "features", "a", domain="ai.onnx.ml", n_targets=2**40)
    with pytest.raises(ModelError, match="of more than 1000 targets"):
        OnnxModel(model_of(tree))


@given(st.binary(max_size=60))
def test_any_bytes_are_an_onnx_file_or_refused_in_content_line(content):
    refused = ""
    try:
        check_onnx(content)
    except ModelError as error:
        refused = str(error)
    assert refused.isprintable()


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "mlp", "lstm", "council", "logistic"])
def test_every_operator_of_our_models_is_known(fitted, tmp_path, file):
    from onnx import load_model_from_string

    fitted(file).save(tmp_path)
    model, used = load_model(tmp_path), set()
    for calibration in (Calibration.none(), Calibration.isotonic([-1.0, 1.0], [0.1, 0.8])):
        model.calibration = calibration
        content = model.to_onnx()
        check_onnx(content)
        used |= {one.op_type for one in load_model_from_string(content).graph.node}
    assert used
    assert used <= set(OPERATORS)
