import inspect

import pytest

from backtest.costs import Account
from exits.exit_net_training import NetSettings
from exits.learning import LearningSettings
from pipelines.backtest_settings import (
    EVALUATORS,
    EXITS,
    EntryChoice,
    ReplayedBars,
    backtest_settings,
)
from pipelines.settings import CHOICES, MODEL_SECTIONS, MODELS, SECTIONS, train_settings
from pipelines.train_exits_settings import Hindsight, learning_settings
from selection.certified import CertifiedSelector
from tests.pipelines.conftest import CONF, composed, write_bars

PLACED = {"model": "model@models", "null_model": "null_model@null_models"}
# Groups that train_all has not; see test_sweep_settings and the end of this file.
OF_BACKTEST = ("account", "evaluator", "exits")
OF_TRAIN_EXITS = ("exit_learning", "exit_net")
# Tried with the recorder, in test_record.
OF_LIVE = ("alerts", "events_bus")
OF_OTHERS = ("search", "sweep", *OF_BACKTEST, *OF_TRAIN_EXITS, *OF_LIVE)
# Options with a key that has no default.
NEED_MORE = {("data", "bars"), ("data", "table"), ("tracking", "server")}
OPTIONS = [
    (path.parent.name, path.stem)
    for path in sorted(CONF.glob("*/*.yaml"))
    if (path.parent.name, path.stem) not in NEED_MORE
    and path.parent.name not in ("experiment", *OF_OTHERS)
]
# A market that stays what it is says nothing of them: its digests are what they were.
OF_A_CHANGE = {"changes_at", "edge_after", "volatility_after"}


def keyword_names(kind):
    """Return what a configuration may set; the rest is the run's."""
    return set(inspect.signature(kind).parameters) - {"clock", "gives_up", "seed"}


def plain_keys(section):
    return {key for key in section if key != "kind"}


def choice(group, option):
    placed = f"{PLACED[group]}.{option}" if group in PLACED else group
    return f"{placed}={option}"


def goes_with(group, option):
    """Return what an option cannot do without."""
    return ["selection=reference"] if (group, option) == ("split", "reference") else []


@pytest.fixture
def folder(tmp_path):
    write_bars(tmp_path, "EURUSD", 300)
    return tmp_path


def test_the_defaults_make_five_models_two_null_models_and_eleven_symbols():
    settings = train_settings(composed())
    names = [model.name for model in settings.models]
    assert names == ["RandomForest", "XGBoost", "MLP", "LSTM", "Council"]
    assert [model.name for model in settings.null_models] == ["MajorityClass", "LogisticRegression"]
    assert len(settings.symbols) == 11
    assert settings.output_dir is None


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_of_every_group_builds(group, option):
    train_settings(composed(choice(group, option), *goes_with(group, option)))


@pytest.mark.parametrize("option", ["bars", "table"])
def test_a_folder_of_files_builds_and_names_its_symbols(option, folder):
    settings = train_settings(composed(f"data={option}", f"data.dir={folder}"))
    assert settings.symbols == ["EURUSD"]


def test_the_committed_experiment_takes_its_symbols_from_a_folder(folder):
    named = composed("experiment=fx_h1", f"data.dir={folder}")["symbols"]
    for symbol in named:
        write_bars(folder, symbol, 300)
    settings = train_settings(composed("experiment=fx_h1", f"data.dir={folder}"))
    assert settings.symbols == named
    assert len(named) == 11


@pytest.mark.parametrize("preset", ["debug=smoke", "experiment=fx_h1"])
def test_a_preset_goes_with_every_tracker_and_names_the_experiment(preset, folder):
    for symbol in composed("experiment=fx_h1", "data.dir=.")["symbols"]:
        write_bars(folder, symbol, 300)
    data = () if preset == "debug=smoke" else (f"data.dir={folder}",)
    train_settings(composed(preset, *data, "tracking=none"))
    assert (
        composed(preset, *data, "tracking=sqlite")["tracking"]["experiment"]
        == preset.partition("=")[2]
    )


def test_the_fast_preset_changes_models_alone_and_one_can_be_left_out():
    plain, fast = composed(), composed("preset=fast")
    train_settings(fast)
    assert plain.pop("models") != fast.pop("models")
    assert plain == fast
    settings = train_settings(composed("preset=fast", "~models.lstm"))
    assert "LSTM" not in [model.name for model in settings.models]


@pytest.mark.parametrize(
    ("group", "option"), [one for one in OPTIONS if one[0] not in ("debug", "preset")]
)
def test_a_sections_keys_are_its_constructors_arguments(group, option):
    conf = composed(choice(group, option), *goes_with(group, option))
    if group in PLACED:
        place = f"{group}s"
        kind, section = MODEL_SECTIONS[place][option], conf[place][option]
    elif group in SECTIONS:
        kind, section = SECTIONS[group], conf[group]
    else:
        kind, section = CHOICES[group][conf[group]["kind"]], conf[group]
    left_out = OF_A_CHANGE if option in ("demo", "demo_short") else set()
    assert plain_keys(section) == keyword_names(kind) - left_out


@pytest.mark.parametrize("name", ["training", "manifest"])
def test_a_root_sections_keys_are_its_constructors_arguments(name):
    assert set(composed()[name]) == keyword_names(SECTIONS[name])


@pytest.mark.parametrize("option", ["bars", "table"])
def test_a_folders_keys_are_its_constructors_arguments(option):
    section = composed(f"data={option}", "data.dir=.")["data"]
    assert plain_keys(section) == keyword_names(CHOICES["data"][option])


def test_the_hyperparameters_are_the_reference_systems():
    models = composed()["models"]
    forest = {"n_estimators": 200, "max_depth": 10, "min_samples_split": 20}
    forest |= {"min_samples_leaf": 10, "max_features": "sqrt", "max_samples": 0.7}
    forest |= {"class_weight": "balanced", "min_leaf_share": 0.0}
    assert models["random_forest"] == forest
    boosted = {"n_estimators": 200, "max_depth": 4, "learning_rate": 0.1, "subsample": 0.7}
    boosted |= {"colsample_bytree": 0.7, "min_child_weight": 5, "reg_alpha": 0.2}
    assert models["xgboost"].items() >= (boosted | {"reg_lambda": 2.0}).items()


def test_the_nets_hyperparameters_are_the_reference_systems():
    models = composed()["models"]
    epochs = {"max_epochs": 100, "patience": 15}
    mlp = {"hidden": [256, 128, 64], "dropout": 0.4, "weight_decay": 0.001, "batch_size": 64}
    mlp |= {"label_smoothing": 0.2, "learning_rate": 0.001}
    assert models["mlp"] == mlp | epochs
    lstm = {"hidden": 64, "layers": 1, "lookback": 10, "dropout": 0.5, "batch_size": 16}
    assert models["lstm"].items() >= (lstm | {"learning_rate": 0.0005} | epochs).items()


def test_the_reference_systems_limits_labels_and_walk_forward_are_the_defaults():
    conf = composed()
    limits = {"max_gap": 0.20, "min_accuracy": 0.55, "stability_threshold": 0.05}
    assert composed("selection=reference")["selection"] == {"kind": "reference"} | limits
    assert conf["selection"].items() >= limits.items()
    barriers = {"profit_atr": 2.0, "stop_atr": 2.0, "max_bars": 48}
    assert conf["labels"] == {"kind": "triple_barrier"} | barriers
    split = {"first_train": 0.4, "n_blocks": 6, "holdout_fraction": 0.15}
    assert conf["split"].items() >= (split | {"min_development_rows": 1000}).items()


def test_evidence_is_asked_for_at_five_percent_and_no_limit_is_hard():
    selector = train_settings(composed()).selector
    assert isinstance(selector, CertifiedSelector)
    assert (selector.alpha, selector.hard, selector.seeds) == (0.05, (), 3)
    assert train_settings(composed("selection.hard=[stability]")).selector.hard == ("stability",)


def test_the_configured_model_is_the_weakest_step_of_its_path():
    settings, steps = train_settings(composed()), composed()["regularize"]
    for key, kind in MODELS.items():
        assert len(settings.stronger[kind.name]) == len(steps.get(key, [])), key
    assert settings.stronger["Council"] == ()
    shares = [one.hyperparameters["min_leaf_share"] for one in settings.stronger["RandomForest"]]
    assert shares == [0.025, 0.05, 0.1, 0.15]
    assert not any(train_settings(composed("regularize=reference")).stronger.values())


def test_a_step_that_would_weaken_what_is_configured_is_none():
    path = (
        "regularize.xgboost=[{max_depth: 3},{max_depth: 2},{max_depth: 1, learning_rate: 0.05}]",
        *("models.xgboost.max_depth=2", "models.xgboost.learning_rate=0.01"),
    )
    stronger = train_settings(composed(*path)).stronger["XGBoost"]
    (only,) = (one.hyperparameters for one in stronger)
    assert (only["max_depth"], only["learning_rate"]) == (1, 0.01)


def test_a_trade_is_taken_from_where_it_pays_for_its_costs_unless_told_otherwise():
    assert train_settings(composed()).payoff.threshold == pytest.approx(2.13 / 4)
    narrow = composed("labels.profit_atr=1", "costs.spread_atr=0.0")
    assert train_settings(narrow).payoff.threshold == pytest.approx(2.05 / 3)
    assert train_settings(composed("training.decision_threshold=0.6")).payoff.threshold == 0.6


def test_models_come_in_the_order_of_the_table_whatever_order_they_are_written_in():
    conf = composed()
    conf["models"] = dict(reversed(conf["models"].items()))
    names = [model.name for model in train_settings(conf).models]
    assert names == [kind.name for kind in MODELS.values()]


def test_a_model_left_out_is_not_trained():
    settings = train_settings(composed("~model@models.lstm", "~models.mlp"))
    assert [model.name for model in settings.models] == ["RandomForest", "XGBoost", "Council"]


def test_a_symbol_named_twice_is_trained_once():
    assert train_settings(composed("symbols=[XAUUSD,EURUSD,XAUUSD]")).symbols == [
        "XAUUSD",
        "EURUSD",
    ]


def test_a_market_without_edge_reaches_the_simulation():
    assert train_settings(composed("data.edge=0.0")).source.edge == 0.0


def learning_conf(*overrides):
    return composed("experiences=none.json", *overrides, config_name="train_exits")


def test_how_exits_are_learnt_is_set_by_its_constructors_arguments():
    conf = learning_conf()
    assert set(conf["exit_net"]) == keyword_names(NetSettings)
    assert {*conf["exit_learning"], "net"} == keyword_names(LearningSettings)
    assert set(conf["exits"]) == keyword_names(Hindsight)
    settings = learning_settings(conf)
    assert (settings.validation_share, settings.net.patience) == (0.2, 20)
    assert settings.net.dropout == [0.3, 0.3, 0.2]


def replay_conf(*overrides):
    return composed(*overrides, config_name="backtest")


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (path.parent.name, path.stem)
        for group in OF_BACKTEST
        for path in sorted(CONF.glob(f"{group}/*.yaml"))
    ],
)
def test_every_option_of_a_replays_groups_builds_of_its_constructors_arguments(group, option):
    conf = replay_conf(f"{group}={option}")
    backtest_settings(conf)
    kinds = {"account": {None: Account}, "exits": EXITS, "evaluator": EVALUATORS}[group]
    kind = kinds[conf[group].get("kind")]
    assert plain_keys(conf[group]) == keyword_names(kind)


def test_a_replays_own_sections_are_their_constructors_arguments():
    conf = replay_conf()
    assert set(conf["entries"]) == keyword_names(EntryChoice)
    assert set(conf["replay"]) == keyword_names(ReplayedBars)


def test_by_default_a_replay_is_of_what_is_deployed_with_sealed_holdouts_and_default_exits():
    settings = backtest_settings(replay_conf())
    assert settings.entries.model == "selected"
    assert not settings.period.opens_holdout
    policy = settings.exits.policy(settings.seed, None)
    assert (policy.name, settings.evaluator, settings.exits.parameters) == ("defaults", None, {})
    assert settings.account == Account()
