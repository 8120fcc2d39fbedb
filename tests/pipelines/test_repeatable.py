import pytest

from pipelines.features import write_features
from tests.pipelines.conftest import LENIENT, TINY, composed, trained

MEASURED = ("timestamp", "training_duration_seconds", "cpu_seconds")
SCORES = ("history", "val_metrics", "test_metrics", "out_of_fold", "no_skill", "folds", "windows")
ONE_SYMBOL = (*TINY, *LENIENT, "symbols=[EURUSD]", "tracking=none")


def lasting(results):
    return {
        name: {key: value for key, value in result.items() if key not in MEASURED}
        for name, result in results.items()
    }


def saved(folder):
    """Return the bytes of every file of every trained and deployed model."""
    roots = (folder / "out" / "models", folder / "deploy" / "artifacts")
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def predictions(folder):
    return {path.name: path.read_bytes() for path in (folder / "out" / "predictions").iterdir()}


@pytest.fixture(scope="module")
def in_workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    return trained(folder, *TINY, *LENIENT, "tracking=none", "execution.workers=2")


def test_results_are_the_same_whoever_computes_them_and_whoever_tracks(finished, in_workers):
    assert in_workers.code == 0
    assert lasting(in_workers.results) == lasting(finished.results)
    assert list(in_workers.results) == list(finished.results)
    assert saved(in_workers.folder) == saved(finished.folder)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Return the same run, all that is decided by results included, from one process and two."""
    adaptive = (*TINY, "symbols=[EURUSD]", "tracking=none", "split.min_development_rows=50")
    return [
        trained(tmp_path_factory.mktemp("judged"), *adaptive, f"execution.workers={workers}")
        for workers in (1, 2)
    ]


def test_what_earlier_blocks_teach_is_the_same_in_one_process_and_in_two(judged):
    alone, together = judged
    assert lasting(together.results) == lasting(alone.results)
    assert together.manifest["selections"] == alone.manifest["selections"]
    assert saved(together.folder) == saved(alone.folder)
    paths = {name: len(one["strength"]["steps"]) for name, one in alone.results.items()}
    fixed = ("Council", "MajorityClass", "LogisticRegression")
    assert all((steps == 1) == name.endswith(fixed) for name, steps in paths.items())
    adopting = [one["augmentation_verdict"] for one in alone.results.values()]
    assert sum(one is not None and one["rows"] > 0 for one in adopting) == 4


def test_the_predictions_are_the_same_in_one_process_and_in_two_down_to_the_byte(judged):
    alone, together = (predictions(run.folder) for run in judged)
    assert set(alone) == {f"{name}.parquet" for name in judged[0].results}
    assert together == alone


def test_selections_are_the_same_but_for_the_registry(finished, in_workers):
    def plain(run):
        return {
            symbol: {k: v for k, v in one.items() if not k.startswith("model_")}
            for symbol, one in run.manifest["selections"].items()
        }

    assert plain(in_workers) == plain(finished)
    provenance = in_workers.manifest["provenance"]
    assert provenance["conf_digest"] == finished.manifest["provenance"]["conf_digest"]
    assert provenance["run_id"] is None


def test_worker_processes_are_counted_in_the_cost(in_workers):
    spent = in_workers.record["timings"]["cpu_seconds"]
    assert spent["walk_forward"] > 0
    assert spent["total"] == pytest.approx(sum(spent.values()) - spent["total"])


def test_another_seed_gives_another_market_and_another_conf_digest(finished, tmp_path):
    run = trained(tmp_path, *ONE_SYMBOL, "seed=8", "~models.lstm", "~models.xgboost")
    mine, other = run.results["EURUSD_MLP"], finished.results["EURUSD_MLP"]
    assert mine["digests"]["data"] != other["digests"]["data"]
    assert mine["digests"]["conf"] != other["digests"]["conf"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    chosen = ("symbols=[EURUSD]", "data.n_bars=3000", f"features_dir={folder}")
    assert write_features(composed(*chosen, config_name="features")) == 0
    return folder


def without_bars(overrides):
    return [one for one in overrides if not one.startswith("data.n_bars")]


def test_the_tables_of_the_features_command_train_the_same_models(finished, tables, tmp_path):
    run = trained(tmp_path, *without_bars(ONE_SYMBOL), "data=table", f"data.dir={tables}")
    assert run.code == 0
    assert len(run.results) == 7
    for name, result in run.results.items():
        wanted = finished.results[name]
        assert {key: result[key] for key in SCORES} == {key: wanted[key] for key in SCORES}
        assert result["digests"]["data"] == wanted["digests"]["data"]
        assert result["curves"] == wanted["curves"]
    assert saved(run.folder).items() <= saved(finished.folder).items()


def test_a_table_is_real_data_as_far_as_anyone_knows(tables, tmp_path):
    few = ("~models.lstm", "~models.mlp", "~models.xgboost")
    run = trained(tmp_path, *without_bars(ONE_SYMBOL), "data=table", f"data.dir={tables}", *few)
    assert run.manifest["provenance"]["simulated"] is False
    assert "(real data)" in run.printed
    assert "simulated" not in run.printed


def test_the_tables_hold_names_times_labels_and_weights(tables):
    import polars as pl

    frame = pl.read_parquet(tables / "EURUSD.parquet")
    assert frame.columns[0] == "timestamp"
    assert frame.columns[-3:] == ["label", "label_end", "weight"]
    assert len(frame.columns) == 1 + 57 + 3
    decided = frame.filter(pl.col("label").is_not_null())
    assert (decided["label_end"] > decided["timestamp"]).all()


def test_features_of_a_broken_file_are_passed_over(tmp_path, capsys):
    from tests.pipelines.conftest import write_bars

    write_bars(tmp_path, "EURUSD", 1000)
    (tmp_path / "GBPUSD.csv").write_text("timestamp,open\n2024-01-01,1\n")
    chosen = ("data=bars", f"data.dir={tmp_path}", f"features_dir={tmp_path}/out")
    assert write_features(composed(*chosen, config_name="features")) == 3
    said = capsys.readouterr()
    odd, failed = said.err.splitlines()
    assert odd.startswith("EURUSD: the week's hole is ")
    assert failed.startswith("GBPUSD: GBPUSD.csv: no column ")
    assert said.out.startswith("EURUSD: ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["EURUSD.parquet"]
