"""What MLflow is told of a replay, and what becomes of one when MLflow is down."""

from tests.pipelines.conftest import REPLAY_FILES


def test_the_run_its_figures_and_its_files_are_in_mlflow(replays, tmp_path):
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code, summary, _, _ = replays("tracking=sqlite", f"tracking.uri={uri}")
    assert code == 0
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("backtest")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["n_trades"] == summary["statistics"]["trades"]["n_trades"]
    assert run.data.metrics["decisions_defaults"] == 1.0
    assert run.data.params["costs.spread_atr"] == "0.08"
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == REPLAY_FILES
    assert run.data.tags["data"] == "simulated"
    assert run.data.tags["seen"] == summary["seen"][0]
    assert "holdout" not in run.data.tags


def test_a_run_that_shows_a_holdout_says_so_in_mlflow_and_on_the_page(replays, tmp_path):
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    shown = ("replay.holdout=open", "replay.end=2010-08-01", "evaluator=points")
    replays("tracking=sqlite", f"tracking.uri={uri}", *shown)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("backtest")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["holdout"].startswith("EURUSD: its holdout was opened once; GBPUSD: ")
    page = (tmp_path / "out" / "report.html").read_text()
    for name, value in {"holdout": "open", "end": "2010-08-01", "kind": "points"}.items():
        assert f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' in page


def test_with_mlflow_down_the_replay_ends_as_well_and_says_what_waits(replays, tmp_path):
    down = ("tracking=server", "tracking.uri=http://127.0.0.1:9", "tracking.patience_s=1")
    code, summary, _, said = replays(*down, f"tracking.queue={tmp_path}/queue")
    assert (code, len(summary["symbols"])) == (0, 2)
    assert "cannot be reached" in said
    assert "python -m pipelines.sync" in said
