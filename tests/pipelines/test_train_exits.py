"""The command from experiences to an exit model: what is learnt, written and recorded."""

import json
import shutil

import pytest

import pipelines.train_exits_run
from exits.exit_model import ExitModelError, load_exit_model
from exits.simple_learning_file import load_simple
from pipelines.command import ConfigError
from tests.pipelines.learning import explored, files_of, learnt

REPORT_FILES = {"evidence.json", "rejected.jsonl", "report.html", "summary.json"}


@pytest.fixture(scope="module")
def experiences(run, tmp_path_factory):
    manifest = run.folder / "deploy" / "manifest.json"
    return explored(manifest, tmp_path_factory.mktemp("explored") / "out")


def test_a_learning_ends_with_a_model_that_backtests_read_and_a_report(experiences, tmp_path):
    done = learnt(tmp_path, experiences)
    assert done.code == 0
    model = load_exit_model(done.model)
    assert {path.name for path in done.folder.glob("[!.]*")} == REPORT_FILES
    records = json.loads(experiences.read_text())
    assert done.summary["data"]["used"] == len(records) > 100
    last = max(record["exit_timestamp"] for record in records)
    assert done.summary["trained_until"] == last
    assert f"{model.trained_until}".startswith(last[:19])
    assert load_simple(done.model / "simple_learning.json").buckets
    assert done.summary["simulated"] is True
    assert "The market is simulated" in done.page


def test_screen_page_and_files_say_the_same_of_what_was_learnt(experiences, tmp_path):
    done = learnt(tmp_path, experiences)
    parameters = done.evidence["parameters"]
    assert len(parameters) == 132
    n_identified = sum(one["identified"] for one in parameters)
    assert sum(load_exit_model(done.model).identified_P) == n_identified
    assert done.summary["verdict"] in done.said
    assert done.summary["verdict"] in done.page
    assert "next python -m pipelines.backtest exits=learned exits.model=" in done.said
    for heading in ("What the data can identify", "Copy test", "Learning curves"):
        assert f"<h2>{heading}</h2>" in done.page


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_net(experiences, tmp_path):
    one = learnt(tmp_path / "one", experiences)
    two = learnt(tmp_path / "two", experiences)
    other = learnt(tmp_path / "other", experiences, "seed=8")
    assert files_of(one.model) == files_of(two.model)
    assert one.evidence == two.evidence
    nets = [set(files_of(done.model)) for done in (one, other)]
    assert nets[0] != nets[1]


def test_the_run_its_curves_and_its_files_are_in_mlflow(experiences, tmp_path):
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = learnt(tmp_path, experiences, "tracking=sqlite", f"tracking.uri={uri}")
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("train_exits")
    child, run = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
    if "mlflow.parentRunId" not in child.data.tags:
        child, run = run, child
    assert {child.info.status, run.info.status} == {"FINISHED"}
    assert run.data.metrics["val_loss"] == min(done.summary["curves"]["val_loss"])
    assert run.data.tags["hindsight"] == "false"
    paths = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert paths == {*REPORT_FILES, "model"}
    kept = {one.path for one in client.list_artifacts(run.info.run_id, "model")}
    assert kept == {f"model/{name}" for name in files_of(done.model)}
    told = client.get_metric_history(child.info.run_id, "per_epoch/val_loss")
    assert [one.value for one in told] == done.summary["curves"]["val_loss"]


def test_what_else_lies_beside_the_model_is_not_recorded_with_it(experiences, tmp_path):
    import mlflow

    before = files_of(learnt(tmp_path, experiences).model)
    (tmp_path / "exit_model" / "notes.json").write_text("{}")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracking = ("tracking=sqlite", f"tracking.uri={uri}", "seed=8")
    now = files_of(learnt(tmp_path, experiences, *tracking).model)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("train_exits")
    (run,) = client.search_runs([experiment.experiment_id], "metrics.records > 0")
    kept = {one.path for one in client.list_artifacts(run.info.run_id, "model")}
    older = {name for name in before if name.startswith("net-")}
    assert older < set(now)
    assert kept == {f"model/{name}" for name in set(now) - older - {"notes.json"}}


def test_a_model_folder_that_is_a_file_is_refused_before_anything_is_learnt(
    experiences, tmp_path, monkeypatch
):
    (tmp_path / "exit_model").write_text("")
    monkeypatch.delattr(pipelines.train_exits_run, "learn")
    with pytest.raises(ConfigError, match=r"model_dir: .*exit_model cannot be made: File exists"):
        learnt(tmp_path, experiences)


def test_hindsight_goes_to_a_place_of_its_own_and_says_so_everywhere(experiences, tmp_path):
    before = files_of(learnt(tmp_path, experiences).model)
    done = learnt(tmp_path, experiences, "exits.allow_hindsight=true")
    assert files_of(done.model) == before
    place = done.folder / "hindsight_model"
    with pytest.raises(ExitModelError, match=r"trained with exits\.allow_hindsight=true"):
        load_exit_model(place)
    assert load_exit_model(place, allow_hindsight=True).hindsight
    assert done.summary["hindsight"] is done.evidence["hindsight"] is True
    for text in (done.said, done.page):
        assert "It has seen how its trades ended" in text
    assert "exits=learned" not in done.said


def test_an_interrupted_learning_leaves_the_model_before_it_as_it_was(
    experiences, tmp_path, monkeypatch
):
    import mlflow

    done = learnt(tmp_path, experiences)
    before, uri = files_of(done.model), f"sqlite:///{tmp_path}/mlflow.db"

    def interrupted(*given, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines.train_exits_run, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learnt(tmp_path, experiences, "seed=9", "tracking=sqlite", f"tracking.uri={uri}")
    assert files_of(done.model) == before
    # What spoke for the earlier learning is gone from beside the new one's records.
    assert {path.name for path in done.folder.glob("[!.]*")} == {"rejected.jsonl"}
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("train_exits")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"


def test_what_cannot_be_read_is_set_aside_and_told(experiences, tmp_path):
    file = tmp_path / "mixed.json"
    records = json.loads(experiences.read_text())
    file.write_text(json.dumps([*records, {"pnl": "much"}, records[0]]))
    done = learnt(tmp_path, file)
    assert done.summary["data"]["used"] == len(records)
    assert done.summary["data"]["duplicates"] == 1
    (line,) = (done.folder / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["index"] == len(records)
    assert "rejected 1" in done.said
    # Nothing lies beside the file: the records themselves say it.
    assert done.summary["simulated"] is True


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", "experiences: {file}: no experience in it"),
        ("[1]", "experiences: {file}: none of 1 records can be used; the first: "),
    ],
)
def test_a_file_without_any_usable_record_is_one_line(content, sentence, tmp_path):
    file = tmp_path / "some.json"
    file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        learnt(tmp_path, file)
    assert str(refused.value).startswith(sentence.format(file=file))
    assert not (tmp_path / "exit_model").exists()


def test_too_few_trades_are_one_line_and_no_model(experiences, tmp_path):
    file = tmp_path / "few.json"
    file.write_text(json.dumps(json.loads(experiences.read_text())[:30]))
    with pytest.raises(ConfigError, match=r"experiences: .*trades"):
        learnt(tmp_path, file)
    assert not (tmp_path / "exit_model").exists()


def test_where_the_files_lie_changes_nothing_that_is_learnt(experiences, tmp_path):
    folder = tmp_path / "copied" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(experiences, folder)
    shutil.copy(experiences.parent / "summary.json", folder)
    one = learnt(tmp_path / "one", experiences)
    two = learnt(tmp_path / "two", tmp_path / "copied")
    assert files_of(one.model) == files_of(two.model)
