import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.bars import DataError
from models import store
from selection import DeployedModels, DeploymentError
from tests.selection.conftest import edited, original_model, weights_of


def refusal(path):
    with pytest.raises(DeploymentError) as refused:
        DeployedModels.from_manifest(path)
    return str(refused.value)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def link_outside(path):
    shutil.copy(path, path.parents[4] / "elsewhere")
    path.unlink()
    path.symlink_to(path.parents[4] / "elsewhere")


def folder_instead(path):
    path.unlink()
    path.mkdir()


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (flip, r"has SHA-256 [0-9a-f]{12}\.\.\., the manifest says [0-9a-f]{12}\.\.\.; fetch it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"has \d+ bytes, the manifest say"),
        (lambda path: path.write_bytes(b""), r"has 0 bytes, the manifest says \d+; fetch it again"),
        (Path.unlink, "is missing; fetch it again"),
        (link_outside, "is a link, expected the file itself"),
        (link_to_itself, "is a link, expected the file itself"),
        (folder_instead, "is not a plain file"),
    ],
)
def test_a_file_that_is_not_the_manifests_is_refused_by_name(copied, spoil, finding, monkeypatch):
    monkeypatch.setattr(store, "load_model", None)
    spoil(weights_of(copied))
    place = weights_of(copied).relative_to(copied.parent).as_posix()
    said = refusal(copied)
    assert re.match(f"EURUSD: {place} {finding}", said), said
    assert "\n" not in said


@settings(max_examples=30)
@given(data=st.data())
def test_no_changed_byte_goes_unseen(deployment, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("spoiled") / "deploy"
    shutil.copytree(deployment.parent, folder)
    path = folder / deployment.name
    victims = sorted(one for one in folder.rglob("artifacts/*/*/*") if one.is_file())
    victim = data.draw(st.sampled_from(victims))
    content = bytearray(victim.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    victim.write_bytes(content)
    assert victim.name in refusal(path)


def test_the_folder_may_be_reached_by_a_link_and_nothing_in_it(copied, tmp_path):
    (tmp_path / "current").symlink_to(copied.parent)
    linked = tmp_path / "current" / copied.name
    assert DeployedModels.from_manifest(linked).symbols == ["EURUSD", "GBPUSD"]
    folder = weights_of(copied).parent
    folder.rename(copied.parent / "moved")
    folder.symlink_to(copied.parent / "moved")
    assert "lies behind a link, expected a folder itself" in refusal(linked)
    copied.rename(copied.with_name("elsewhere.json"))
    copied.symlink_to("elsewhere.json")
    assert refusal(linked) == f"{linked}: is a link, expected the file itself"


def test_every_refused_file_has_its_line_and_the_other_symbols_can_go_on(copied):
    flip(weights_of(copied))
    (weights_of(copied).parent / "model.json").unlink()
    assert [line.split(":")[0] for line in refusal(copied).splitlines()] == ["EURUSD", "EURUSD"]
    models = DeployedModels.from_manifest(copied, skip_broken=True)
    assert models.symbols == ["GBPUSD"]
    assert models.lookback_rows("GBPUSD") == 9
    with pytest.raises(DeploymentError, match="SHA-256"):
        models.predict_proba("EURUSD", np.zeros((1, 57)))


def test_a_file_changed_after_the_check_is_not_opened(copied, monkeypatch):
    models = DeployedModels.from_manifest(copied)
    flip(weights_of(copied))
    monkeypatch.setattr(store, "load_model", None)
    with pytest.raises(DeploymentError, match=r"^EURUSD: .*has SHA-256"):
        models.predict_proba("EURUSD", np.zeros((1, 57)))


def test_what_lies_beside_the_named_files_is_never_opened(copied, monkeypatch):
    (weights_of(copied).parent / "model.pkl").write_bytes(b"cos\nsystem\n")
    seen = []
    load = store.load_model

    def spy(folder):
        seen.extend(sorted(one.name for one in folder.rglob("*")))
        return load(folder)

    monkeypatch.setattr(store, "load_model", spy)
    DeployedModels.from_manifest(copied).lookback_rows("EURUSD")
    assert seen == ["forest.safetensors", "model.json"]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda one: one["artifacts"][0].update(path="../x"), "artifacts.0.path: '../x' does not"),
        (lambda one: one["artifacts"].pop(-1), "the manifest names no model.json of RandomForest"),
        (lambda one: one["artifacts"][0].update(path="artifacts/x"), "lies outside artifacts/EURU"),
        (lambda one: one.pop("reason"), "'reason' is a required property"),
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused(copied, change, finding):
    edited(copied, change)
    said = refusal(copied)
    assert finding in said
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_a_file_that_is_no_manifest_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: ")
    assert "\n" not in refusal(path)
    path.unlink()
    assert refusal(path) == f"{path}: no such manifest; train first, or give the path of one"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(copied, number):
    edited(copied, lambda one: one.update(decision_threshold=0.123))
    copied.write_text(copied.read_text().replace("0.123", number))
    assert refusal(copied) == f"{copied}: holds {number}, expected finite numbers"


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5])
def test_a_threshold_that_all_or_nothing_reaches_is_refused(copied, threshold):
    edited(copied, lambda one: one.update(decision_threshold=threshold))
    assert "selections.EURUSD.decision_threshold: " in refusal(copied)


def test_a_model_of_another_name_than_the_manifests_is_refused(copied):
    edited(copied, lambda one: one.update(selected_model="XGBoost"))
    models = DeployedModels.from_manifest(copied)
    with pytest.raises(DeploymentError, match=r"holds a RandomForest, the manifest says XGBoost$"):
        models.lookback_rows("EURUSD")


def test_features_the_model_does_not_have_are_refused(copied):
    edited(copied, lambda one: one["features"]["names"].__setitem__(1, "Wavelet"))
    models = DeployedModels.from_manifest(copied)
    with pytest.raises(DeploymentError, match="the manifest lists Wavelet at place 1, the model h"):
        models.lookback_rows("EURUSD")


def test_a_symbol_without_a_model_gives_the_manifests_reason(deployed):
    with pytest.raises(DeploymentError, match=r"^USDJPY: no model is deployed: No signal$"):
        deployed.predict_proba("USDJPY", np.zeros((1, 57)))
    with pytest.raises(
        DeploymentError, match=r"^EURJPY: is not in the manifest; there are: USDJPY, "
    ):
        deployed.predict_proba("EURJPY", np.zeros((1, 57)))
    assert deployed.selection("USDJPY")["reason"] == "No signal"


def twice(frame, *names):
    known = frame.to_pandas()
    return pd.concat([known, known[list(names)]], axis=1)


def test_whole_numbers_and_a_column_of_yes_and_no_are_numbers(deployed, tables):
    table = tables["EURUSD"]
    frame = pl.DataFrame(table.x_NF, schema=list(table.names_F))
    yes = frame.with_columns(OB_Bullish=pl.col("OB_Bullish") > 0)
    one = frame.with_columns(OB_Bullish=(pl.col("OB_Bullish") > 0).cast(pl.UInt8))
    wanted = deployed.predict_proba("EURUSD", one)
    for given_ in (yes, yes.to_pandas(), yes.to_dict(), one.to_pandas()):
        assert (deployed.predict_proba("EURUSD", given_) == wanted).all()
    assert np.isfinite(deployed.predict_proba("EURUSD", table.x_NF.astype(np.int64))).all()


def test_decimals_are_the_numbers_that_they_were_trained_on_as(deployed, tables):
    table = tables["EURUSD"]
    frame = pl.DataFrame(table.x_NF, schema=list(table.names_F))
    decimals = frame.with_columns(pl.col("RSI").cast(pl.Decimal(20, 6)))
    assert decimals["RSI"].dtype == pl.Decimal(20, 6)
    wanted = deployed.predict_proba("EURUSD", decimals.cast(pl.Float64))
    assert (deployed.predict_proba("EURUSD", decimals) == wanted).all()


@given(order=st.permutations(range(57)))
def test_columns_are_taken_by_name_in_any_order(deployed, tables, order):
    table = tables["EURUSD"]
    wanted = deployed.predict_proba("EURUSD", table.x_NF)
    columns = {table.names_F[f]: table.x_NF[:, f] for f in order} | {"extra": table.label_N}
    for features in (columns, pl.DataFrame(columns), pd.DataFrame(columns), table.to_frame()):
        assert (deployed.predict_proba("EURUSD", features) == wanted).all()
    single = {name: column[3] for name, column in columns.items()}
    assert (deployed.predict_proba("EURUSD", single) == wanted[3]).all()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda frame: frame.drop("RSI", "atr"), "EURUSD: no column atr, RSI; found OB_Bullish, "),
        (lambda frame: frame.with_columns(RSI=pl.lit("x")), "EURUSD, column RSI: holds no numbers"),
        (lambda frame: frame.with_columns(RSI=None), "EURUSD: row 0, feature RSI is nan, expected"),
        (lambda frame: frame.with_columns(RSI=pl.lit("1.5")), "EURUSD, column RSI: holds no numbe"),
        (
            lambda frame: frame.with_columns(RSI=pl.date(2024, 1, 1)),
            "EURUSD, column RSI: holds no ",
        ),
        (
            lambda frame: frame.with_columns(RSI=pl.duration(days=1)),
            "EURUSD, column RSI: holds no ",
        ),
        (lambda frame: {**frame.to_dict(), "RSI": [None, 1.0]}, "EURUSD, column RSI: holds no num"),
        (
            lambda frame: {**frame.to_dict(), "RSI": frame["RSI"].to_numpy() + 0j},
            "EURUSD, column RSI: holds ",
        ),
        (lambda frame: twice(frame, "RSI", "atr"), "EURUSD: column atr, RSI twice; nobody knows "),
        (lambda frame: frame.to_numpy().astype(str), "EURUSD: holds no numbers: its dtype is <U"),
        (lambda frame: frame.to_numpy().astype(object), "EURUSD: holds no numbers: its dtype is o"),
        (lambda frame: frame.to_numpy() > 0, "EURUSD: holds no numbers: its dtype is bool, expec"),
        (lambda frame: frame.to_numpy() + 0j, "EURUSD: holds no numbers: its dtype is complex128"),
        (
            lambda frame: frame.to_numpy().astype("M8[s]"),
            "EURUSD: holds no numbers: its dtype is d",
        ),
        (lambda frame: frame.to_pandas().to_records(), "EURUSD: holds no numbers: its dtype is "),
        (lambda frame: np.ma.masked_less(frame.to_numpy(), 1e9), "EURUSD: row 0, feature atr is n"),
        (lambda frame: [[1.0], [1.0, 2.0]], "EURUSD: holds no numbers: setting an array element "),
        (
            lambda frame: None,
            "EURUSD: holds no numbers: its dtype is object, expected float or int",
        ),
        (lambda frame: frame.to_numpy()[:, 1:], "EURUSD: features of shape (143, 56) were given"),
        (lambda frame: frame.to_numpy()[0], "EURUSD: features of shape (57,) were given, expected"),
        (lambda frame: {**frame.to_dict(), "RSI": [1.0]}, "EURUSD: column RSI has shape (1,), atr"),
    ],
)
def test_features_that_do_not_fit_are_refused_in_one_line(deployed, tables, spoil, sentence):
    table = tables["EURUSD"]
    frame = pl.DataFrame(table.x_NF, schema=list(table.names_F))
    with pytest.raises(DataError) as refused:
        deployed.predict_proba("EURUSD", spoil(frame))
    assert str(refused.value).startswith(sentence.replace("143", str(len(table))))
    assert "\n" not in str(refused.value)


def test_a_net_that_looks_back_asks_for_the_rows_before(deployed, deployment, tables):
    x_NF = tables["GBPUSD"].x_NF
    with pytest.raises(DeploymentError, match=r"^GBPUSD: LSTM looks back 9 rows; give context="):
        deployed.predict_proba("GBPUSD", x_NF[20:])
    with pytest.raises(DeploymentError, match=r"looks back 9 rows \(8 were given\)"):
        deployed.predict_proba("GBPUSD", x_NF[20:], x_NF[12:20])
    model = original_model(deployment, "GBPUSD")
    warm = deployed.predict_proba("GBPUSD", x_NF[20:], x_NF[:20])
    assert (warm == model.predict_proba(x_NF[20:], x_NF[11:20])).all()
    assert np.allclose(warm, model.predict_proba(x_NF)[20:], atol=1e-6)
    cold = deployed.predict_proba("GBPUSD", x_NF, allow_cold_start=True)
    assert (cold == model.predict_proba(x_NF)).all()
