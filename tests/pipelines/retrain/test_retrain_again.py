"""Retrainings that are given again: after a kill, a rollback, or for another challenger."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from pipelines import retrain_outcomes, retrain_run, retrain_training
from selection.challenger_state import read_state
from selection.challenges import Challenges
from selection.deploy_history import live_sha256, read_history
from tests.pipelines.conftest import COUNCIL_ALONE, LENIENT, command, environment
from tests.pipelines.retrain.conftest import (
    BAD,
    BEGINS,
    ENOUGH,
    EURUSD,
    FEW,
    FOREST,
    alarm,
    challenger,
    entries,
    overrides,
    rolled_back,
)
from tests.servers import until


@pytest.mark.parametrize("broken", ["record", "adopt", "moved_aliases", "write_state"])
def test_killed_at_any_step_and_started_again_it_comes_to_the_same_end(
    waits, again, monkeypatch, broken
):
    calls, moved = [], []

    def dies(*given, **more):
        calls.append(broken)
        raise KeyboardInterrupt

    monkeypatch.setattr(retrain_run, "moved_aliases", lambda *given: moved.append(given) or [])
    place = {"record": Challenges, "write_state": retrain_outcomes}.get(broken, retrain_run)
    made = challenger(waits).read_bytes()
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(place, broken, dies)
        again(waits, *EURUSD, ENOUGH)
    assert len(calls) == 1
    moved.clear()
    assert again(waits, *EURUSD, ENOUGH).code == 0
    assert challenger(waits).read_bytes() == made
    assert entries(waits)["EURUSD"]["selected_model"] == "Council"
    assert read_state(waits, "EURUSD").status == "adopted"
    assert [list(given[-1]) for given in moved] == [["EURUSD"]]
    assert len(Challenges(waits).recorded()) == 1
    assert [one.action for one in read_history(waits).deployments] == ["train", "retrain"]


def test_one_that_was_rolled_back_before_it_was_written_down_is_not_adopted_again(
    waits, again, monkeypatch
):
    def dies(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(retrain_outcomes, "write_state", dies)
        again(waits, *EURUSD, ENOUGH)
    rolled_back(waits)
    assert "It was adopted, and was rolled back; renew=true" in again(waits, *EURUSD, ENOUGH).said
    assert entries(waits)["EURUSD"]["selected_model"] == "RandomForest"


@pytest.mark.parametrize("called", [(), EURUSD], ids=["by its alarm", "by hand"])
def test_what_was_rolled_back_is_not_adopted_again_on_the_old_verdict(
    adopted, again, tmp_path, called
):
    shutil.copytree(adopted.live.parent, tmp_path / "deploy")
    live = tmp_path / "deploy" / "manifest.json"
    rolled_back(live)
    was = live.read_bytes()
    done = again(live, *called, ENOUGH)
    assert "was adopted, and was rolled back; renew=true trains another" in done.said
    assert live.read_bytes() == was


def test_each_training_has_a_manifest_of_its_own_whatever_was_trained_before(
    live, again, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    small = (*BEGINS, "data.n_bars=9500", *COUNCIL_ALONE, FEW, "renew=true", "output_dir=null")
    made = []
    for cut in ("2011-06-01", "2011-06-19", "2011-06-01"):
        again(live, "symbols=[EURUSD]", f"until={cut}", *small)
        state = read_state(live, "EURUSD")
        assert f"{state.trained_until:%Y-%m-%d}" == cut
        assert live_sha256(challenger(live)) == state.manifest_sha256
        made.append((state.manifest_sha256, entries(challenger(live))["EURUSD"]))
    (first, one), (_, other), (last, same) = made
    assert one["artifacts"] == same["artifacts"] != other["artifacts"]
    assert first != last
    assert len(list((live.parent / "challengers" / "EURUSD").glob("2*"))) == 1


def test_an_alarm_is_answered_once_unless_another_answer_is_asked_for(knowing, again):
    alarm(knowing, at="2011-02-01T00:00:00+00:00")
    again(knowing, *BAD, ENOUGH)
    first = read_state(knowing, "EURUSD")
    asked_again = again(knowing, *BAD, ENOUGH)
    assert "the challenger of this alarm was dismissed; renew=true" in asked_again.said
    assert read_state(knowing, "EURUSD") == first
    again(knowing, *BAD, ENOUGH, "renew=true")
    renewed = read_state(knowing, "EURUSD")
    assert renewed.status == "waiting"
    assert renewed.trained_until > first.trained_until


def test_events_that_have_judged_are_not_used_again(knowing, again):
    given = ("symbols=[EURUSD]", "until=2011-02-01", *BAD, ENOUGH)
    again(knowing, *given, "data.n_bars=9500")
    waits = again(knowing, *given, "data.n_bars=9700", "renew=true")
    assert "Waits for later events" in waits.said
    again(knowing, *given, "data.n_bars=14000")
    first, second = Challenges(knowing).recorded()
    assert second.from_utc > first.until_utc


def test_training_that_was_cut_off_goes_on_to_where_it_was_to_learn(live, again, monkeypatch):
    def dies(run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(retrain_training.TrainingRun, "run", dies)
        with suppress(KeyboardInterrupt):
            again(live, "symbols=[EURUSD]", FEW)
    cut = read_state(live, "EURUSD")
    assert cut.status == "training"
    again(live, "symbols=[EURUSD]", FEW, *BEGINS, "data.n_bars=14100", *COUNCIL_ALONE)
    assert read_state(live, "EURUSD").trained_until == cut.trained_until


def test_a_process_that_is_killed_in_training_leaves_what_the_same_command_goes_on_from(
    live, tmp_path
):
    slow = ("models.random_forest.n_estimators=400", *LENIENT, *FOREST)
    small = (*BEGINS, "data.n_bars=9500", "data.cache=null", *slow)
    given = overrides(live, "symbols=[EURUSD]", *small, FEW)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.retrain", *given],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    units = tmp_path / "runs" / "EURUSD" / "units"
    try:
        until(lambda: any(units.glob("*/*")), "a first fit", process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    cut = read_state(live, "EURUSD")
    assert cut.status == "training"
    done = command("retrain", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resuming: " in done.stdout
    state = read_state(live, "EURUSD")
    assert (state.status, state.folder) == ("waiting", cut.folder)
    assert state.trained_until == cut.trained_until
