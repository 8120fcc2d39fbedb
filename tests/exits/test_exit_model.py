"""An exit model: the table's units, and files that are checked before they are opened."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from exits.exit_model import DESCRIPTION, ExitModelError, load_exit_model, save_exit_model
from exits.exit_model_file import digest_of
from exits.exit_net import ExitNet
from exits.feature_table import SCHEMA_DIGEST
from exits.parameters import INDEX, NAMES, PARAMETERS, defaults, denormalize
from tests.exits.exit_models import UNTIL, layers, model, rows
from tests.pickle_scan import pickles_in

MODEL, X_KF = model(), rows(30)
ATR_K = np.geomspace(1e-4, 50.0, len(X_KF))
ALONE_KP = np.concatenate([MODEL.decide(X_KF[k : k + 1], ATR_K[k : k + 1]) for k in range(30)])


def test_answers_are_the_tables_units_of_the_net_to_the_bit():
    unit_KP = MODEL.net.forward(MODEL.bounds.unit(X_KF)).astype(np.float64)
    expected_KP = denormalize(unit_KP, atr_bounds=(0.5 * ATR_K, 2.0 * ATR_K))
    np.testing.assert_array_equal(MODEL.decide(X_KF, ATR_K), expected_KP)
    assert len(np.unique(ALONE_KP[:, INDEX["stop_mult"]])) == len(X_KF)


@pytest.mark.parametrize("log_odds", [-1e6, 1e6])
def test_the_ends_of_every_range_are_reached_and_never_passed(log_odds):
    weights = layers()
    weights[-1][1][:] = log_odds
    found_P = model(net=ExitNet(weights)).decide(X_KF[:1], np.array([3.0]))[0]
    ends = (("low", 1.5), ("high", 6.0))[log_odds > 0]
    expected_P = [getattr(parameter, ends[0]) for parameter in PARAMETERS[:-1]] + [ends[1]]
    np.testing.assert_allclose(found_P, expected_P, rtol=1e-6, atol=1e-30)


@given(st.lists(st.integers(0, len(X_KF) - 1), max_size=30))
def test_a_decision_never_hangs_on_its_batch(places):
    assert MODEL.decide(X_KF[places], ATR_K[places]).tobytes() == ALONE_KP[places].tobytes()


def test_what_is_not_identified_is_its_base_and_the_atr_the_measured_one():
    identified_P = np.zeros(132, bool)
    identified_P[INDEX["stop_mult"]] = True
    base_P = defaults(1.0)
    base_P[INDEX["max_stop_ticks"]] = 15.0
    found_KP = model(identified_P=identified_P, base_P=base_P).decide(X_KF, ATR_K)
    expected_KP = np.tile(base_P, (len(X_KF), 1))
    expected_KP[:, INDEX["current_atr"]] = ATR_K
    expected_KP[:, INDEX["stop_mult"]] = ALONE_KP[:, INDEX["stop_mult"]]
    np.testing.assert_array_equal(found_KP, expected_KP)


@pytest.mark.parametrize("atr", [np.nan, 0.0, -1.0, np.inf, 1e308, 5e-324])
def test_a_row_that_cannot_be_answered_is_nan_throughout_and_alone(atr):
    x_KF, atr_K = X_KF.copy(), ATR_K.copy()
    atr_K[3], x_KF[5, 140], x_KF[6, 0] = atr, np.nan, np.inf
    found_KP = MODEL.decide(x_KF, atr_K)
    assert np.isnan(found_KP[[3, 5, 6]]).all()
    others = ~np.isin(np.arange(30), [3, 5, 6])
    assert (found_KP[others] == ALONE_KP[others]).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"identified_P": np.ones(131, bool)}, r"identified_P must have shape \(132,\), had \(131"),
        ({"atr_ratio": (2.0, 0.5)}, "atr_ratio must be 0 < low < high"),
        ({"base_P": np.zeros(132)}, r"base of stop_mult must be in \[2.5, 5\], was 0.0"),
        ({"trained_until": np.datetime64("NaT")}, "trained_until must be a time"),
    ],
)
def test_a_model_that_cannot_be_is_refused(changed, said):
    with pytest.raises(ExitModelError, match=said):
        model(**changed)


def test_a_saved_model_comes_back_whole_and_without_a_pickle(tmp_path):
    kept = model(why={"stop_mult": "moves the result by 0.2 R"})
    save_exit_model(tmp_path, kept)
    found = load_exit_model(tmp_path)
    assert found.decide(X_KF, ATR_K).tobytes() == ALONE_KP.tobytes()
    assert (found.digest, found.facts, found.why) == (kept.digest, kept.facts, kept.why)
    assert found.trained_until == UNTIL
    assert pickles_in(tmp_path) == []
    told = json.loads((tmp_path / DESCRIPTION).read_text())
    assert set(told["libraries"]) >= {"torch", "numpy"}
    assert told["schema_digest"] == SCHEMA_DIGEST


def test_equal_models_have_equal_bytes_and_digest_and_others_have_not(tmp_path):
    for name, one in (("a", model()), ("b", model())):
        save_exit_model(tmp_path / name, one)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    others = [model(seed=1), model(hindsight=True), model(atr_ratio=(0.5, 2.5))]
    assert len({one.digest for one in [MODEL, *others]}) == 4


def test_saving_over_a_model_replaces_it_and_keeps_no_more_than_the_one_before(tmp_path):
    for seed in range(4):
        save_exit_model(tmp_path, model(seed))
        os.utime(next(tmp_path.glob("net-*")), ns=(seed, seed))
    assert load_exit_model(tmp_path).digest == model(3).digest
    assert len(list(tmp_path.glob("net-*"))) == 2


@pytest.fixture
def saved(tmp_path):
    save_exit_model(tmp_path, MODEL)
    return tmp_path


def net_file(folder: Path) -> Path:
    return next(folder.glob("net-*.safetensors"))


def refusal(folder: Path) -> str:
    with pytest.raises(ExitModelError) as refused:
        load_exit_model(folder)
    said = str(refused.value)
    assert said.startswith(str(folder / DESCRIPTION))
    assert said.isprintable()
    return said


def describe(folder: Path, change, *, honest: bool = True) -> None:
    """Change what the description says, its digest too where it is to pass for whole."""
    document = json.loads((folder / DESCRIPTION).read_text())
    change(document)
    if honest:
        document["digest"] = digest_of(document)
    (folder / DESCRIPTION).write_text(json.dumps(document))


def put_net(folder: Path, content: bytes) -> None:
    """Put other weights in place, with a description that vouches for them."""
    net_file(folder).write_bytes(content)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    describe(folder, lambda document: document["net"].update(entry))


def test_a_folder_without_a_model_says_how_to_get_one(tmp_path):
    assert "is missing; train again with python -m pipelines.train_exits" in refusal(tmp_path)
    assert "is missing" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b'{"version": 1, "schema_', "is not JSON"),
        (pickle.dumps({"version": 1}), "is not JSON"),
        (b"[1]", "holds no object"),
        (b"{}", "version must be 1, was None"),
        (b'{"version": true}', "version must be 1, was True"),
        (b'{"version": 2}', "is of version 2, newer than the 1 that is read here; update"),
        (b'{"version": 1, "version": 1}', "holds the key version twice"),
        (b'{"version": NaN}', "holds NaN"),
        (b" " * (4 * 2**20 + 1), "more than the 4194304 that are read"),
    ],
)
def test_a_description_that_is_none_is_refused(saved, content, said):
    (saved / DESCRIPTION).write_bytes(content)
    assert said in refusal(saved)


def cut(document, *path):
    *above, last = path
    for key in above:
        document = document[key]
    del document[last]


def put(document, value, *path):
    *above, last = path
    for key in above:
        document = document[key]
    document[last] = value


OTHER = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: cut(d, "bounds"), "bounds is missing; train again"),
        (lambda d: put(d, 1, "extra"), "extra: unknown key"),
        (
            lambda d: put(d, OTHER, "schema_digest"),
            f"digest 0123456789ab..., those of this version have {SCHEMA_DIGEST[:12]}...; train",
        ),
        (
            lambda d: put(d, [208, 64, 132], "shape"),
            "shape is [208, 64, 132], the net here has [208, 256, 256, 256, 132]; train again",
        ),
        (lambda d: put(d, "yes", "hindsight"), "hindsight: input should be a valid boolean"),
        (lambda d: put(d, "soon", "trained_until"), "trained_until: "),
        (lambda d: put(d, "2024-01-01T00:00:00", "trained_until"), "must have its zone"),
        (lambda d: put(d, [2.0, 0.5], "atr_ratio"), "atr_ratio must be 0 < low < high"),
        (lambda d: put(d, [1.0], "atr_ratio"), "atr_ratio"),
        (lambda d: cut(d, "parameters", "stop_mult"), "parameters.stop_mult is missing"),
        (lambda d: put(d, {}, "parameters", "stop_mlt"), "parameters.stop_mlt"),
        (lambda d: put(d, None, "parameters", "stop_mult", "base"), "base of stop_mult must be in"),
        (lambda d: put(d, "../net", "net", "name"), "../net leads out of its folder"),
        (lambda d: put(d, 2**40, "net", "bytes"), "net.bytes must be in [1, 4194304]"),
        (lambda d: put(d, {}, "bounds"), "bounds"),
        (lambda d: put(d, {"low_F": "x"}, "bounds"), "bounds"),
    ],
)
def test_a_description_that_says_what_cannot_be_is_refused_by_its_key(saved, change, said):
    describe(saved, change)
    assert said in refusal(saved)


def test_an_unknown_parameter_is_named_with_the_nearest_one(saved):
    entry = {"identified": True, "base": 1.0, "why": ""}
    describe(saved, lambda document: put(document, entry, "parameters", "stop_mul"))
    assert "parameters.stop_mul: unknown exit parameter, did you mean stop_mult?" in refusal(saved)


def test_a_description_that_was_changed_by_hand_is_refused(saved):
    describe(saved, lambda document: put(document, [0.5, 3.0], "atr_ratio"), honest=False)
    assert "it was changed after it was saved" in refusal(saved)


def test_a_model_that_was_shown_the_outcome_cannot_be_loaded_to_trade(tmp_path):
    save_exit_model(tmp_path, model(hindsight=True))
    assert "exits.allow_hindsight=true: it has seen how its trades ended" in refusal(tmp_path)
    assert load_exit_model(tmp_path, allow_hindsight=True).hindsight


def changed_arrays(folder: Path, change) -> bytes:
    arrays = dict(load(net_file(folder).read_bytes()))
    change(arrays)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def test_weights_that_are_missing_cut_short_or_changed_are_refused(saved):
    path = net_file(saved)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert f"{path.name} has {len(whole) - 1} bytes, expected {len(whole)}" in refusal(saved)
    path.write_bytes(whole[:-1] + b"\x7f")
    assert f"{path.name} has SHA-256 " in refusal(saved)
    path.rename(saved / "elsewhere")
    assert f"{path.name} is missing; fetch it again" in refusal(saved)
    path.symlink_to(saved / "elsewhere")
    assert f"{path.name} is a link" in refusal(saved)


@pytest.mark.parametrize(
    "content", [b"\x00", pickle.dumps(layers()), b"PK\x03\x04" + bytes(900), bytes(5000)]
)
def test_weights_that_are_not_safetensors_are_refused_though_the_digest_is_right(saved, content):
    put_net(saved, content)
    assert "is not safetensors: " in refusal(saved)


def test_arrays_of_another_name_kind_or_shape_are_refused(saved):
    whole = net_file(saved).read_bytes()
    cases = [
        (lambda a: a.pop("0.bias"), "lacks array 0.bias; train again"),
        (lambda a: a.update(more=np.zeros(3, np.float32)), "holds the unknown array more"),
        (lambda a: a.update({"0.bias": np.zeros(256)}), "holds float32, float64, expected float32"),
        (lambda a: a.update({"3.bias": np.zeros(131, np.float32)}), "(131,), expected (208, 256)"),
        (lambda a: a.update({"1.bias": np.full(256, np.nan, np.float32)}), "layer 1: biases must"),
    ]
    for change, said in cases:
        net_file(saved).write_bytes(whole)
        put_net(saved, changed_arrays(saved, change))
        assert said in refusal(saved)


@given(cut_at=st.integers(0, 800), put_in=st.binary(max_size=8))
def test_no_damage_to_a_description_gets_through_or_takes_more_than_a_line(
    tmp_path_factory, cut_at, put_in
):
    folder = tmp_path_factory.mktemp("damaged")
    save_exit_model(folder, MODEL)
    whole = (folder / DESCRIPTION).read_bytes()
    spoilt = whole[:cut_at] + put_in + whole[cut_at + len(put_in) + 1 :]
    (folder / DESCRIPTION).write_bytes(spoilt)
    said = ""
    try:
        found = load_exit_model(folder)
    except ExitModelError as error:
        said = str(error)
    assert said.isprintable()
    assert said or found.digest == MODEL.digest


def test_the_names_of_the_parameters_are_those_of_the_table(saved):
    assert tuple(json.loads((saved / DESCRIPTION).read_text())["parameters"]) == NAMES


def test_opening_a_model_needs_no_pytorch(saved):
    code = (
        "import sys, pathlib; from exits.exit_model import load_exit_model\n"
        "load_exit_model(pathlib.Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, saved], check=True)
