"""Two symbols with a small model each, deployed as a manifest with its files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from market.build import build_event_table
from market.definitions import definition_of
from market.simulate import SimulatedMarket
from models import store
from models.lstm import LSTM
from models.monitor import TrainingMonitor
from models.random_forest import RandomForest
from selection import DeployedModels, ModelSelector
from selection.manifest import store_artifacts

CONF = Path(__file__).parents[2] / "conf"
SELECTED = {"test_accuracy": 0.6, "train_val_gap": 0.1, "reason": "best", "alternatives": []}
KINDS = {
    "EURUSD": ("random_forest", RandomForest, {"n_estimators": 40}),
    "GBPUSD": ("lstm", LSTM, {"hidden": 4, "max_epochs": 1}),
}


def declared(group, name):
    return yaml.safe_load((CONF / group / f"{name}.yaml").read_text())


def definition():
    return {"features": declared("features", "smc"), "events": declared("events", "smc")}


def fitted(name, kind, table, **changes):
    model = kind(**{**declared("model", name), **changes})
    rows = table.samples()
    fit, held = rows.take(slice(0, 80)), rows.take(slice(80, None))
    held = held if model.stops_early(80) else None
    limits = declared("monitor", "default")
    model.fit(fit, held, rng=np.random.default_rng(0), monitor=TrainingMonitor(**limits))
    return model


def selected(folder, symbol, model, names_F):
    model.save(folder / symbol)
    return {
        **SELECTED,
        "selected_model": model.name,
        "artifacts": store_artifacts(folder / symbol, folder / "deploy", symbol, model.name),
        "features": {"names": list(names_F), "digest": "0" * 64, "definition": definition()},
        "label": declared("labels", "triple_barrier"),
        "decision_threshold": 0.5,
    }


@pytest.fixture(scope="session")
def market():
    return {symbol: SimulatedMarket(n_bars=2500, edge=0.15).bars(symbol, 7) for symbol in KINDS}


@pytest.fixture(scope="session")
def tables(market):
    made = definition_of(definition(), declared("labels", "triple_barrier"))
    parts = {"features": made.features, "events": made.events, "labels": made.labels}
    return {symbol: build_event_table(bars, **parts) for symbol, bars in market.items()}


@pytest.fixture(scope="session")
def deployment(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    selections = {"USDJPY": {"selected_model": None, "reason": "No signal", "action": "REVIEW"}}
    for symbol, (name, kind, changes) in KINDS.items():
        model = fitted(name, kind, tables[symbol], **changes)
        selections[symbol] = selected(folder, symbol, model, tables[symbol].names_F)
    path = folder / "deploy" / "manifest.json"
    ModelSelector().save_deployment_manifest(selections, path, provenance={"run_id": "r1"})
    return path


@pytest.fixture(scope="session")
def onnx_deployment(deployment, tmp_path_factory):
    """The same models, each with its ONNX form: the manifest's path."""
    folder = tmp_path_factory.mktemp("onnx")
    manifest = json.loads(deployment.read_text())
    for symbol in KINDS:
        entry, model = manifest["selections"][symbol], original_model(deployment, symbol)
        model.save(folder / symbol)
        (folder / symbol / "model.onnx").write_bytes(model.to_onnx())
        files = store_artifacts(folder / symbol, folder / "deploy", symbol, model.name)
        (path,) = (one["path"] for one in files if one["path"].endswith(".onnx"))
        named = {"path": path, "input": "features", "output": "probabilities", "shape": [None, 57]}
        entry |= {"artifacts": files, "onnx": {**named, "lookback_rows": model.context_rows}}
    path = folder / "deploy" / "manifest.json"
    ModelSelector().save_deployment_manifest(manifest["selections"], path)
    return path


@pytest.fixture(scope="session")
def deployed(deployment):
    return DeployedModels.from_manifest(deployment)


@pytest.fixture
def copied(deployment, tmp_path):
    """A copy to spoil: the manifest's path."""
    shutil.copytree(deployment.parent, tmp_path / "deploy")
    return tmp_path / "deploy" / deployment.name


@pytest.fixture
def onnx_copied(onnx_deployment, tmp_path):
    """A copy with ONNX forms to spoil: the manifest's path."""
    shutil.copytree(onnx_deployment.parent, tmp_path / "deploy")
    return tmp_path / "deploy" / onnx_deployment.name


def weights_of(path, symbol="EURUSD"):
    entries = json.loads(path.read_text())["selections"][symbol]["artifacts"]
    return path.parent / next(one["path"] for one in entries if "safetensors" in one["path"])


def edited(path, change, symbol="EURUSD"):
    manifest = json.loads(path.read_text())
    change(manifest["selections"][symbol])
    path.write_text(json.dumps(manifest))


def original_model(deployment, symbol):
    return store.load_model(weights_of(deployment, symbol).parent)
