import sqlite3
from contextlib import closing

from tests.pipelines.conftest import LENIENT, ONE_FOREST, REFERENCE, TINY, command, trained

BARE = (*TINY, *REFERENCE, "symbols=[EURUSD]", "tracking=none")
# By default a holdout is cut only where many rows are left.
CHOOSES = tuple(one for one in LENIENT if not one.startswith("split."))


def test_the_reference_systems_split_has_five_folds_and_no_holdout(tmp_path):
    run = trained(tmp_path, *BARE, *CHOOSES, "split=reference", "~models.lstm")
    assert run.code == 0
    selection = run.manifest["selections"]["EURUSD"]
    assert selection["holdout"] == selection["windows"]["holdout"] == "awaiting live data"
    for result in run.results.values():
        assert len(result["history"]["cv_fold_accuracies"]) == 5
        rows = result["sizes"]["development_rows"]
        for part in ("validation", "test"):
            assert abs(result["windows"][part]["rows"] - 0.2 * rows) <= 1
        assert result["windows"]["train"]["end"] < result["windows"]["validation"]["start"]


def test_without_enough_rows_no_holdout_is_cut_and_the_manifest_says_so(tmp_path):
    run = trained(tmp_path, *BARE, *CHOOSES, *ONE_FOREST)
    assert run.record["symbols"]["EURUSD"]["holdout_rows"] == 0
    selection = run.manifest["selections"]["EURUSD"]
    assert selection["selected_model"] == "RandomForest"
    assert selection["holdout"] == "awaiting live data"


def test_augmentation_multiplies_few_rows_and_says_so(tmp_path):
    run = trained(tmp_path, *BARE, "augmentation=always", "~models.lstm")
    assert run.code == 0
    assert run.record["timings"]["cpu_seconds"]["augmentation"] > 0
    for name in ("EURUSD_RandomForest", "EURUSD_MLP"):
        result, sizes = run.results[name], run.results[name]["sizes"]
        assert result["augmentation"] == "always"
        factor = 3 if sizes["rows_before_augmentation"] < 200 else 2
        assert sizes["rows_after_augmentation"] == factor * sizes["rows_before_augmentation"]
    assert run.results["EURUSD_MajorityClass"]["augmentation"] == "always"


def test_every_bar_can_be_an_event(tmp_path):
    forest = (*ONE_FOREST, "data.n_bars=1200", "models.random_forest.n_estimators=5")
    run = trained(tmp_path, *BARE, "events=every_bar", *forest)
    assert run.code == 0
    symbol = run.record["symbols"]["EURUSD"]
    assert 700 < symbol["development_rows"] <= symbol["events"] < 1200
    assert run.results["EURUSD_RandomForest"]["label_uniqueness"] < 0.2


def test_a_market_without_edge_runs_and_is_another_market(tmp_path):
    with_edge = trained(tmp_path / "edge", *BARE, *ONE_FOREST, "data.edge=0.15")
    without = trained(tmp_path / "none", *BARE, *ONE_FOREST, "data.edge=0.0")
    digests = [run.results["EURUSD_RandomForest"]["digests"] for run in (with_edge, without)]
    assert digests[0]["data"] != digests[1]["data"]
    assert digests[0]["conf"] != digests[1]["conf"]


def test_costs_lower_the_expectancy_of_the_same_trades(tmp_path):
    free = ("costs.spread_atr=0.0", "costs.commission_atr=0.0", "costs.slippage_atr=0.0")
    same = (*BARE, *ONE_FOREST, "training.decision_threshold=0.5")
    cheap = trained(tmp_path / "free", *same, *free)
    usual = trained(tmp_path / "usual", *same)
    name = "EURUSD_RandomForest"
    before, after = (run.results[name]["expectancy"]["out_of_fold"] for run in (cheap, usual))
    assert before["trades"] == after["trades"] > 0
    assert abs(before["expectancy_r"] - after["expectancy_r"] - 0.13 / 2.0) < 1e-9


def test_where_costs_are_higher_fewer_trades_are_taken_each_from_its_break_even_on(tmp_path):
    run = (*BARE, *ONE_FOREST)
    free = ("costs.spread_atr=0.0", "costs.commission_atr=0.0", "costs.slippage_atr=0.0")
    taken = []
    for name, changes in (("free", free), ("usual", ()), ("dear", ("costs.spread_atr=0.3",))):
        results = trained(tmp_path / name, *run, *changes).results
        taken.append(results["EURUSD_RandomForest"]["expectancy"]["out_of_fold"]["trades"])
    assert taken == sorted(taken, reverse=True)
    assert taken[0] > taken[-1]


def test_a_second_run_keeps_the_first_manifest(tmp_path):
    trained(tmp_path, *BARE, *ONE_FOREST)
    first = (tmp_path / "deploy" / "manifest.json").read_bytes()
    second = trained(tmp_path, *BARE, *ONE_FOREST, "resume=false")
    kept = list((tmp_path / "deploy" / "history").glob("*.json"))
    assert [path.read_bytes() for path in kept] == [first]
    assert second.manifest["previous_manifest_sha256"].startswith(kept[0].stem.split("-")[-1])


def test_two_jobs_of_a_multirun_each_leave_their_folder_and_nothing_stray(tmp_path):
    jobs = ("-m", "symbols=[EURUSD],[GBPUSD]", "manifest.path=deploy/manifest.json")
    small = (*TINY[:1], *TINY[2:], *REFERENCE, "tracking=none", *ONE_FOREST)
    ended = command("train_all", *jobs, *small, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deploy", "runs"]
    results = sorted(path.name for path in tmp_path.glob("runs/*/results/*.json"))
    forests = [name for name in results if "RandomForest" in name]
    assert forests == ["EURUSD_RandomForest.json", "GBPUSD_RandomForest.json"]
    assert ended.stdout.count("1 of 1 symbols ready") == 2


def test_a_selection_moves_the_champion_unless_told_never_to_and_none_leaves_it(tmp_path):
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    only = (*ONE_FOREST, "~models.council", "symbols=[EURUSD]")
    run = (*TINY, *CHOOSES, *only, "tracking=sqlite")
    champions = []
    for changes in (["deploy.promote=never"], [], ["selection.min_accuracy=1"]):
        trained(tmp_path, *run, f"tracking.uri={store}", *changes)
        with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as database:
            aliases = database.execute("SELECT alias, version FROM registered_model_aliases")
            champions.append(aliases.fetchall())
    assert champions == [[], [("champion", 2)], [("champion", 2)]]
