"""Champions on simulated markets that become others, and what trains and judges challengers."""

import copy
import io
import json
import shutil
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from live.drift_report import DriftReport, SymbolDrift, write_drift
from pipelines import retrain_run
from pipelines.deploy import deploy
from pipelines.deploy_settings import Order
from pipelines.retrain import retrain
from selection.challenger_state import challenger_manifest, read_state
from selection.deploy_history import live_sha256
from tests.pipelines.conftest import (
    COUNCIL_ALONE,
    LENIENT,
    ONE_FOREST,
    _composed,
    composed,
    lines_shown,
    trained,
)

QUICK = ("debug=smoke", "tracking=none")
FOREST = (*ONE_FOREST, "~models.council")
# A market without any edge, which gets a strong one after the champions were trained.
BEGINS = ("data=changing", "data.changes_at=4000", "data.edge=0", "data.edge_after=0.6")
# The other way round.
ENDS = ("data=changing", "data.changes_at=6000", "data.edge=0.6", "data.edge_after=0")
UNTIL = "until=2011-06-19"  # after 9,000 bars
EURUSD = ("symbols=[EURUSD]", UNTIL)
ENOUGH, FEW = "challenge.min_events=100", "challenge.min_events=5000"
# A challenger that has learnt next to nothing of a market with a strong edge.
BAD = (
    *("data=demo", "data.edge=0.6", "data.n_bars=12000", "models.random_forest.max_depth=1"),
    *(*LENIENT, *FOREST),
)
NEW = (*BEGINS, "data.n_bars=14000", *COUNCIL_ALONE)


def overrides(live, *more):
    places = (f"manifest.path={live}", f"output_dir={live.parent.parent}/runs")
    return (*places, *QUICK, "symbols=null", *more)


def retrain_again(live, *more):
    """Retrain in this process; return exit code and what was printed last, the table and after."""
    named = any(one.startswith("data=") for one in more)
    given = overrides(live, *(() if named else NEW), *more)
    printed = io.StringIO()
    with redirect_stdout(printed), lines_shown():
        code = retrain(composed(*given, config_name="retrain"))
    said = " ".join(printed.getvalue().split())
    return SimpleNamespace(code=code, said=said[max(0, said.rfind("Challengers")) :])


@pytest.fixture
def again():
    return retrain_again


@pytest.fixture(scope="session")
def untaught(tmp_path_factory):
    """Forests that were chosen on noise, of two symbols: the folder of their manifest."""
    folder = tmp_path_factory.mktemp("untaught")
    data = ("symbols=[EURUSD,GBPUSD]", "data=demo", "data.n_bars=4000", "data.edge=0")
    trained(folder, *QUICK, *data, *LENIENT, *FOREST)
    return folder / "deploy"


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    """A council that knows a strong edge: the folder of its manifest."""
    folder = tmp_path_factory.mktemp("taught")
    data = ("symbols=[EURUSD]", "data=demo", "data.n_bars=6000", "data.edge=0.6")
    trained(folder, *QUICK, *data, *COUNCIL_ALONE)
    return folder / "deploy"


@pytest.fixture
def live(untaught, tmp_path):
    shutil.copytree(untaught, tmp_path / "deploy")
    return tmp_path / "deploy" / "manifest.json"


@pytest.fixture
def knowing(taught, tmp_path):
    shutil.copytree(taught, tmp_path / "deploy")
    return tmp_path / "deploy" / "manifest.json"


@contextmanager
def telling():
    """Yield the alerts that are sent meanwhile."""
    sent = []
    kept = SimpleNamespace(send=sent.append, close=lambda: None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retrain_run, "alerts", lambda conf: kept)
        yield sent


@pytest.fixture
def told():
    with telling() as sent:
        yield sent


def entries(live):
    return json.loads(live.read_text())["selections"]


def challenger(live, symbol="EURUSD"):
    """Return the manifest of a symbol's challenger."""
    return challenger_manifest(live, read_state(live, symbol))


def digests(live, symbol):
    folder = live.parent / "artifacts" / symbol
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def alarm(live, at="2011-06-19T00:00:00+00:00", **symbols):
    """Write a report of drift in which the named symbols are as told, EURUSD has tripped."""
    found = {
        "EURUSD": SymbolDrift(status="tripped", tripped_at=at, reasons=("it lost",)),
        "GBPUSD": SymbolDrift(status="stable"),
        **symbols,
    }
    report = DriftReport(
        timestamp=datetime.now(UTC), manifest_sha256=live_sha256(live), symbols=found
    )
    write_drift(live.with_name("drift.json"), report)


@pytest.fixture(scope="session")
def adopted(untaught, tmp_path_factory):
    """What the answer to an alarm of EURUSD left: the manifest, what was printed and told."""
    folder = tmp_path_factory.mktemp("adopted") / "deploy"
    shutil.copytree(untaught, folder)
    live = folder / "manifest.json"
    alarm(live)
    with telling() as sent:
        done = retrain_again(live, ENOUGH)
    return SimpleNamespace(live=live, done=done, sent=sent)


@pytest.fixture(scope="session")
def with_challengers(untaught, tmp_path_factory):
    """Challengers of both symbols that wait to be judged, and what was said and told of them."""
    folder = tmp_path_factory.mktemp("with_challengers") / "deploy"
    shutil.copytree(untaught, folder)
    live = folder / "manifest.json"
    with telling() as sent:
        done = retrain_again(live, "symbols=[EURUSD,GBPUSD]", UNTIL, FEW)
    return SimpleNamespace(live=live, done=done, sent=sent)


@pytest.fixture
def waits(with_challengers, tmp_path):
    """A copy of them: the path of the live manifest."""
    shutil.copytree(with_challengers.live.parent, tmp_path / "deploy")
    return tmp_path / "deploy" / "manifest.json"


def rolled_back(live):
    """Bring back what was live before."""
    conf = copy.deepcopy(_composed("deploy", (f"manifest={live}", "tracking=none")))
    assert deploy(conf, Order("rollback")) == 0


def rewritten(live, symbol, **entries):
    """Change keys of a symbol's entry in a manifest, as another command may have."""
    manifest = json.loads(live.read_text())
    manifest["selections"][symbol] |= entries
    live.write_text(json.dumps(manifest, indent=2))
