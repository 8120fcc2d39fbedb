"""A server on PostgreSQL that is killed while models are trained: nothing is lost or doubled."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from tests.pipelines.conftest import LENIENT, TINY, command, environment, places
from tests.servers import mlflow_server, postgres, until

KINDS = {
    "runs": "SELECT {name} FROM runs AS r WHERE {alive}",
    "metrics": "SELECT {name}, m.key, m.step, {value} FROM runs AS r JOIN metrics AS m "
    "ON m.run_uuid = r.run_uuid WHERE {alive}",
    "params": "SELECT {name}, p.key, p.value FROM runs AS r JOIN params AS p "
    "ON p.run_uuid = r.run_uuid WHERE {alive}",
    "verdicts": "SELECT {name}, t.value FROM runs AS r JOIN tags AS t "
    "ON t.run_uuid = r.run_uuid AND t.key = 'verdict' WHERE {alive}",
    "models": "SELECT m.name FROM logged_models AS m WHERE m.lifecycle_stage = 'active'",
    "aliases": "SELECT a.name, t.value FROM registered_model_aliases AS a "
    "JOIN model_version_tags AS t ON t.name = a.name AND t.version = a.version "
    "AND t.key = 'model'",
    "versions": "SELECT v.name, t.value FROM model_versions AS v JOIN model_version_tags AS t "
    "ON t.name = v.name AND t.version = v.version AND t.key = 'model' "
    "WHERE v.current_stage <> 'Deleted_Internal'",
}
PARTS = {
    # The parent's name holds the time.
    "{name}": "CASE WHEN r.name LIKE '%selected%' OR r.name LIKE '%symbols%' "
    "THEN 'parent' ELSE r.name END",
    "{value}": "CASE WHEN m.key LIKE '%seconds%' THEN 0 ELSE m.value END",
    "{alive}": "r.lifecycle_stage = 'active'",
}
ALL_RUNS = "SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"
# As many as are told before the servers are killed, and before they are killed again.
FIRST, SECOND = 3, 9


def contents(rows):
    """Return all that a store holds of each kind, sorted, twice what is there twice."""
    found = {}
    for kind, query in KINDS.items():
        for part, text in PARTS.items():
            query = query.replace(part, text)
        found[kind] = sorted(map(tuple, rows(query)))
    return found


def waiting(folder):
    return len(list((folder / "mlruns" / "queue").glob("*/*/0*")))


def killed(database, server):
    server.kill()
    database.kill()


@pytest.fixture(scope="module")
def outage(tmp_path_factory):
    """A run whose servers are killed, come back while it goes on, and are killed once more."""
    folder = tmp_path_factory.mktemp("outage")
    with postgres() as database, mlflow_server(folder, database.uri) as server:
        given = (*TINY, *LENIENT, *places(folder), "data.cache=null", "execution.workers=1")
        store = ("tracking=server", f"tracking.uri={server.uri}")
        with (folder / "said.txt").open("w") as said:
            run = subprocess.Popen(
                [sys.executable, "-m", "pipelines.train_all", *given, *store],
                cwd=folder,
                env=environment(),
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            until(lambda: len(database.rows(ALL_RUNS)) >= FIRST, "the first models", run)
            killed(database, server)
            until(lambda: waiting(folder) >= 2, "the queue", run)
            # It stands still while the servers start, which takes as long as all its models.
            os.killpg(run.pid, signal.SIGSTOP)
            database.start()
            server.start()
            os.killpg(run.pid, signal.SIGCONT)
            until(lambda: len(database.rows(ALL_RUNS)) >= SECOND, "the models after that", run)
            by_run = contents(database.rows)
            killed(database, server)
            code = run.wait(timeout=120)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
        left = waiting(folder)
        unreachable = command("sync", *store, cwd=folder)
        database.start()
        server.start()
        synced = [command("sync", *store, "format=json", cwd=folder) for _ in range(2)]
        yield SimpleNamespace(
            folder=folder,
            code=code,
            left=left,
            by_run=by_run,
            unreachable=unreachable,
            synced=synced,
            found=contents(database.rows),
            statuses=dict(database.rows(ALL_RUNS)),
        )


@pytest.fixture(scope="module")
def undisturbed(finished):
    with closing(sqlite3.connect(finished.folder / "mlruns" / "mlflow.db")) as store:
        return contents(lambda query: store.execute(query).fetchall())


def test_a_store_that_is_killed_twice_ends_as_one_that_never_was(outage, undisturbed, capsys):
    lines = [f"{'':10}{'expected':>10}{'delivered':>10}{'by sync':>10}{'twice':>8}{'lost':>6}"]
    for kind, wanted in undisturbed.items():
        found, early = outage.found[kind], outage.by_run[kind]
        twice, lost = len(found) - len(set(found)), len(set(wanted) - set(found))
        lines.append(
            f"{kind:10}{len(wanted):10}{len(found):10}{len(found) - len(early):10}{twice:8}{lost:6}"
        )
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert outage.found == undisturbed


def test_the_run_itself_ends_well_and_says_what_waits(outage):
    said = (outage.folder / "said.txt").read_text()
    assert outage.code == 0, said
    assert outage.left > 0
    # Once when the servers went, whatever came after.
    assert said.count("tracking waits on disk") == 1
    assert "cannot be reached" in said
    assert f"{outage.left} records wait in" in said


def test_sync_says_that_the_store_is_away_then_delivers_and_then_has_nothing_to_do(outage):
    assert outage.unreachable.returncode == 1, outage.unreachable.stderr
    assert "cannot be reached (connection refused)" in outage.unreachable.stdout
    first, second = (json.loads(one.stdout) for one in outage.synced)
    assert [one.returncode for one in outage.synced] == [0, 0]
    assert (first["delivered"], first["waiting"]) == (outage.left, 0)
    assert (second["delivered"], second["sessions"], second["set_aside"]) == (0, [], [])


def test_nothing_is_left_running_or_waiting(outage):
    assert set(outage.statuses.values()) == {"FINISHED"}
    assert waiting(outage.folder) == 0
    (queue,) = (outage.folder / "mlruns" / "queue").iterdir()
    assert list(queue.iterdir()) == []
