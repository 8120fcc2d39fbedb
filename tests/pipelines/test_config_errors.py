import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.command import ConfigError
from pipelines.features import write_features
from pipelines.sections import MODELS
from pipelines.settings import train_settings
from tests.pipelines.conftest import ONE_LINE, command, composed, write_bars


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
        ("regularize.xgbost=[]", "regularize.xgboost"),
        ("regularize.xgboost=[{max_dept: 3}]", "max_depth"),
        ("selection.alfa=0.1", "selection.alpha"),
        ("selection=certfied", "certified"),
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
        ("tracking.figures=2", "tracking.figures must be true or false, was 2"),
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
        ("augmentation=smote", "augmentation=smote: no such option; there are: adaptive, always,"),
        ("regularize=none", "regularize=none: no such option; there are: adaptive, reference"),
        ("monitor=3", "monitor=3: no such option; there are: default"),
        ("data=null", "data=null: no such option; there are: bars, changing, demo, demo_short"),
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
        ("resume=maybe", "resume must be true or false, was 'maybe'"),
        ("execution.memory_limit=2", "execution.memory_limit must be a size of at least 256MB "),
        ("execution.memory_limit=much", "execution.memory_limit must be a size of at least 256MB "),
        ("selection.alpha=0", "selection.alpha must be in (0, 0.5), was 0.0"),
        ("selection.alpha=2", "selection.alpha must be in (0, 0.5), was 2.0"),
        ("selection.alpha=null", "selection.alpha must be a number, was None"),
        ("selection.seeds=0", "selection.seeds must be at least 1, was 0"),
        ("selection.seeds=1.5", "selection.seeds must be a whole number, was 1.5"),
        (
            "selection.hard=[gap]",
            "selection.hard must be a list of any of max_gap, min_accuracy, stability, was ['gap']",
        ),
        ("selection.hard=max_gap", "selection.hard must be a list of any of max_gap, min_accuracy"),
        ("training.calibration=platt", "training.calibration must be one of auto, none, was "),
        ("training.decision_threshold=1", "training.decision_threshold must be in (0, 1), was 1.0"),
        (
            "training.decision_threshold=often",
            "training.decision_threshold must be a number or null, was 'often'",
        ),
        (
            "regularize.xgboost=[{max_bin: 64}]",
            "regularize.xgboost.0.max_bin is no measure of strength in XGBoost",
        ),
        (
            "regularize.mlp=[{dropout: 0.6},{hidden: 8}]",
            "regularize.mlp.1.hidden must be a list such as [1,2], was 8",
        ),
        (
            "regularize.xgboost=[{max_depth: deep}]",
            "regularize.xgboost.0.max_depth must be a whole number, was 'deep'",
        ),
        ("regularize.xgboost=[{max_depth: 0}]", "regularize.xgboost.0.max_depth must be at least"),
        (
            "regularize.mlp=[3]",
            "regularize.mlp must be a list such as [{key: 1},{key: 2}], was [3]",
        ),
        ("regularize.mlp=null", "regularize.mlp must be a list such as [{key: 1},{key: 2}], was "),
        ("~regularize.lstm", "regularize.lstm is missing"),
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
    removed = [f"~models.{name}" for name in MODELS]
    assert refusal(*removed).startswith("models: none left to train; keep one of random_forest")


@pytest.mark.parametrize("missing", ["~models.council", "~model@models.council"])
def test_evidence_cannot_be_judged_without_its_council(refusal, missing):
    said = refusal(missing)
    assert said.startswith("models.council is missing: selection=certified judges by it")
    assert said.endswith("choose selection=reference")
    train_settings(composed(missing, "selection=reference"))


def test_evidence_cannot_be_judged_on_another_split(refusal):
    said = refusal("split=reference")
    assert said.startswith("selection=certified needs the out-of-fold predictions of ")
    assert "split=walk_forward" in said
    assert said.endswith("choose selection=reference")
    train_settings(composed("split=reference", "selection=reference"))


def test_a_measure_of_strength_is_named_where_another_key_was_given(refusal):
    said = refusal("regularize.random_forest=[{min_leaf_share: 0.1},{max_features: log2}]")
    assert said.startswith("regularize.random_forest.1.max_features is no measure of strength")
    assert "those are: " in said
    assert "min_leaf_share" in said.partition("those are: ")[2]


@pytest.mark.parametrize(
    "unpayable",
    ["costs.spread_atr=1.95", "costs.slippage_atr=3", "labels.profit_atr=0.13"],
)
def test_costs_that_eat_the_target_are_refused_with_every_key_that_could_mend_it(
    refusal, unpayable
):
    said = refusal(unpayable)
    for name in ("spread", "commission", "slippage"):
        assert f"costs.{name}_atr" in said
    assert "labels.profit_atr" in said
    assert said.endswith("lower the costs or widen the target")


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
        elif isinstance(value, list):
            for position, inner in enumerate(value):
                if isinstance(inner, dict):
                    walk((*path, position), inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.add(path)

    for base in BASES:
        walk((), base)
    return sorted(found, key=dotted)


def dotted(path):
    return ".".join(map(str, path))


BASES = [composed(), composed("split=reference", "selection=reference", "augmentation=always")]
NUMERIC = numeric_keys()


def changed(conf, path, value):
    other = inner = copy.deepcopy(conf)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return other


def has(conf, path):
    for key in path:
        if isinstance(conf, dict) and key not in conf:
            return False
        if isinstance(conf, list) and key >= len(conf):
            return False
        conf = conf[key]
    return True


def test_the_numbers_of_every_section_are_tried():
    assert len(NUMERIC) > 60
    tried = {path[0] for path in NUMERIC}
    assert tried >= {"split", "models", "monitor", "costs", "selection", "regularize"}


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


@pytest.mark.parametrize("path", NEVER_NEGATIVE, ids=dotted)
@pytest.mark.parametrize("kind", [int, float])
def test_minus_one_is_refused_everywhere(path, kind):
    conf = next(changed(base, path, kind(-1)) for base in BASES if has(base, path))
    with pytest.raises(ConfigError, match=path[-1]):
        train_settings(conf)


@pytest.mark.parametrize("path", NUMERIC, ids=dotted)
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
