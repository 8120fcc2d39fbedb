"""What fails is one symbol's own affair, is named, and leaves what was there."""

from types import SimpleNamespace

import pytest
from filelock import FileLock

from live.drift_report import SymbolDrift
from pipelines import retrain_run, retrain_training
from pipelines.command import NOTHING_TRAINED, ConfigError
from selection.challenger_state import FILE, challenger_folder, read_state
from selection.deployed_files import DeploymentError
from tests.pipelines.conftest import COUNCIL_ALONE
from tests.pipelines.retrain.conftest import BEGINS, ENOUGH, EURUSD, alarm, entries

BOTH = ("symbols=[EURUSD,GBPUSD]", "until=2011-06-19")


def test_a_symbol_that_fails_is_named_and_the_others_go_on(live, again):
    tripped = SymbolDrift(status="tripped", tripped_at="2010-01-05T00:00:00+00:00")
    alarm(live, GBPUSD=tripped)
    done = again(live, ENOUGH)
    assert done.code == 3
    assert "GBPUSD: no challenger could be trained" in done.said
    assert "EURUSD: Better on" in done.said
    assert read_state(live, "GBPUSD").status == "dismissed"


@pytest.fixture
def nothing_trained(monkeypatch):
    """As if every model failed."""
    monkeypatch.setattr(retrain_training.TrainingRun, "run", lambda run: NOTHING_TRAINED)


def test_a_training_that_failed_is_dismissed_and_the_next_learns_from_later_bars(
    live, again, nothing_trained, told
):
    failed = again(live, "symbols=[EURUSD]", *BEGINS, "data.n_bars=8000", *COUNCIL_ALONE)
    assert "EURUSD: no challenger could be trained: every model failed" in failed.said
    first = read_state(live, "EURUSD")
    assert (failed.code, first.status) == (1, "dismissed")
    assert first.reason.startswith("no challenger could be trained")
    again(live, "symbols=[EURUSD]", *BEGINS, "data.n_bars=8100", *COUNCIL_ALONE)
    assert read_state(live, "EURUSD").trained_until > first.trained_until


def test_a_challenger_that_waits_stays_where_no_other_could_be_trained(
    waits, again, nothing_trained
):
    before = read_state(waits, "EURUSD")
    assert again(waits, *EURUSD, ENOUGH, "renew=true").code == 1
    assert read_state(waits, "EURUSD") == before


def test_a_sweep_that_cannot_be_used_is_refused_before_anything_is_given_up(waits, again):
    before = read_state(waits, "EURUSD")
    with pytest.raises(ConfigError, match=r"tuned=none\.json: there is no such file"):
        again(waits, *EURUSD, "renew=true", "tuned=none.json")
    assert read_state(waits, "EURUSD") == before


def test_a_busy_output_folder_is_one_symbols_and_the_other_is_judged(waits, again):
    (challenger_folder(waits, "GBPUSD") / FILE).unlink()
    folder = waits.parent.parent / "runs" / "GBPUSD"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        done = again(waits, *BOTH, ENOUGH)
    assert done.code == 3
    assert "GBPUSD: output_dir: another run is at work in" in done.said
    assert "EURUSD: Better on" in done.said
    assert read_state(waits, "GBPUSD") is None


def test_a_winner_whose_files_cannot_be_placed_is_left_out_with_its_reason(
    waits, again, monkeypatch
):
    really = retrain_run.place_files

    def place(settings, winner):
        if winner.state.symbol == "GBPUSD":
            raise DeploymentError("GBPUSD: its file was changed")
        really(settings, winner)

    monkeypatch.setattr(retrain_run, "place_files", place)
    done = again(waits, *BOTH, ENOUGH)
    assert done.code == 3
    assert "GBPUSD: its file was changed" in done.said
    models = {symbol: one["selected_model"] for symbol, one in entries(waits).items()}
    assert models == {"EURUSD": "Council", "GBPUSD": "RandomForest"}


def test_a_manifest_that_another_holds_is_told_in_the_table_and_the_next_command_adopts(
    waits, again, monkeypatch
):
    def held(*_):
        raise TimeoutError("the manifest is held by another writer")

    with monkeypatch.context() as patched:
        patched.setattr(retrain_run, "adopt", held)
        done = again(waits, *EURUSD, ENOUGH)
    assert done.code == 1
    assert "EURUSD: the manifest is held by another writer" in done.said
    assert "EURUSD: Better on" in again(waits, *EURUSD, ENOUGH).said


def test_a_second_retraining_is_refused_while_one_is_at_work(live, again):
    (live.parent / "challengers").mkdir()
    with (
        FileLock(live.parent / "challengers" / ".lock"),
        pytest.raises(ConfigError, match="another retraining is at work"),
    ):
        again(live, *EURUSD)


def test_alerts_are_sent_off_whatever_ends_the_command(waits, again, monkeypatch):
    closed = []
    alerts = SimpleNamespace(send=lambda alert: None, close=lambda: closed.append(True))
    monkeypatch.setattr(retrain_run, "alerts", lambda conf: alerts)
    with (
        FileLock(waits.parent / "challengers" / ".lock"),
        pytest.raises(ConfigError, match="another retraining"),
    ):
        again(waits, *EURUSD)
    assert closed == [True]
