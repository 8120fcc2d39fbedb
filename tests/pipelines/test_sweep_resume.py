"""Sweeps that are killed, and sweeps that several processes share."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.pipelines.conftest import environment
from tests.servers import Postgres, until
from training.tuning.storage import open_journal, opened_database

SMALL = (
    *("debug=quick", "symbols=[EURUSD,GBPUSD]", "data.n_bars=3000", "data.cache=null"),
    *("sweep.models=[xgboost]", "execution.workers=2"),
)
LONG = (*SMALL, "sweep.n_trials=24")


def begun(folder, *overrides):
    """Start a sweep in a process, and a process group, of its own."""
    given = [f"output_dir={folder}/out", f"manifest.path={folder}/deploy/manifest.json"]
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.sweep", *given, *overrides],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process):
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 0, printed
    return printed


def found(folder):
    return json.loads((folder / "out" / "tuned.json").read_text())["studies"]


def trials(storage):
    """Return by study what was tried and what came of it, those that were tried again once."""
    import optuna

    kept = {}
    for one in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=one, storage=storage)
        kept[one] = [
            (json.dumps(trial.params, sort_keys=True), trial.value, trial.state.name)
            for trial in study.get_trials(deepcopy=False)
            if trial.state.name != "FAIL"
        ]
    return kept


def journal(folder):
    return open_journal(folder / "out" / "journal.log")


def n_ended(folder):
    path = folder / "out" / "journal.log"
    return path.read_text().count('"values"') if path.exists() else 0


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiet")
    ended(begun(folder, *LONG))
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Return the folder of a sweep that was killed three times, and what the last start printed."""
    folder = tmp_path_factory.mktemp("killed")
    for after in (4, 14, 30):
        process = begun(folder, *LONG)
        until(lambda: n_ended(folder) >= after, "the sweep", process)  # noqa: B023 - called at once
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return folder, ended(begun(folder, *LONG))


def test_a_killed_sweep_makes_the_trials_of_an_undisturbed_one(killed, quiet):
    made, expected = trials(journal(killed[0])), trials(journal(quiet))
    assert {name: sorted(map(str, one)) for name, one in made.items()} == {
        name: sorted(map(str, one)) for name, one in expected.items()
    }
    assert all(len(one) == 24 for one in made.values())


def test_a_killed_sweep_finds_what_an_undisturbed_one_finds(killed, quiet):
    passing = ("best_trial",)
    made, expected = (
        {
            name: {key: one for key, one in models["XGBoost"].items() if key not in passing}
            for name, models in found(folder).items()
        }
        for folder in (killed[0], quiet)
    )
    assert made == expected
    assert set(made) == {"EURUSD", "GBPUSD"}


@pytest.mark.usefixtures("heeds_interrupts")
def test_an_interrupted_sweep_says_how_to_go_on_and_leaves_nothing_running(tmp_path):
    process = begun(tmp_path, *SMALL, "sweep.n_trials=500")
    until(lambda: n_ended(tmp_path) >= 5, "the sweep", process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 130, printed
    assert "interrupted; trials that have ended are kept" in printed
    assert "RUNNING" not in {
        state for one in trials(journal(tmp_path)).values() for *_, state in one
    }


@pytest.fixture(scope="module")
def database():
    server = Postgres()
    server.start()
    yield server
    server.remove()


def shared(database, *more):
    return (*SMALL, f"sweep.storage={database.uri}", "sweep.n_trials=16", *more)


def test_two_processes_share_the_trials_of_a_study(database, tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    for one in [begun(folder, *shared(database)) for folder in folders]:
        ended(one)
    with opened_database(database.uri, 1) as storage:
        made = trials(storage)
    # Who asks at the same moment as the other may make one more each.
    assert all(16 <= len(one) <= 18 for one in made.values())
    assert len(made) == 2
    verdicts = [found(folder) for folder in folders]
    assert verdicts[0] == verdicts[1]


def test_the_trials_of_a_process_that_was_killed_are_made_by_the_other(database, tmp_path):
    given = shared(database, "seed=9", "sweep.heartbeat_s=1", "execution.workers=1")
    (tmp_path / "dies").mkdir()
    (tmp_path / "lives").mkdir()
    dies = begun(tmp_path / "dies", *given)
    running = "select count(*) from trials natural join trial_heartbeats where state = 'RUNNING'"
    until(lambda: _count(database, running) > 0, "a trial", dies)
    os.killpg(dies.pid, signal.SIGKILL)
    dies.communicate()
    assert _count(database, running) > 0
    ended(begun(tmp_path / "lives", *given))
    assert _count(database, running) == 0
    kept = found(tmp_path / "lives")
    assert {sum(one["XGBoost"]["trials"].values()) for one in kept.values()} == {16}


def _count(database, query):
    import psycopg

    try:
        return database.rows(query)[0][0]
    except psycopg.errors.UndefinedTable:
        return 0
