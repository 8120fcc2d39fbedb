"""Training with what a sweep found, from its file to the manifest."""

import csv
import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import jsonschema
import polars as pl
import pytest

from pipelines.command import ConfigError
from pipelines.preparation import prepare_symbols
from pipelines.run_digest import identity, without_places
from pipelines.settings import train_settings
from pipelines.tasks import make_tasks, taken_over
from pipelines.tuned import applied, tuning_of
from selection.manifest_diff import differences
from selection.tuned_file import TunedFile, read_tuned, write_tuned
from tests.pipelines.conftest import LENIENT, composed, trained
from tests.selection.founds import found, turned_down
from training.engine import Step, run_tasks
from training.units import kept_units

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SHALLOW = {"n_estimators": 30, "max_depth": 1, "learning_rate": 0.2}
TREES = ("~models.random_forest", "~models.mlp", "~models.lstm", "~null_models.logistic")
DEMO = ("debug=smoke", "data.n_bars=3000", *TREES)
# Seven fits a model: of six folds, and the deployed one.
PLAIN = (*DEMO, "regularize=reference", "augmentation=none")
# Within the fourth block of the demonstration's rows.
UNTIL = datetime(2010, 5, 20, tzinfo=UTC)


def sweep_of(path, *overrides, until=UNTIL, **changes):
    """Write the file of a sweep with this configuration that has adopted an XGBoost on EURUSD."""
    conf = composed(*overrides)
    whole = {**conf["models"]["xgboost"], **SHALLOW}
    eurusd = found(hyperparameters=whole, tuned_until=until, **changes)
    gbpusd = turned_down(symbol="GBPUSD", tuned_until=until)
    studies = {"EURUSD": {"XGBoost": eurusd}, "GBPUSD": {"XGBoost": gbpusd}}
    now = datetime.now(UTC)
    write_tuned(path, TunedFile(now, True, conf["seed"], without_places(conf), studies))
    return f"tuned={path}"


def first_decision(run, symbol, model, block):
    frame = pl.read_parquet(run.folder / "out" / "predictions" / f"{symbol}_{model}.parquet")
    return frame.filter(pl.col("block") == block)["timestamp"].min()


@pytest.fixture(scope="module")
def overrides(market_files):
    data = ("debug=smoke", "symbols=null", "data=bars", f"data.dir={market_files}")
    return (*data, *TREES, "split.min_development_rows=50")


@pytest.fixture(scope="module")
def untuned(overrides, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("untuned"), *overrides)


@pytest.fixture(scope="module")
def tuned(overrides, untuned, tmp_path_factory):
    """EURUSD with an edge, its XGBoost tuned; GBPUSD without, its XGBoost swept in vain."""
    folder = tmp_path_factory.mktemp("tuned")
    until = first_decision(untuned, "EURUSD", "XGBoost", 5)
    given = sweep_of(folder / "tuned.json", *overrides, until=until)
    store = f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db"
    return trained(folder, *overrides, given, "tracking=sqlite", store)


def test_an_adopted_model_is_fitted_with_what_was_found_as_it_stands(tuned, untuned):
    before, after = (run.results["EURUSD_XGBoost"] for run in (untuned, tuned))
    assert before["hyperparameters"]["max_depth"] != 1
    assert {name: after["hyperparameters"][name] for name in SHALLOW} == SHALLOW
    assert (len(before["strength"]["steps"]), len(after["strength"]["steps"])) == (4, 1)
    assert (before["augmentation"], after["augmentation"]) == ("adaptive", "none")
    assert after["out_of_fold"]["n"] < before["out_of_fold"]["n"] / 2
    assert {fold["strength"] for fold in after["folds"]} == {0}


def test_what_was_not_adopted_is_trained_as_ever(tuned, untuned):
    same = ("hyperparameters", "strength", "out_of_fold", "calibration", "history", "augmentation")
    for name in ("GBPUSD_XGBoost", "EURUSD_Council", "GBPUSD_Council"):
        before, after = (run.results[name] for run in (untuned, tuned))
        assert {key: before[key] for key in same} == {key: after[key] for key in same}
    assert tuned.results["EURUSD_Council"]["tuning"] is None
    assert tuned.results["GBPUSD_XGBoost"]["tuning"]["adopted"] is False


def test_the_manifest_says_of_every_swept_model_what_came_of_it(tuned):
    text = files("selection").joinpath("deployment_manifest.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(text)).validate(tuned.manifest)
    eurusd, gbpusd = (tuned.manifest["selections"][one] for one in ("EURUSD", "GBPUSD"))
    told = eurusd["tuning"]["XGBoost"]
    until = tuned.results["EURUSD_XGBoost"]["tuning"]["tuned_until"]
    assert told["in_words"].startswith("tuned in 50 trials (10 pruned, 2 failed): 30.0 thousandths")
    assert {key: told[key] for key in ("adopted", "p_value", "alpha", "look", "tuned_until")} == {
        "adopted": True,
        "p_value": 0.002,
        "alpha": 0.05,
        "look": 1,
        "tuned_until": until,
    }
    assert told["trials"] == {"complete": 38, "pruned": 10, "failed": 2}
    assert gbpusd["tuning"]["XGBoost"]["adopted"] is False
    assert "Council" not in eurusd["tuning"]
    single = eurusd["evidence"]["singles"]["XGBoost"]
    assert single["rows"] == tuned.results["EURUSD_XGBoost"]["tuning"]["judged_rows"]
    assert single["share_of_chance"] == pytest.approx(1 / 3)


def test_a_symbol_that_a_sweep_did_not_help_says_why_and_what_its_data_are_like(tuned):
    gbpusd = tuned.manifest["selections"]["GBPUSD"]
    assert gbpusd["action"] == "MANUAL_REVIEW_REQUIRED"
    assert gbpusd["note"].startswith(
        "The sweep of XGBoost (50 trials) did not help: the council, which is never tuned, finds "
        "no signal, and no hyperparameters can change that. The data report "
    )
    assert f"GBPUSD: {gbpusd['note']}\n" in tuned.printed
    assert "note" not in tuned.manifest["selections"]["EURUSD"]


def test_tables_and_lines_say_tuned_with_the_trials(tuned):
    told = tuned.manifest["selections"]["EURUSD"]["tuning"]["XGBoost"]["in_words"]
    assert f"EURUSD: XGBoost: {told}\n" in tuned.printed
    said = " ".join(tuned.printed.split())
    assert "Tuned models: of the rows after their search alone." in said
    with (tuned.folder / "out" / "leaderboard.csv").open() as file:
        board = {(row["symbol"], row["model"]): row["tuned"] for row in csv.DictReader(file)}
    assert board["EURUSD", "XGBoost"] == "tuned (50 trials)"
    assert board["GBPUSD", "XGBoost"] == "not adopted (50 trials)"
    assert board["EURUSD", "Council"] == ""


def test_the_tracker_is_told_too(tuned):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tuned.folder}/mlruns/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("smoke").experiment_id
    runs = {run.info.run_name: run.data for run in client.search_runs([experiment])}
    one = runs["EURUSD XGBoost"]
    assert (one.params["tuned"], one.params["n_trials"]) == ("true", "50")
    assert (one.tags["tuned"], one.tags["n_trials"]) == ("true", "50")
    assert "Tuned (50 trials): tuned in 50 trials" in one.tags["mlflow.note.content"]
    assert runs["GBPUSD XGBoost"].params["tuned"] == "false"
    assert runs["EURUSD Council"].params["n_trials"] == "0"
    (above,) = (data for name, data in runs.items() if " · " in name)
    note = above.tags["mlflow.note.content"]
    assert "GBPUSD XGBoost: not adopted (50 trials)" in note
    assert "GBPUSD: The sweep of XGBoost" in note


def test_the_reference_rule_says_what_its_test_accuracy_was_used_for(overrides, untuned, tmp_path):
    lenient = (*overrides, *LENIENT)
    until = first_decision(untuned, "EURUSD", "XGBoost", 5)
    given = sweep_of(tmp_path / "tuned.json", *lenient, until=until)
    run = trained(tmp_path, *lenient, given)
    selection = run.manifest["selections"]["EURUSD"]
    assert selection["selected_model"] == "XGBoost"
    assert selection["reason"].endswith(", tuned (50 trials): its test rows were used to adopt it")
    assert "tuned" in run.printed.partition("Outcome on")[2]
    before = {"selections": {"EURUSD": {**selection, "tuning": {}}}}
    changed = differences(before, {"selections": {"EURUSD": selection}})
    assert changed == {"EURUSD": {"tuned": (None, "50 trials")}}


def settings_of(*overrides):
    conf = composed(*overrides)
    settings = train_settings(conf)
    return settings, conf, tuning_of(settings, conf)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("data.edge=0.3", "data.edge is 0.3, but was 0.15 in the sweep"),
        ("data.n_bars=3001", "data.n_bars is 3001, but was 3000 in the sweep"),
        ("events=every_bar", "events is every_bar, but was smc in the sweep"),
        ("labels.max_bars=24", "labels.max_bars is 24, but was 48 in the sweep"),
        ("split.embargo_bars=3", "split.embargo_bars is 3, but was 1 in the sweep"),
        ("seed=8", "seed is 8, but was 7 in the sweep"),
    ],
)
def test_a_sweep_of_other_rows_is_refused_by_the_key_that_differs(change, finding, tmp_path):
    given = sweep_of(tmp_path / "tuned.json", *DEMO)
    with pytest.raises(ConfigError) as refused:
        settings_of(*DEMO, change, given)
    said = str(refused.value)
    assert f"{finding}, so that these are not the rows it was found on; change " in said
    assert said.endswith(" back, or sweep again with python -m pipelines.sweep")


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"model": "Council"}, "studies.EURUSD.Council: the council is never tuned"),
        ({"model": "XGBost"}, "studies.EURUSD.XGBost: unknown model, did you mean XGBoost?"),
        ({"hyperparameters": {"max_dept": 2}}, "hyperparameters.max_dept: unknown key, did you"),
        ({"hyperparameters": {"max_depth": 2}}, "hyperparameters.n_estimators is missing"),
    ],
)
def test_what_no_model_can_be_made_of_is_refused_in_one_line(changes, finding, tmp_path):
    path = tmp_path / "tuned.json"
    sweep_of(path, *DEMO)
    file = read_tuned(path)
    one = found(**changes)
    write_tuned(
        path,
        TunedFile(file.timestamp, True, 7, file.definitions, {"EURUSD": {one.model: one}}),
    )
    with pytest.raises(ConfigError, match=r"tuned\.json: studies\.EURUSD\.") as refused:
        settings_of(*DEMO, f"tuned={path}")
    assert finding in str(refused.value)


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("half.json").write_text("{")
    for given, finding in (
        ("last", "tuned=last: there is no sweep yet; run python -m pipelines.sweep"),
        ("none.json", "tuned=none.json: there is no such file; give last, or the tuned.json of"),
        (".", "tuned=.: is a folder; give the tuned.json in it"),
        ("half.json", "tuned=half.json: half.json: is not JSON: "),
        ("''", "tuned must be null, last, or the path of a tuned.json, was empty"),
    ):
        with pytest.raises(ConfigError) as refused:
            settings_of(*DEMO, f"tuned={given}")
        assert str(refused.value).startswith(finding)


def test_last_is_where_a_sweep_leaves_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep_of(Path("runs/sweeps/last.json"), *DEMO)
    _, _, tuning = settings_of(*DEMO, "symbols=[EURUSD]", "tuned=last")
    assert list(tuning.models) == [("EURUSD", "XGBoost")]


def test_what_the_run_lacks_is_passed_over_and_another_default_is_told(tmp_path, caplog):
    given = sweep_of(tmp_path / "tuned.json", *DEMO)
    with caplog.at_level("INFO", logger="pipelines"):
        _, _, tuning = settings_of(*DEMO, "models.xgboost.max_depth=3", given)
    assert f"{given}: passed over, not in this run: GBPUSD XGBoost" in caplog.messages
    assert f"{given}: models.xgboost is not what it was in the sweep" in caplog.text
    assert set(tuning.found) == {("EURUSD", "XGBoost")}


def test_the_content_of_the_file_makes_the_run_and_not_its_place(tmp_path):
    first = sweep_of(tmp_path / "a.json", *DEMO)
    moved = sweep_of(tmp_path / "b.json", *DEMO)
    other = sweep_of(tmp_path / "c.json", *DEMO, study="another")
    digests, runs = [], []
    for given in (first, moved, other, "tuned=null"):
        _, conf, tuning = settings_of(*DEMO, given)
        digests.append(tuning.digest)
        runs.append(identity(conf, {"EURUSD": "d"}, tuning.digest))
    assert digests[0] == digests[1] != digests[2]
    assert digests[3] is None
    assert runs[0] == runs[1]
    assert len(set(runs)) == 3


def test_rows_that_have_grown_are_told_and_rows_that_are_all_too_early_are_none(tmp_path, caplog):
    tasks = {}
    for name, until in (("grown", UNTIL), ("early", datetime(2100, 1, 1, tzinfo=UTC))):
        given = sweep_of(tmp_path / f"{name}.json", *DEMO, until=until)
        settings, _, tuning = settings_of(*DEMO, given)
        prepared = prepare_symbols(settings).prepared
        with caplog.at_level("INFO", logger="pipelines"):
            made = make_tasks(settings, prepared, tmp_path, applied(tuning, prepared))
        tasks[name] = next(task for task in made if task.model.name == "XGBoost")
    assert "EURUSD XGBoost: was swept on other data of this symbol, until 2010" in caplog.text
    assert (tasks["grown"].tuning.adopted, tasks["grown"].stronger) == (True, ())
    assert tasks["grown"].model.hyperparameters["max_depth"] == 1
    assert "EURUSD XGBoost: trained as configured: it was tuned until 2100-01-01" in caplog.text
    assert tasks["early"].tuning.adopted is False
    assert len(tasks["early"].stronger) == 3
    assert tasks["early"].judged_from is None


@pytest.mark.parametrize("kind", ["always", "none"])
def test_augmentation_that_is_not_adaptive_stays_as_configured(kind, tmp_path):
    given = sweep_of(tmp_path / "tuned.json", *DEMO, f"augmentation={kind}")
    settings, _, tuning = settings_of(*DEMO, f"augmentation={kind}", given)
    prepared = prepare_symbols(settings).prepared
    made = make_tasks(settings, prepared, tmp_path, applied(tuning, prepared))
    (task,) = (one for one in made if one.model.name == "XGBoost")
    assert (task.tuning.adopted, task.augmentation) == (True, kind)


def test_fits_that_another_run_has_made_are_not_made_again(tmp_path):
    settings, _, _ = settings_of(*PLAIN)
    prepared = prepare_symbols(settings).prepared
    first = make_tasks(settings, prepared, tmp_path / "untuned")
    assert taken_over(first, tmp_path / "nothing") == 0
    list(run_tasks(first, 1))
    given = sweep_of(tmp_path / "tuned.json", *PLAIN)
    settings, _, tuning = settings_of(*PLAIN, given)
    tasks = make_tasks(settings, prepared, tmp_path / "tuned", applied(tuning, prepared))
    n_fits = taken_over(tasks, tmp_path / "untuned")
    kept = {one.model.name: kept_units(one.keeping.folder, one.keeping.key) for one in tasks}
    # Those of the tuned model are others.
    assert {name: len(units) for name, units in kept.items()} == {
        "XGBoost": 0,
        "Council": 7,
        "MajorityClass": 7,
    }
    assert n_fits == 14
    assert taken_over(tasks, tmp_path / "untuned") == 0
    steps = [one for one in run_tasks(tasks, 1) if isinstance(one, Step)]
    others = [one.ended for one in steps if one.ended and one.task.model.name != "XGBoost"]
    assert [one.was_kept for one in others] == [True] * 14


def test_a_run_takes_over_what_the_untuned_one_has_fitted_unless_it_starts_afresh(
    tmp_path, monkeypatch, caplog
):
    from pipelines.cost import RunCost
    from pipelines.training_run import TrainingRun

    monkeypatch.chdir(tmp_path)
    given = sweep_of(Path("tuned.json"), *PLAIN)
    counts = []
    for further in ((), (given,), (given, "resume=false")):
        conf = composed(*PLAIN, *further)
        caplog.clear()
        with caplog.at_level("INFO", logger="pipelines"):
            assert TrainingRun(train_settings(conf), conf, RunCost()).run() in (0, 3)
        counts.append(caplog.text.count("14 fits taken over from runs/"))
    assert counts == [0, 1, 0]
    assert len([one for one in Path("runs").iterdir() if (one / "run.json").exists()]) == 2
