"""No region of any file of any kind of model, nor of a signed manifest, can be changed unseen."""

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models import onnx_model, store
from models.council import Council
from models.mlp import MLP
from models.xgb import XGBoost
from selection import DeployedModels, DeploymentError, ModelSelector, deployed
from selection.signing import SigningKey
from tests.selection.conftest import KINDS, fitted, selected
from tests.selection.keys import write_pair

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
REGIONS = 64
MODELS = {
    **{kind.name: (name, kind, changes) for name, kind, changes in KINDS.values()},
    "XGBoost": ("xgboost", XGBoost, {"n_estimators": 20}),
    "MLP": ("mlp", MLP, {"hidden": [8], "max_epochs": 1}),
    "Council": ("council", Council, {"n_estimators": 10}),
}


@pytest.fixture(scope="module")
def whole(tables, tmp_path_factory):
    """For each kind of model, its saved form and its ONNX form, each as a manifest's path."""
    folder, paths = tmp_path_factory.mktemp("whole"), {}
    for kind, (name, made, changes) in MODELS.items():
        model = fitted(name, made, tables["EURUSD"], **changes)
        for form in ("saved", "onnx"):
            place = folder / f"{kind}-{form}"
            if form == "onnx":
                (place / "EURUSD").mkdir(parents=True)
                (place / "EURUSD" / "model.onnx").write_bytes(model.to_onnx())
            entry = selected(place, "EURUSD", model, tables["EURUSD"].names_F)
            paths[kind, form] = place / "deploy" / "manifest.json"
            ModelSelector().save_deployment_manifest({"EURUSD": entry}, paths[kind, form])
            if form == "onnx":
                _name_onnx(paths[kind, form], model)
    return paths


def _name_onnx(path, model):
    manifest = json.loads(path.read_text())
    entry = manifest["selections"]["EURUSD"]
    (file,) = (one["path"] for one in entry["artifacts"] if one["path"].endswith(".onnx"))
    named = {"path": file, "input": "features", "output": "probabilities", "shape": [None, 57]}
    entry["onnx"] = {**named, "lookback_rows": model.context_rows}
    path.write_text(json.dumps(manifest))


@pytest.fixture
def openers(monkeypatch):
    """Every opener that was called, of every format and of the loaders above them."""
    import onnxruntime
    import safetensors.numpy
    import xgboost

    called = []
    for where, name in (
        (store, "load_model"),
        (onnx_model, "OnnxModel"),
        (safetensors.numpy, "load_file"),
        (xgboost, "Booster"),
        (onnxruntime, "InferenceSession"),
    ):
        really = getattr(where, name)

        def spy(*given, really=really, name=name, **more):
            called.append(name)
            return really(*given, **more)

        monkeypatch.setattr(where, name, spy)
    return called


def regions(content):
    """Return one byte of each of so many parts of a file, the first and the last among them."""
    n_regions = min(REGIONS, len(content))
    return sorted({*np.linspace(0, len(content) - 1, n_regions, dtype=int).tolist()})


def flips(content):
    for at in regions(content):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        yield bytes(changed)


def is_refused(path, **more):
    try:
        DeployedModels.from_manifest(path, **more)
    except DeploymentError:
        return True
    return False


def files_of(path):
    entry = json.loads(path.read_text())["selections"]["EURUSD"]
    return [path.parent / one["path"] for one in entry["artifacts"]]


def counted(whole, kind):
    """Flip a byte in each region of each file of a kind; return files, regions and refusals."""
    path = whole[("RandomForest", "onnx")] if kind == "model.onnx" else whole[kind, "saved"]
    tried = Counter(files=0, regions=0, refused=0)
    for file in files_of(path):
        if kind == "model.onnx" and file.suffix != ".onnx":
            continue
        content = file.read_bytes()
        tried["files"] += 1
        for changed in flips(content):
            file.write_bytes(changed)
            tried["regions"] += 1
            tried["refused"] += is_refused(path)
        file.write_bytes(content)
    return tried


def row(name, tried):
    return f"| {name} | {tried['files']} | {tried['regions']} | {tried['refused']} |"


@pytest.mark.parametrize("kind", [*MODELS, "model.onnx"])
def test_no_region_of_a_file_changes_unseen_and_nothing_is_opened(whole, kind, openers):
    tried = counted(whole, kind)
    assert tried["refused"] == tried["regions"] >= REGIONS
    assert openers == []
    assert row(kind, tried) in PAGE, row(kind, tried)


@pytest.mark.parametrize("kind", MODELS)
def test_unchanged_files_are_opened_and_the_openers_are_seen(whole, kind, openers):
    for form, opener in (("saved", "load_model"), ("onnx", "OnnxModel")):
        models = DeployedModels.from_manifest(whole[kind, form])
        assert opener not in openers
        assert models.lookback_rows("EURUSD") >= 0
        assert opener in openers
    assert "InferenceSession" in openers


@pytest.mark.parametrize("kind", MODELS)
def test_what_changes_after_the_check_is_not_opened_either(whole, kind, openers):
    for form in ("saved", "onnx"):
        path = whole[kind, form]
        needed = [one for one in files_of(path) if form == "saved" or one.suffix == ".onnx"]
        for file in needed:
            models, content = DeployedModels.from_manifest(path), file.read_bytes()
            for changed in (*list(flips(content))[:4], content[:-1], content + b"\0"):
                file.write_bytes(changed)
                with pytest.raises(DeploymentError, match=file.name):
                    models.lookback_rows("EURUSD")
            file.write_bytes(content)
    assert openers == []


def link(file):
    file.rename(file.with_name("moved"))
    file.symlink_to("moved")


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes() + b"\0"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[::-1]),
        Path.unlink,
        link,
        pipe,
        folder,
    ],
    ids=["cut", "grown", "empty", "reversed", "missing", "link", "pipe", "folder"],
)
def test_every_file_must_be_there_whole_and_plain(whole, kind, spoil, openers, tmp_path):
    for n, name in enumerate(files_of(whole[kind, "onnx"])):
        shutil.copytree(whole[kind, "onnx"].parent, tmp_path / str(n))
        path = tmp_path / str(n) / "manifest.json"
        spoil(path.parent / name.relative_to(whole[kind, "onnx"].parent))
        assert is_refused(path), name
    assert openers == []


def test_files_of_one_symbol_do_not_pass_for_those_of_another(copied):
    one, other = (sorted((copied.parent / "artifacts" / name).iterdir())[0] for name in KINDS)
    one.rename(one.with_name("aside"))
    shutil.move(other, one)
    (one.with_name("aside")).rename(other)
    with pytest.raises(DeploymentError) as refused:
        DeployedModels.from_manifest(copied)
    assert {line.split(":")[0] for line in str(refused.value).split("\n")} == set(KINDS)


def test_no_region_of_a_signed_manifest_changes_unseen_and_nothing_is_parsed(
    copied, tmp_path, monkeypatch
):
    pytest.importorskip("model_signing")
    key = write_pair(tmp_path, "key")
    public, content = key.with_suffix(".pub"), copied.read_bytes()
    selections = json.loads(content)["selections"]
    ModelSelector().save_deployment_manifest(selections, copied, key=SigningKey(key))
    assert DeployedModels.from_manifest(copied, public_key=public).symbols
    parsed = []
    monkeypatch.setattr(deployed, "parsed_manifest", lambda *given: parsed.append(given))
    tried, content = Counter(files=1, regions=0, refused=0), copied.read_bytes()
    for changed in (*flips(content), content[:-1], content + b"\n"):
        copied.write_bytes(changed)
        tried["regions"] += 1
        tried["refused"] += is_refused(copied, public_key=public)
    assert tried["refused"] == tried["regions"] == REGIONS + 2
    assert parsed == []
    tried.update(regions=-2, refused=-2)
    assert row("manifest, signed", tried) in PAGE


def test_the_page_shows_a_row_for_every_kind():
    rows = re.findall(r"^\| (.+) \| \d+ \| (\d+) \| (\d+) \|$", PAGE, flags=re.MULTILINE)
    assert {name for name, _, _ in rows} == {*MODELS, "model.onnx", "manifest, signed"}
    assert all(regions == refused for _, regions, refused in rows)
