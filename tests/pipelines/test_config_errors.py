import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.command import ConfigError, run_command
from pipelines.features import write_features
from pipelines.settings import train_settings
from tests.pipelines.conftest import command, composed, write_bars

ONE_LINE = re.compile(r"configuration error: [^\n]+\n")


def check_only(conf):
    """Check as train_all does, but train nothing where a mistake is accepted."""
    train_settings(conf)
    return 0


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Run a command that must refuse its arguments; return the sentence it gives."""

    def run(*arguments, name="train_all", body=check_only):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as end:
            run_command(name, body)
        said = capsys.readouterr()
        assert end.value.code == 2
        assert said.out == ""
        assert ONE_LINE.fullmatch(said.err), said.err
        assert sorted(tmp_path.rglob("*")) == before
        return said.err.removeprefix("configuration error: ").rstrip("\n")

    return run


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("data.n_bar=5", "data.n_bars"),
        ("dat=demo", "data"),
        ("sed=1", "seed"),
        ("models.xgboost.max_dept=3", "models.xgboost.max_depth"),
        ("modls.xgboost.max_depth=3", "models.xgboost.max_depth"),
        ("null_models.logistic.c_row=1", "null_models.logistic.c_rows"),
        ("trainig.decision_threshold=0.6", "training.decision_threshold"),
        ("manifest.pth=a.json", "manifest.path"),
        ("+symbol=[EURUSD]", "symbols"),
        ("+models.xgboost.max_dept=3", "max_depth"),
        ("+manifest.pathh=a.json", "path"),
        ("+split.n_block=3", "n_blocks"),
        ("~models.lstmm", "models.lstm"),
        ("~model@models.lstmm", "model@models.lstm"),
        ("+model@models.xgbost=xgboost", "xgboost"),
        ("data=demos", "demo"),
        ("model@models.mlp=mpl", "mlp"),
        ("debug=smok", "smoke"),
        ("experiment=fx_h2", "fx_h1"),
        ("symbols=[EURUSDD]", "EURUSD"),
        ("monitr=default", "monitor"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_the_right_name(refusal, argument, wanted):
    said = refusal(argument)
    assert said.endswith(f", did you mean {wanted}?")
    key = argument.lstrip("+~").partition("=")[0]
    assert said.startswith(key.removeprefix("+").replace("+", "").split("@")[0][:4])


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("seed=abc", "seed must be a whole number, was 'abc'"),
        ("seed=1.5", "seed must be a whole number, was 1.5"),
        ("seed=true", "seed must be a whole number, was True"),
        ("seed=null", "seed must be a whole number, was None"),
        ("seed=-1", "seed must be at least 0, was -1"),
        ("data.n_bars=1e3", "data.n_bars must be a whole number, was 1000.0"),
        ("data.edge=lots", "data.edge must be a number, was 'lots'"),
        ("data.edge=true", "data.edge must be a number, was True"),
        ("events.breaks=1", "events.breaks must be true or false, was 1"),
        ("models.mlp.hidden=16", "models.mlp.hidden must be a list such as [1,2], was 16"),
        ("models.mlp.hidden=[a]", "models.mlp.hidden must be a list such as [1,2], was ['a']"),
        ("models.xgboost=3", "models.xgboost: must hold keys (n_estimators,"),
        ("models.lstm=null", "models.lstm: must hold keys (hidden,"),
        ("models=null", "models: must hold models, was None"),
        ("manifest.path=null", "manifest.path must be text, was None"),
        ("manifest.path=deploy", "manifest.path must end in .json, was deploy"),
        ("tracking.uri=mlflow.db", "tracking.uri must be sqlite:///<file> or http(s)://<host>"),
        ("tracking.experiment=''", "tracking.experiment must be a name, was empty"),
        ("execution.workers=0", "execution.workers must be at least 1, was 0"),
        ("symbols=EURUSD", "symbols must be a list such as [A,B] or null, was 'EURUSD'"),
        ("symbols=A,B", "symbols=A,B: write a list as symbols=[A,B], or sweep over it with -m"),
        ("symbols=[]", "symbols: is empty; name at least one, or null for all"),
        ("symbols=[1]", "symbols must be a list such as [A,B] or null, was [1]"),
        ("~seed", "seed is missing"),
        ("~data", "data is missing"),
        ("data=bars", "data.dir is missing: give data.dir=..."),
        ("experiment=fx_h1", "data.dir is missing: give data.dir=..."),
        ("augmentation=adaptive", "augmentation=adaptive: no such option; there are: always, none"),
        ("monitor=3", "monitor=3: no such option; there are: default"),
        ("data=null", "data=null: no such option; there are: bars, demo, demo_short, table"),
        ("monitor={a: 1}", "monitor: must be one of default"),
        ("split.train_fraction=0.5", "split.train_fraction: no such key here; it belongs to split"),
        ("data.dir=here", "data.dir: no such key here; it belongs to data=bars or data=table"),
        ("split.first_train=1.5", "split.first_train must be in (0, 1), was 1.5"),
        ("costs.spread_atr=-1", "costs.spread_atr must be at least 0, was -1"),
        ("split.kind=reference", "split.first_train: unknown key"),
        ("+augmentation.seed=3", "augmentation.seed: unknown key"),
        ("+monitor.clock=3", "monitor.clock: unknown key"),
        ("monitor.max_minutes=inf", "monitor.max_minutes must be a number, was inf"),
        ("split.kind=random", "split.kind: must be one of walk_forward, reference, was random"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_what_is_wanted(refusal, argument, sentence):
    assert refusal(argument).startswith(sentence)


def test_a_command_never_suggests_the_keys_of_another(refusal):
    assert "did you mean features_dir" not in refusal("features_dir=out")
    said = refusal("seeds=1", name="features", body=write_features)
    assert said == "seeds: unknown key, did you mean seed?"
    said = refusal("models.xgboost.max_depth=3", name="features", body=write_features)
    assert said.startswith("models.xgboost.max_depth: unknown key")


def test_removing_every_model_is_refused(refusal):
    removed = [f"~models.{name}" for name in ("random_forest", "xgboost", "mlp", "lstm")]
    assert refusal(*removed).startswith("models: none left to train; keep one of random_forest")


def test_a_folder_that_is_not_there_or_holds_nothing_is_named(refusal, tmp_path):
    for group in ("bars", "table"):
        said = refusal(f"data={group}", f"data.dir={tmp_path}/nowhere")
        assert said == f"data.dir: {tmp_path}/nowhere: no such folder"
        said = refusal(f"data={group}", f"data.dir={tmp_path}")
        assert said.startswith(f"data.dir: {tmp_path}: no .parquet or .csv file")


def test_a_symbol_that_a_folder_does_not_hold_is_named_with_the_nearest(refusal, tmp_path):
    write_bars(tmp_path, "EURUSD", 10)
    said = refusal("data=bars", f"data.dir={tmp_path}", "symbols=[EURUSB]")
    assert said == "symbols: EURUSB is not in the data, did you mean EURUSD?"


def test_features_refuses_tables_and_wants_a_folder_to_write_to(refusal, tmp_path):
    said = refusal(name="features", body=write_features)
    assert said == "features_dir is missing: give features_dir=..."
    write_bars(tmp_path, "EURUSD", 10)
    table = ("data=table", f"data.dir={tmp_path}", "features_dir=out")
    assert refusal(*table, name="features", body=write_features).startswith("data=table holds")


@pytest.mark.parametrize("argument", ["seed='", "data.n_bars=[", "=", "models.xgboost.max_depth"])
def test_an_argument_that_cannot_be_read_is_told_in_one_line(refusal, argument):
    said = refusal(argument)
    unread = f"{argument}: cannot be read as key=value; quote a value"
    assert said.startswith(unread) or said.endswith("; see --help")


def test_features_never_overwrite_the_bars_they_are_made_of(refusal, tmp_path):
    write_bars(tmp_path, "EURUSD", 10)
    places = ("data=bars", f"data.dir={tmp_path}", f"features_dir={tmp_path}/.")
    said = refusal(*places, name="features", body=write_features)
    assert said.startswith(f"features_dir: {tmp_path} is data.dir")


def test_a_simulated_run_does_not_replace_a_manifest_of_real_data(refusal, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text('{"provenance": {"simulated": false}}')
    assert refusal(f"manifest.path={path}").startswith(f"manifest.path: {path} is of real data")


def test_what_else_is_wrong_is_said_before_a_folder_is_looked_at(refusal):
    assert refusal("data=bars", "data.dir=nowhere", "seed=-1").startswith("seed")


def numeric_keys():
    """Return the path of every number in the configuration, its presets and options included."""
    found = set()

    def walk(path, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.add(path)

    variants = [(), ("split=reference",), ("augmentation=always",)]
    for overrides in variants:
        walk((), composed(*overrides))
    return sorted(found)


NUMERIC = numeric_keys()
BASES = [composed(), composed("split=reference", "augmentation=always")]


def changed(conf, path, value):
    head, *rest = path
    return {**conf, head: changed(conf[head], rest, value) if rest else value}


def has(conf, path):
    for key in path:
        if key not in conf:
            return False
        conf = conf[key]
    return True


def test_the_numbers_of_every_section_are_tried():
    assert len(NUMERIC) > 60
    assert {path[0] for path in NUMERIC} >= {"split", "models", "monitor", "costs", "selection"}


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(NUMERIC),
    st.sampled_from([-1, -1.0, 0, 0.0, 1, 1.0, 1e9, 10**9, float("nan"), float("inf"), -(10**30)]),
)
def test_any_number_builds_or_is_refused_in_one_line_naming_its_key(path, value):
    conf = next(changed(base, path, value) for base in BASES if has(base, path))
    try:
        train_settings(conf)
    except ConfigError as error:
        said = str(error)
        assert "\n" not in said
        assert path[-1] in said, said
        assert said.startswith(path[0]), said


NEVER_NEGATIVE = [path for path in NUMERIC if path not in {("data", "edge")}]


@pytest.mark.parametrize("path", NEVER_NEGATIVE, ids=".".join)
@pytest.mark.parametrize("kind", [int, float])
def test_minus_one_is_refused_everywhere(path, kind):
    conf = next(changed(base, path, kind(-1)) for base in BASES if has(base, path))
    with pytest.raises(ConfigError, match=path[-1]):
        train_settings(conf)


@pytest.mark.parametrize("path", NUMERIC, ids=".".join)
def test_not_a_number_is_refused_everywhere(path):
    conf = next(changed(base, path, float("nan")) for base in BASES if has(base, path))
    with pytest.raises(ConfigError, match=path[-1]):
        train_settings(conf)


def test_the_process_ends_with_code_2_and_leaves_nothing_behind(tmp_path):
    for name, argument in (("train_all", "seed=abc"), ("features", "seed=abc")):
        ended = command(name, argument, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ONE_LINE.fullmatch(ended.stderr), ended.stderr
        assert list(tmp_path.iterdir()) == []
