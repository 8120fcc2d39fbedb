"""A whole sweep: what it prints, writes and tells the tracker, and what training makes of it."""

import contextlib
import io
import json
from types import SimpleNamespace

import pytest

from pipelines.sweep import sweep
from selection.tuned_file import read_tuned
from tests.pipelines.conftest import composed, lines_shown, places, trained

SMALL = (
    *("debug=quick", "symbols=[EURUSD,GBPUSD]", "data=demo_short"),
    *("sweep.models=[xgboost]", "sweep.n_trials=8", "models.xgboost.n_estimators=40"),
)


def swept(folder, *overrides):
    """Sweep in this process; return exit code, what was printed, and what was found."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed), lines_shown():
        code = sweep(composed(*places(folder), *overrides, config_name="sweep"))
    path = folder / "out" / "tuned.json"
    found = read_tuned(path) if path.exists() else None
    return SimpleNamespace(code=code, printed=printed.getvalue(), found=found)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    store = f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db"
    return folder, swept(folder, *SMALL, "tracking=sqlite", store)


def test_a_sweep_leaves_what_it_found_its_journal_and_its_plots(done):
    folder, run = done
    assert run.code == 0
    assert sorted(run.found.studies) == ["EURUSD", "GBPUSD"]
    one = run.found.found("EURUSD", "XGBoost")
    assert one.n_trials == 8
    assert set(one.hyperparameters) >= {"max_depth", "learning_rate"}
    left = {path.name for path in (folder / "out").iterdir()}
    assert left >= {"tuned.json", "sweep.csv", "journal.log", "plots", "execution.json"}
    assert not list((folder / "out").glob(".rows-*"))
    pictures = {path.name for path in (folder / "out" / "plots" / "EURUSD_XGBoost").iterdir()}
    assert pictures >= {"history.png", "parallel_coordinates.png", "slices.png"}
    last = (folder / "runs" / "sweeps" / "last.json").read_bytes()
    assert last == (folder / "out" / "tuned.json").read_bytes()


def test_a_sweep_ends_with_default_against_tuned_and_says_what_was_used_for_what(done):
    printed = " ".join(done[1].printed.split())
    assert "Default against tuned (simulated market)" in printed
    assert "cv: blocks 1 to 4, by which trials were chosen" in printed
    assert "No holdout was read." in printed
    assert "max_depth 1 to 4 of 1 to 8" in printed
    for symbol in ("EURUSD", "GBPUSD"):
        assert f"{symbol} XGBoost: " in printed


def test_every_trial_is_a_run_below_its_study_below_the_sweep(done):
    from mlflow import MlflowClient

    folder, _ = done
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    (experiment,) = (one for one in client.search_experiments() if one.name == "smoke")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    below = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs}
    (top,) = (run_id for run_id, parent in below.items() if parent is None)
    studies = [run_id for run_id, parent in below.items() if parent == top]
    assert len(studies) == 2
    assert [sum(parent == one for parent in below.values()) for one in studies] == [8, 8]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {one.path for one in client.list_artifacts(studies[0], "plots")} >= {
        "plots/history.png",
        "plots/slices.png",
    }


def test_the_same_sweep_again_makes_no_trial_and_finds_the_same(done):
    folder, first = done
    journal = (folder / "out" / "journal.log").read_bytes()
    again = swept(folder, *SMALL)
    assert again.code == 0
    assert (folder / "out" / "journal.log").read_bytes()[: len(journal)] == journal
    assert again.found.studies == first.found.studies


def test_more_trials_go_on_from_where_the_sweep_was(done, tmp_path):
    folder, first = done
    more = swept(folder, *SMALL, "sweep.n_trials=10")
    assert more.found.found("EURUSD", "XGBoost").n_trials == 10
    assert (
        more.found.found("EURUSD", "XGBoost").study == first.found.found("EURUSD", "XGBoost").study
    )


def test_one_worker_makes_the_trials_that_two_make(done, tmp_path):
    two = swept(tmp_path, *SMALL, "execution.workers=2")
    assert two.found.studies == done[1].found.studies


@pytest.fixture(scope="module")
def poor(tmp_path_factory):
    """Return what was made of a manifest without a model, and the one after the small search."""
    folder = tmp_path_factory.mktemp("poor")
    given = (
        "debug=quick",
        "symbols=[EURUSD,GBPUSD]",
        "data=demo_short",
        "data.edge=0",
        "~models.mlp",
    )
    before = trained(folder, *given, "~models.lstm", "resume=false")
    run = swept(
        folder,
        *("sweep=poor_performers", *given, "~models.lstm"),
        *("~search@search.mlp", "~search@search.lstm", "manifest.path=" + str(manifest(folder))),
    )
    return before.manifest, json.loads(manifest(folder).read_text()), run


def manifest(folder):
    return folder / "deploy" / "manifest.json"


def test_a_symbol_that_the_small_search_does_not_help_keeps_its_review_and_says_why(poor):
    before, after, run = poor
    assert before["summary"]["models_selected"] == 0
    assert {sum(one.trials.values()) for one in run.found.studies["EURUSD"].values()} == {3, 6}
    for symbol in ("EURUSD", "GBPUSD"):
        selection = after["selections"][symbol]
        assert selection["action"] == "MANUAL_REVIEW_REQUIRED"
        assert "did not help" in selection["note"]
        assert "data report" in selection["note"]
        assert {name: one["trials"]["failed"] for name, one in selection["tuning"].items()} == {
            "RandomForest": 0,
            "XGBoost": 0,
        }


def test_symbols_that_were_chosen_by_what_they_came_to_have_half_the_error(poor):
    looked = [one.adoption for models in poor[2].found.studies.values() for one in models.values()]
    assert {one.alpha for one in looked if one is not None} <= {0.025}


def test_where_no_symbol_needs_one_there_is_no_sweep(tmp_path):
    given = ("debug=quick", "symbols=[EURUSD]", "data=demo_short", *("~models.mlp", "~models.lstm"))
    limits = ("max_gap=1", "min_accuracy=0", "stability_threshold=1")
    trained(tmp_path, *given, "selection=reference", *(f"selection.{one}" for one in limits))
    run = swept(
        tmp_path,
        *(*given, "~search@search.mlp", "~search@search.lstm", "sweep.symbols_from=manifest"),
        "sweep.max_test_accuracy=0.01",
    )
    assert run.code == 0
    assert run.found is None
    assert "needs a sweep" in run.printed
