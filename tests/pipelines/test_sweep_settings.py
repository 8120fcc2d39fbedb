"""What a sweep may be told, and in what words a mistake is answered."""

import inspect

import pytest
import yaml

from pipelines.command import ConfigError
from pipelines.sweep_settings import OWN_KEYS, Sweep, sweep_settings
from selection import ModelSelector
from selection.selector import nothing_selected
from tests.pipelines.conftest import CONF, composed
from training.tuning.space import Choices, Range

PRESETS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
SPACES = sorted(path.stem for path in (CONF / "search").glob("*.yaml"))
LISTED = ("sweep.sampler=listed", "sweep.models=[xgboost]")


def swept(*overrides):
    return composed(*overrides, config_name="sweep")


def check_only(conf):
    """Check as the sweep does, but search nothing where a mistake is accepted."""
    sweep_settings(conf)
    return 0


@pytest.fixture
def sweep_refusal(refusal):
    return lambda *arguments: refusal(*arguments, name="sweep", body=check_only)


def by_name(settings):
    return {one.model.name: one for one in settings.searched}


def test_by_default_all_models_but_the_council_are_swept_on_all_symbols():
    settings = sweep_settings(swept())
    assert set(by_name(settings)) == {"RandomForest", "XGBoost", "MLP", "LSTM"}
    assert settings.train.symbols == settings.all_symbols
    assert (len(settings.all_symbols), settings.n_seen) == (11, 4)
    assert settings.sweep.budget_s is None
    assert not settings.sweep.unbounded


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_and_its_keys_are_the_ones_a_sweep_has(preset):
    conf = swept(f"sweep={preset}", "sweep.symbols_from=data")
    sweep_settings(conf)
    assert set(conf["sweep"]) == set(inspect.signature(Sweep).parameters)


def test_every_model_that_can_be_swept_has_a_space_of_its_own_name():
    assert {name for name in swept()["models"] if name != "council"} == set(SPACES)
    assert set(OWN_KEYS) == {"search", "sweep"}


def test_what_is_tried_first_is_what_is_configured_and_then_its_path():
    conf = swept("models.xgboost.max_depth=3")
    settings = sweep_settings(conf)
    for one in settings.searched:
        path = [step.hyperparameters for step in settings.train.stronger[one.model.name]]
        assert one.starts == [one.model.hyperparameters, *path]
    assert by_name(settings)["XGBoost"].starts[0]["max_depth"] == 3
    plain = sweep_settings(swept("regularize=reference"))
    assert [len(one.starts) for one in plain.searched] == [1, 1, 1, 1]


def test_no_path_or_preset_leads_out_of_the_space():
    for settings in (
        sweep_settings(swept()),
        sweep_settings(swept("sweep=poor_performers", "sweep.symbols_from=data")),
    ):
        for one in settings.searched:
            assert [start for start in one.starts if one.space.params(start) is None] == []


def test_the_small_search_for_poor_symbols_is_three_strengths_by_two_learning_rates():
    settings = sweep_settings(swept("sweep=poor_performers", "sweep.symbols_from=data"))
    found = by_name(settings)
    assert {name: len(one.starts) for name, one in found.items()} == {
        "RandomForest": 3,
        "XGBoost": 6,
        "MLP": 6,
        "LSTM": 6,
    }
    assert all(one.starts[0] == one.model.hyperparameters for one in found.values())
    for name in ("XGBoost", "MLP", "LSTM"):
        assert len({start["learning_rate"] for start in found[name].starts}) == 2
    assert (settings.sweep.sampler, settings.sweep.retrain) == ("listed", True)
    assert (settings.sweep.fold_share, settings.sweep.epoch_share) == (1.0, 1.0)


def test_a_range_is_overridden_by_the_usual_words_and_bounded_by_what_is_configured():
    given = ("search.xgboost.max_depth.low=2", "search.xgboost.reg_lambda.high=9")
    tried = by_name(sweep_settings(swept(*given)))["XGBoost"].space.tried
    assert (tried["max_depth"], tried["reg_lambda"]) == (Range(2, 4), Range(2.0, 9.0, log=True))
    wide = by_name(sweep_settings(swept(*given, "sweep.unbounded=true")))["XGBoost"].space.tried
    assert (wide["max_depth"], wide["reg_lambda"]) == (Range(2, 8), Range(0.5, 9.0, log=True))
    added = "+search.xgboost.max_bin={choices: [64, 256]}"
    more = by_name(sweep_settings(swept(added)))["XGBoost"].space.tried
    assert more["max_bin"] == Choices([64, 256])
    fewer = by_name(sweep_settings(swept("~search.xgboost.max_depth")))["XGBoost"].space.tried
    assert set(tried) - set(fewer) == {"max_depth"}


@pytest.mark.parametrize(
    ("overrides", "models"),
    [
        (["sweep.models=[xgboost,xgboost,mlp]"], ["XGBoost", "MLP"]),
        (["~search.lstm"], ["MLP", "RandomForest", "XGBoost"]),
        (["~models.mlp", "~models.lstm"], ["RandomForest", "XGBoost"]),
    ],
)
def test_only_models_that_are_configured_and_wanted_and_have_a_space_are_swept(overrides, models):
    assert [one.model.name for one in sweep_settings(swept(*overrides)).searched] == models


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        ("sweep.n_trails=3", "sweep.n_trials"),
        ("swep.n_trials=3", "sweep.n_trials"),
        ("sweep.time_budget=3", "sweep.time_budget_min"),
        ("+sweep.n_trails=3", "n_trials"),
        ("sweep=poor_performer", "poor_performers"),
        ("sweep.models=[xgbost]", "xgboost"),
        ("search.xgboost.max_depht.high=3", "search.xgboost.max_depth.high"),
        ("search.xgboost.max_depth.hihg=3", "search.xgboost.max_depth.high"),
        ("+search.xgboost.max_dept={low: 1, high: 3}", "max_depth"),
        ("+search.xgbost={}", "xgboost"),
        ("search@search.xgboost=xgbost", "xgboost"),
        ("models.xgboost.max_dept=3", "models.xgboost.max_depth"),
        ("symbols=[EURUSDD]", "EURUSD"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_the_right_name(sweep_refusal, argument, wanted):
    assert sweep_refusal(argument).endswith(f", did you mean {wanted}?")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("sweep.n_trials=0", "sweep.n_trials must be at least 1, was 0"),
        (
            "sweep.models=xgboost",
            "sweep.models must be a list such as [A,B] or null, was 'xgboost'",
        ),
        ("sweep.models=[]", "sweep.models: none left to sweep; keep one of lstm, mlp, random_"),
        ("sweep.models=[council]", "sweep.models: council is never tuned: the evidence gate rests"),
        ("sweep.models=[majority]", "sweep.models: majority is not among models; there are: lstm"),
        ("sweep.symbols_from=web", "sweep.symbols_from must be one of data, manifest, was 'web'"),
        ("sweep.max_test_accuracy=2", "sweep.max_test_accuracy must be in (0, 1), was 2.0"),
        ("sweep.sampler=cmaes", "sweep.sampler must be one of tpe, random, listed, was 'cmaes'"),
        ("sweep.random_trials=0", "sweep.random_trials must be at least 1, was 0"),
        ("sweep.parallel_trials=0", "sweep.parallel_trials must be at least 1, was 0"),
        ("sweep.unbounded=maybe", "sweep.unbounded must be true or false, was 'maybe'"),
        ("sweep.gap_penalty=-1", "sweep.gap_penalty must be at least 0, was -1.0"),
        ("sweep.alpha=1", "sweep.alpha must be in (0, 0.5), was 1.0"),
        ("sweep.time_budget_min=0", "sweep.time_budget_min must be above 0, was 0"),
        ("sweep.time_budget_min=-1", "sweep.time_budget_min must be above 0, was -1.0"),
        ("sweep.time_budget_min=ten", "sweep.time_budget_min must be a number or null, was 'ten'"),
        ("sweep.timeout_s=0", "sweep.timeout_s must be above 0, was 0.0"),
        ("sweep.timeout_s=.inf", "sweep.timeout_s must be a number, was inf"),
        ("sweep.pruner=median", "sweep.pruner must be one of percentile, none, was 'median'"),
        ("sweep.prune_from_trial=0", "sweep.prune_from_trial must be at least 1, was 0"),
        ("sweep.prune_folds_above=1", "sweep.prune_folds_above must be in (0, 1), was 1.0"),
        ("sweep.prune_epochs_above=1.5", "sweep.prune_epochs_above must be in (0, 1), was 1.5"),
        ("sweep.storage=3", "sweep.storage must be text or null, was 3"),
        ("sweep.heartbeat_s=0", "sweep.heartbeat_s must be at least 1, was 0"),
        ("sweep.retrain=3", "sweep.retrain must be true or false, was 3"),
        ("sweep.listed=3", "sweep.listed must be keys and values, was 3"),
        ("search.xgboost.max_depth.low=9", "search.xgboost.max_depth.low must not be above high "),
        ("search.xgboost.max_depth.low=0", "search.xgboost.max_depth: 0 cannot be tried: max_dep"),
        ("search.xgboost.max_depth.high=9.5", "search.xgboost.max_depth: must be whole numbers, "),
        ("search.xgboost.max_depth.low=a", "search.xgboost.max_depth.low must be a whole number "),
        ("search.xgboost.max_depth=3", "search.xgboost.max_depth: must hold keys (low, high, log)"),
        ("search.xgboost=3", "search.xgboost: must hold hyperparameters, was 3"),
        ("search.mlp.hidden.choices=[]", "search.mlp.hidden.choices must hold a value, was empty"),
        ("search.mlp.hidden.choices=[[8],[a]]", "search.mlp.hidden: ['a'] cannot be tried: must"),
        ("split.n_blocks=2", "split.n_blocks must be at least 3 for a sweep, was 2: the last 2"),
        ("training.decision_threshold=1", "training.decision_threshold must be in (0, 1), was 1"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_what_is_wanted(argument, sentence):
    path, _, value = argument.partition("=")
    conf = section = swept()
    *sections, key = path.split(".")
    for name in sections:
        section = section[name]
    section[key] = yaml.safe_load(value)
    with pytest.raises(ConfigError) as refused:
        sweep_settings(conf)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("sweep.n_trials=1e3", "sweep.n_trials must be a whole number, was 1000.0"),
        ("sweep.n_trials=5,10", "sweep.n_trials=5,10: write a list as sweep.n_trials=[5,10], or"),
        ("~sweep.alpha", "sweep.alpha is missing"),
        ("search@search.xgboost=mlp", "search.xgboost.hidden: unknown hyperparameter; there are: "),
        ("tuned=last", "tuned: unknown key"),
    ],
)
def test_what_is_no_value_at_all_is_told_with_its_key(sweep_refusal, argument, sentence):
    assert sweep_refusal(argument).startswith(sentence)


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        ("[{max_depth: 9}]", "sweep.listed.xgboost.0: max_depth=9 is outside the space; choose "),
        ("[{},{max_depth: 2.5}]", "sweep.listed.xgboost.1: max_depth=2.5 is outside the space"),
        ("[{max_depth: deep}]", "sweep.listed.xgboost.0: max_depth=deep is outside the space"),
        ("[{max_dept: 2}]", "sweep.listed.xgboost.0: max_dept is unknown, did you mean max_depth?"),
        ("[{max_bin: 2}]", "sweep.listed.xgboost.0: max_bin is not searched"),
        ("[]", "sweep.listed.xgboost is missing: sampler=listed tries nothing else"),
        ("[3]", "sweep.listed.xgboost must be a list such as [{key: 1},{key: 2}], was [3]"),
    ],
)
def test_what_is_listed_must_be_in_the_space(listed, sentence):
    conf = swept(*LISTED)
    conf["sweep"]["listed"] = {"xgboost": yaml.safe_load(listed)}
    with pytest.raises(ConfigError) as refused:
        sweep_settings(conf)
    assert str(refused.value).startswith(sentence)


def test_outside_the_space_is_where_less_is_regularised_unless_that_is_wanted():
    weaker = (*LISTED, "+sweep.listed.xgboost=[{max_depth: 6}]")
    with pytest.raises(ConfigError, match="max_depth=6 is outside the space"):
        sweep_settings(swept(*weaker))
    (one,) = sweep_settings(swept(*weaker, "sweep.unbounded=true")).searched
    assert [start["max_depth"] for start in one.starts] == [6]


def test_a_sweep_needs_blocks_that_it_can_leave_unseen(sweep_refusal):
    said = sweep_refusal("split=reference", "selection=reference")
    assert said.startswith("a sweep needs the blocks of split=walk_forward")
    assert sweep_settings(swept("split.n_blocks=3")).n_seen == 1


def test_a_model_without_ranges_or_that_is_not_trained_cannot_be_wanted(sweep_refusal):
    said = sweep_refusal("~search.xgboost", "sweep.models=[xgboost]")
    assert said == "search.xgboost is missing: xgboost has no ranges to search"
    said = sweep_refusal("~models.mlp", "sweep.models=[mlp]")
    assert said == "sweep.models: mlp is not among models; there are: lstm, random_forest, xgboost"


def test_studies_that_others_may_be_at_work_on_are_not_begun_anew(sweep_refusal):
    said = sweep_refusal("sweep.storage=sqlite:///a.db", "resume=false")
    assert said.startswith("resume=false would begin studies anew that others may be at work on")


@pytest.mark.parametrize("preset", ["sweep.symbols_from=manifest", "sweep=poor_performers"])
def test_symbols_from_a_manifest_need_one(sweep_refusal, preset, tmp_path):
    said = sweep_refusal(preset)
    assert said.startswith("manifest.path: deploy/deployment_manifest.json is not there; run ")
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    assert sweep_refusal(preset, f"manifest.path={other}").startswith(f"manifest.path: {other}: ")
    other.write_text("no manifest", encoding="utf-8")
    assert sweep_refusal(preset, f"manifest.path={other}").startswith(f"manifest.path: {other}: ")


def test_symbols_from_a_manifest_are_those_it_has_no_good_model_for(tmp_path):
    good = {"selected_model": "MLP", "test_accuracy": 0.7, "train_val_gap": 0.1}
    good |= {"reason": "Best score", "alternatives": []}
    review = nothing_selected("Refused: p = 0.3")
    path = tmp_path / "manifest.json"
    selections = {"EURUSD": review, "GBPUSD": good, "XAUUSD": {**good, "test_accuracy": 0.59}}
    ModelSelector().save_deployment_manifest({**selections, "UNKNOWN": review}, path)
    chosen = ("sweep.symbols_from=manifest", f"manifest.path={path}")
    settings = sweep_settings(swept(*chosen))
    assert settings.train.symbols == ["EURUSD", "XAUUSD"]
    # Those of the manifest that the data has, and no more.
    assert settings.all_symbols == ["EURUSD", "GBPUSD", "XAUUSD"]
    fewer = sweep_settings(swept(*chosen, "symbols=[GBPUSD,XAUUSD]", "sweep.max_test_accuracy=0.5"))
    assert fewer.train.symbols == []
