"""Whoever looks at a holdout again is told so, and cannot take its figures for unseen ones."""

import json
import shutil

import pytest

from tests.pipelines.conftest import COUNCIL_ALONE, command, places, trained


@pytest.fixture(scope="module")
def judging(market_files):
    """Return overrides that deploy a council for EURUSD, from price files."""
    data = ("data=bars", f"data.dir={market_files}", "symbols=[EURUSD]")
    return ("debug=smoke", *data, *COUNCIL_ALONE, "split.min_development_rows=50")


@pytest.fixture(scope="module")
def three_times(judging, tmp_path_factory):
    """Return a run, the same afresh, and the same from another seed, into one deploy folder."""
    folder = tmp_path_factory.mktemp("again")
    afresh = ("resume=false",)
    return [trained(folder, *judging, *changes) for changes in ((), afresh, ("seed=8",))]


def openings(run):
    return run.manifest["selections"]["EURUSD"]["holdout"]["openings"]


def ledger(folder):
    path = folder / "deploy" / "holdout_ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def shown(run):
    return run.printed.partition("Outcome on ")[2].partition("CPU seconds")[0]


def test_a_holdout_that_is_opened_for_the_first_time_says_so(three_times):
    first = three_times[0]
    assert openings(first) == {
        "n_openings": 1,
        "n_configurations": 1,
        "first_before_utc": None,
        "latest_before_utc": None,
        "in_words": "opened once",
    }
    assert "opened" not in shown(first)


def test_the_same_run_once_more_is_a_second_opening_by_one_configuration(three_times):
    first, again, _ = three_times
    found = openings(again)
    assert (found["n_openings"], found["n_configurations"]) == (2, 1)
    assert found["in_words"] == "opened 2 times, by one configuration"
    assert found["first_before_utc"] == ledger(again.folder)[0]["time_utc"]
    assert "opened 2 times" in shown(again)
    assert "its holdout was" not in again.printed
    scores = [run.manifest["selections"]["EURUSD"]["holdout"] for run in (first, again)]
    assert scores[0]["log_loss"] == scores[1]["log_loss"]


def test_another_seed_is_another_configuration_and_its_figures_are_no_longer_unseen(three_times):
    other = three_times[2]
    found = openings(other)
    assert (found["n_openings"], found["n_configurations"]) == (3, 2)
    assert found["in_words"].endswith("by 2 configurations: its figures are no longer unseen")
    assert "opened 3 times" in shown(other)
    assert f"EURUSD: its holdout was {found['in_words']}\n" in other.printed
    assert len(ledger(other.folder)) == 3
    assert len({line["conf_digest"] for line in ledger(other.folder)}) == 2


def test_where_results_are_put_and_who_computes_them_is_no_other_configuration(judging, tmp_path):
    trained(tmp_path, *judging)
    again = trained(tmp_path, *judging, "execution.workers=2", f"output_dir={tmp_path}/elsewhere")
    assert openings(again)["n_configurations"] == 1


def test_another_simulated_market_is_another_holdout(tmp_path):
    market = ("debug=smoke", *COUNCIL_ALONE, "data.n_bars=5000", "data.edge=0.9")
    # So large an edge shows in single features, which would look like the future.
    market = (*market, "training.max_feature_auc=1.0")
    runs = [
        trained(tmp_path, *market, "split.min_development_rows=50", f"seed={seed}")
        for seed in (7, 8)
    ]
    assert [openings(run)["in_words"] for run in runs] == ["opened once"] * 2
    assert len({line["market"] for line in ledger(tmp_path)}) == 2


def test_a_ledger_that_cannot_be_read_leaves_the_holdout_closed(judging, tmp_path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "holdout_ledger.jsonl").write_text("not JSON\n")
    run = trained(tmp_path, *judging)
    selection = run.manifest["selections"]["EURUSD"]
    assert run.code == 3
    assert selection["selected_model"] is None
    assert selection["reason"].startswith("Could not be deployed: ")
    assert "holdout_ledger.jsonl, line 1: is no opening of a holdout" in selection["reason"]
    assert "holdout" not in selection or selection["holdout"] == "sealed"


def test_the_page_of_a_holdout_opened_again_is_printed_by_the_command_too(three_times, judging):
    folder = three_times[2].folder.with_name("printed")
    shutil.copytree(three_times[2].folder, folder)
    ended = command("train_all", *judging, *places(folder), cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert "opened 4 times" in ended.stdout
    assert max(len(line) for line in ended.stdout.partition("Outcome")[2].splitlines()[:8]) <= 80
