"""One run over all that is broken, beside good symbols, for bars and for tables.

Made once, however many processes share the tests: what is made lies in a file that each reads.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from tests.broken_inputs.ended import ended
from tests.broken_inputs.rows import bars, table, table_text, text
from tests.broken_inputs.said import FILES, all_said, write
from tests.pipelines.conftest import trained, written

QUICK = ("debug=smoke", "symbols=null", "tracking=none", "~models.mlp", "~models.lstm")
GOOD = ("EURUSD", "GBPUSD")
# XGBoost has a mind of its own about the names of features.
FEW = {"bars": ("~models.xgboost",), "table": ("~models.random_forest",)}


@pytest.fixture(scope="session")
def said(once):
    """Return what is said of each case, by kind and name."""
    return once("said", all_said)


@pytest.fixture(scope="session")
def bar_run(once):
    return as_run(once("bars", lambda place: run_over("bars", place) | inspected(place)))


@pytest.fixture(scope="session")
def table_run(once):
    return as_run(once("table", lambda place: run_over("table", place)))


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """Return a function that makes what JSON can hold in a folder, in one of all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def made(name, make):
        kept = shared / f"broken_{name}.json"
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                place = shared / f"broken_{name}"
                place.mkdir()
                kept.write_text(json.dumps(make(place)))
        return json.loads(kept.read_text())

    return made


def run_over(kind, place):
    given, folder = place / "given", place / "run"
    folder.mkdir()
    write([case for case in FILES[kind] if case.joins_others], given)
    for seed, symbol in enumerate(GOOD):
        good = text(bars(2000, seed)) if kind == "bars" else table_text(table(300, seed))
        (given / f"{symbol}.csv").write_text(good)
    changes = ("~null_models.logistic", *FEW[kind], f"data={kind}", f"data.dir={given}")
    run = trained(folder, *QUICK, *changes)
    return {"code": run.code, "printed": run.printed, "place": str(folder)}


def inspected(place):
    arguments = (f"data.dir={place}/given", f"output={place}/found.json")
    code, errors = ended("data", arguments, place)
    found = json.loads((place / "found.json").read_text())
    return {"inspected": [code, errors, {one["symbol"]: one["error"] for one in found}]}


def as_run(made):
    return SimpleNamespace(**made, **written(Path(made["place"])))
