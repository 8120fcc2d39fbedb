"""Small manifests with a council and with a net, and one server for the tests that only ask."""

import shutil

import pytest

from exits.exit_model import save_exit_model
from tests.exits.exit_models import model
from tests.live.service.served import EDGE, N_BARS, served
from tests.pipelines.conftest import DEMO, LENIENT, ONE_FOREST, TINY, trained, write_bars

NULLS = ("~null_models.logistic", "~null_models.majority")
SEALED = ("tracking=none", "deploy.holdout=sealed", "data.cache=null")


@pytest.fixture(scope="session")
def councils(tmp_path_factory):
    """A deploy folder: a council of EURUSD, and GBPUSD, which has no signal."""
    folder = tmp_path_factory.mktemp("councils")
    for symbol, edge in (("EURUSD", EDGE), ("GBPUSD", 0.0)):
        write_bars(folder, symbol, N_BARS, edge=edge)
    data = ("debug=smoke", "symbols=null", "data=bars", f"data.dir={folder}")
    few = (*ONE_FOREST, "split.min_development_rows=50")
    found = trained(folder, *data, *few, *SEALED)
    assert found.manifest["selections"]["EURUSD"]["selected_model"] == "Council"
    return folder / "deploy"


@pytest.fixture(scope="session")
def lstm(tmp_path_factory):
    """The manifest of a model that looks back."""
    folder = tmp_path_factory.mktemp("lstm")
    others = ("random_forest", "xgboost", "mlp", "council")
    alone = [*(f"~models.{name}" for name in others), *NULLS]
    found = trained(folder, *TINY, *LENIENT, *DEMO, *alone, "symbols=[EURUSD]", *SEALED)
    assert found.manifest["selections"]["EURUSD"]["selected_model"] == "LSTM"
    return folder / "deploy" / "manifest.json"


@pytest.fixture
def manifest(councils, tmp_path):
    """A copy of the councils' deploy folder: the manifest's path."""
    shutil.copytree(councils, tmp_path / "deploy")
    return tmp_path / "deploy" / "manifest.json"


@pytest.fixture(scope="session")
def exit_model(tmp_path_factory):
    """The folder of an exit model."""
    folder = tmp_path_factory.mktemp("exits")
    save_exit_model(folder, model())
    return folder


@pytest.fixture(scope="session")
def server(councils, exit_model):
    """A server with a key, for the tests that change nothing."""
    given = (f"exit_model={exit_model}", "most_body_bytes=2000000", "body_timeout_s=1.0")
    with served(councils / "manifest.json", *given, key="secret") as running:
        yield running.ready()
