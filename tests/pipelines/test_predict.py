import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from market.build import build_event_table
from market.simulate import SimulatedMarket
from models.store import load_model
from pipelines.answers import Answer, in_words, show
from pipelines.command import ConfigError
from pipelines.predict import predict
from pipelines.predict_settings import predict_settings
from pipelines.settings import feature_settings
from selection import DeployedModels
from tests.pipelines.conftest import (
    LENIENT,
    TINY,
    command,
    composed,
    environment,
    trained,
    write_bars,
)
from tests.pipelines.test_help import HEAVY, LISTS_IMPORTS

KINDS = {"random_forest": "RandomForest", "xgboost": "XGBoost", "mlp": "MLP", "lstm": "LSTM"}
BREAK_EVEN = (2.0 + 0.13) / (2.0 + 2.0)
NULLS = ("~null_models.logistic", "~null_models.majority")
DEMO = ("data=demo", "data.n_bars=4000")


def only(kind):
    return ["~models.council", *(f"~models.{other}" for other in KINDS if other != kind)]


@pytest.fixture(scope="module", params=list(KINDS))
def one_kind(request, tmp_path_factory):
    """Name of the one kind of model trained, and the run."""
    folder = tmp_path_factory.mktemp(request.param)
    overrides = (*TINY, *LENIENT, *DEMO, "symbols=[EURUSD]", *NULLS, *only(request.param))
    return KINDS[request.param], trained(folder, *overrides)


@pytest.fixture(scope="module")
def forests(tmp_path_factory):
    """EURUSD and GBPUSD with a forest each; the manifest's path."""
    folder = tmp_path_factory.mktemp("forests")
    trained(folder, *TINY, *LENIENT, *DEMO, *NULLS, *only("random_forest"))
    return folder / "deploy" / "manifest.json"


@pytest.fixture
def spoilt(forests, tmp_path):
    """Return a copy of the manifest, changed, with its artifacts beside it."""

    def spoil(change):
        manifest = json.loads(forests.read_text())
        change(manifest)
        shutil.copytree(forests.parent / "artifacts", tmp_path / "artifacts")
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(manifest))
        return path

    return spoil


@pytest.fixture
def answers(tmp_path, capsys):
    """Run predict in this process; return exit code, JSON document and both streams."""

    def run(manifest, *overrides):
        output = tmp_path / "signals.json"
        places = (f"manifest={manifest}", f"output={output}")
        code = predict(composed(*places, *overrides, config_name="predict"))
        said = capsys.readouterr()
        return code, json.loads(output.read_text()), said.out, said.err

    return run


def test_bars_are_judged_as_the_trained_model_judges_its_table(one_kind):
    name, run = one_kind
    deployed = DeployedModels.from_manifest(run.folder / "deploy" / "manifest.json")
    settings = feature_settings(composed("features_dir=x", *DEMO, config_name="features"))
    bars = settings.source.bars("EURUSD", settings.seed)
    table = build_event_table(
        bars, features=settings.features, events=settings.events, labels=settings.labels
    )
    said = deployed.predict_bars("EURUSD", bars)
    model = load_model(run.folder / "out" / "models" / f"EURUSD_{name}")
    assert said.model == name
    assert (said.t0_N == table.t0_N).all()
    assert (said.direction_N == table.x_NF[:, table.names_F.index("TBM_Entry")]).all()
    assert np.abs(said.p_win_N - model.predict_proba(table.x_NF)[:, 1]).max() <= 1e-5


def test_rows_with_context_are_judged_as_the_trained_model_judges_them(one_kind):
    name, run = one_kind
    deployed = DeployedModels.from_manifest(run.folder / "deploy" / "manifest.json")
    settings = feature_settings(composed("features_dir=x", *DEMO, config_name="features"))
    table = build_event_table(
        settings.source.bars("EURUSD", settings.seed),
        features=settings.features,
        events=settings.events,
        labels=settings.labels,
    )
    rows, before = table.to_frame()[20:], table.to_frame()[:20]
    model = load_model(run.folder / "out" / "models" / f"EURUSD_{name}")
    assert deployed.lookback_rows("EURUSD") == model.context_rows
    said = deployed.predict_proba("EURUSD", rows, before)
    wanted = model.predict_proba(table.x_NF[20:], table.x_NF[:20])
    assert np.abs(said - wanted).max() <= 1e-5


def test_a_process_of_its_own_says_what_to_do(forests, tmp_path):
    arguments = (f"manifest={forests}", *DEMO, "output=signals.json")
    ended = command("predict", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert max(len(line) for line in ended.stdout.splitlines()[:-4]) <= 80
    document = json.loads((tmp_path / "signals.json").read_text())
    assert list(document["signals"]) == ["EURUSD", "GBPUSD"]
    for one in document["signals"].values():
        assert one["signal"] in ("BUY", "SELL", "HOLD")
        assert one["signal"] in ended.stdout
        assert one["model"] == "RandomForest"
        assert one["stale"]


@pytest.mark.parametrize("asked", [["--help"], ["--cfg", "job"]])
def test_asking_imports_nothing_heavy(asked, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", LISTS_IMPORTS, "predict", *asked],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.split()[0] == "0"
    assert not HEAVY & set(ended.stderr.split())


def test_a_signal_is_that_of_the_event_at_the_last_bar(forests, answers):
    bars = SimulatedMarket(n_bars=4000, edge=0.15).bars("EURUSD", 7)
    said = DeployedModels.from_manifest(forests).predict_bars("EURUSD", bars)
    n_bars_N = bars.close_time_T.searchsorted(said.t0_N) + 1
    for n in range(len(said) - 6, len(said)):
        code, document, out, _ = answers(
            forests, "data=demo", f"data.n_bars={n_bars_N[n]}", "symbols=[EURUSD]", "format=json"
        )
        assert code == 0
        assert json.loads(out) == document
        one = document["signals"]["EURUSD"]
        side = "BUY" if said.direction_N[n] > 0 else "SELL"
        assert one["signal"] == (side if said.p_win_N[n] >= BREAK_EVEN else "HOLD")
        assert one["threshold"] == pytest.approx(BREAK_EVEN)
        assert one["probability"] == pytest.approx(said.p_win_N[n], abs=1e-12)
        assert one["closed_at"] == f"{bars.close_time_T[n_bars_N[n] - 1].astype('M8[s]')}+00:00"


def test_a_symbol_that_fails_is_named_and_the_others_go_on(spoilt, answers, tmp_path):
    path = spoilt(lambda manifest: None)
    weights = next((path.parent / "artifacts" / "GBPUSD").rglob("*.safetensors"))
    weights.write_bytes(b"x")
    code, document, out, err = answers(path, *DEMO)
    assert code == 3
    assert err.startswith("GBPUSD: artifacts/GBPUSD/RandomForest-")
    assert err.count("\n") == 1
    assert document["signals"]["GBPUSD"]["signal"] is None
    assert document["signals"]["EURUSD"]["error"] is None
    assert "failed" in out
    assert answers(path, *DEMO, "symbols=[GBPUSD]")[0] == 1


def test_files_that_are_missing_or_broken_are_named(forests, answers, tmp_path):
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "EURUSD.csv").write_text("time,open,high,low,close\nnever,1,1,1,1\n" * 2)
    code, document, _, err = answers(forests, "data=bars", f"data.dir={tmp_path}/bars")
    assert code == 1
    assert err.count("\n") == 3
    assert "EURUSD.csv" in document["signals"]["EURUSD"]["error"]
    assert document["signals"]["GBPUSD"]["error"] == (
        "GBPUSD: is not in the data; there are: EURUSD"
    )


def test_simulated_models_on_real_bars_come_with_a_warning(forests, answers, tmp_path):
    (tmp_path / "bars").mkdir()
    write_bars(tmp_path / "bars", "EURUSD")
    data = ("data=bars", f"data.dir={tmp_path}/bars", "symbols=[EURUSD]")
    code, document, _, err = answers(forests, *data)
    assert code == 0
    assert err == f"warning: {document['warnings'][0]}\n"
    assert "simulated market" in err
    assert "do not trade" in err


def test_real_models_on_simulated_bars_come_with_a_warning(spoilt, answers):
    path = spoilt(lambda manifest: manifest["provenance"].update(simulated=False))
    assert answers(path, *DEMO)[1]["warnings"] == [
        "these bars are simulated, the models were trained on real prices"
    ]


def test_a_symbol_without_a_model_is_hold_and_says_why(spoilt, answers):
    def unselect(manifest):
        none = {"selected_model": None, "reason": "No signal", "action": "MANUAL_REVIEW_REQUIRED"}
        manifest["selections"]["EURUSD"] = none
        manifest["summary"] |= {"models_selected": 1, "manual_review_needed": 1}

    code, document, out, err = answers(spoilt(unselect), *DEMO)
    assert (code, err) == (0, "")
    one = document["signals"]["EURUSD"]
    assert (one["signal"], one["reason"], one["model"]) == ("HOLD", "no model: No signal", None)
    assert "no model" in out


def test_a_definition_of_another_version_is_named(spoilt, answers):
    def foreign(manifest):
        for selection in manifest["selections"].values():
            selection["features"]["definition"]["features"]["wavelets"] = 3

    code, _, _, err = answers(spoilt(foreign), *DEMO)
    assert code == 1
    assert err.splitlines() == [
        f"{symbol}: this version cannot build features.wavelets: is unknown here"
        for symbol in ("EURUSD", "GBPUSD")
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["features"].update(definition="x"),
        lambda one: one["features"]["definition"].update(bar_length_s=1e300),
        lambda one: one["label"].update(kind=["a"]),
        lambda one: one["label"].update(kind={"a": "b"}),
        lambda one: one["label"].update(max_bars=2**63),
        lambda one: one["features"]["definition"]["events"].update(min_spacing_bars=10**30),
        lambda one: one["features"]["definition"]["features"].update(zscore_bars=2**63),
        lambda one: one["features"]["definition"]["features"].update(zscore_bars=9_999_999),
    ],
)
def test_a_definition_that_cannot_be_right_costs_no_other_symbol(spoilt, answers, change):
    path = spoilt(lambda manifest: change(manifest["selections"]["GBPUSD"]))
    code, document, _, err = answers(path, *DEMO)
    assert (code, err.count("\n")) == (3, 1)
    assert err.startswith("GBPUSD: ")
    assert document["signals"]["GBPUSD"]["signal"] is None
    assert document["signals"]["EURUSD"]["signal"] in ("BUY", "SELL", "HOLD")


def test_what_a_manifest_says_reaches_the_terminal_as_plain_text(spoilt, answers):
    def unselect(manifest):
        none = {"selected_model": None, "reason": "a\x1b[2J\nb :x:", "action": "REVIEW"}
        manifest["selections"]["EURUSD"] = none
        manifest["summary"] |= {"models_selected": 1, "manual_review_needed": 1}
        definition = manifest["selections"]["GBPUSD"]["features"]["definition"]
        definition["features"]["\x1b]0;:x:\n"] = 1

    _, document, out, err = answers(spoilt(unselect), *DEMO)
    assert document["signals"]["EURUSD"]["reason"] == "no model: a\x1b[2J\nb :x:"
    assert "\x1b" not in out + err
    assert "EURUSD HOLD no model" in " ".join(out.split())
    assert ":x:" in err
    assert err.count("\n") == 1


def test_an_old_last_bar_is_said_in_its_symbols_part_of_the_document(forests, answers):
    document = answers(forests, *DEMO, "symbols=[EURUSD]")[1]
    one = document["signals"]["EURUSD"]
    assert one["stale"]
    assert one["warning"] == "last bar is old: the signal is that of its close, not of now"
    assert document["warnings"] == []


def test_a_row_says_that_its_last_bar_is_old_and_on_which_side_of_the_threshold_it_is(capsys):
    said = {"model": "MLP", "direction": 1, "threshold": 0.5, "age_s": 90_000.0}
    old = Answer("EURUSD", "BUY", probability=0.6, stale=True, **said)
    near = Answer("GBPUSD", "HOLD", probability=0.49996, **said)
    show({"warnings": []}, [old, near], form="table")
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["EURUSD"].rstrip().endswith("last bar is old")
    assert "0.49996     0.5" in rows["GBPUSD"]
    assert "old" not in rows["GBPUSD"]


def test_an_output_that_cannot_be_written_is_found_before_the_work(forests, tmp_path):
    (tmp_path / "file").write_text("")
    for output, sentence in (
        (tmp_path, f"output: {tmp_path} is a folder; name a file"),
        (tmp_path / "file" / "a.json", f"output: {tmp_path}/file cannot be made: File exists"),
        (tmp_path / "file" / "b" / "a.json", f"output: {tmp_path}/file/b cannot be made: Not a "),
    ):
        conf = composed(f"manifest={forests}", f"output={output}", *DEMO, config_name="predict")
        with pytest.raises(ConfigError) as refused:
            predict_settings(conf)
        assert str(refused.value).startswith(sentence)
    conf = composed(
        f"manifest={forests}", f"output={tmp_path}/c/a.json", *DEMO, config_name="predict"
    )
    assert predict_settings(conf).output == tmp_path / "c" / "a.json"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["manifest=nowhere.json"], "manifest: nowhere.json: no such manifest; train first, or "),
        (["manifest=."], "manifest: .: is a folder; give the path of a manifest"),
        (["symbols=[EURUDS]"], "symbols: EURUDS is not in the manifest, did you mean EURUSD?"),
        (["public_key=nowhere.pub"], "public_key: nowhere.pub: no such file"),
        (["symbols=[]"], "symbols: is empty; name at least one, or null for all"),
        (["seed=-1"], "seed must be at least 0, was -1"),
        (["format=xml"], "format must be "),
        (["data.n_bars=0"], "data.n_bars must be "),
        (["+symbol=EURUSD"], "symbol: unknown key, did you mean symbols?"),
        (["data=bars"], "data.dir is missing: give data.dir=..."),
        (["data=bars", "data.dir=nowhere"], "data.dir: nowhere: no such folder"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_one_line(forests, overrides, sentence):
    data = () if any(one.startswith("data=") for one in overrides) else DEMO
    with pytest.raises(ConfigError) as refused:
        predict(composed(f"manifest={forests}", *data, *overrides, config_name="predict"))
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_folder_of_tables_is_refused(forests, tmp_path):
    (tmp_path / "EURUSD.csv").write_text("timestamp,a,label\n2024-01-01,1,1\n")
    data = ("data=table", f"data.dir={tmp_path}")
    with pytest.raises(ConfigError, match=r"^data=table holds no bars"):
        predict(composed(f"manifest={forests}", *data, config_name="predict"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 min"),
        (59 * 60, "59 min"),
        (3 * 3600, "3 h"),
        (47 * 3600, "47 h"),
        (5 * 86_400, "5 days"),
        (90 * 86_400, "3 months"),
        (7 * 365.25 * 86_400, "7 years"),
    ],
)
def test_an_age_is_said_as_a_person_says_it(seconds, words):
    assert in_words(seconds) == words
