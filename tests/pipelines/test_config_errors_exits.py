"""What is said of a wrong key or value of the commands that replay, and that learn exits."""

import pytest

from pipelines.backtest import with_new_keys
from pipelines.backtest_settings import backtest_settings
from pipelines.train_exits_settings import train_exits_settings


def check_replay(conf):
    backtest_settings(conf)
    return 0


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("exits.parameters.stop_mul=3", "exits.parameters.stop_mul: unknown exit parameter, did "),
        ("exits.parameters.stop_mult=99", "exits.parameters.stop_mult must be a number in [2.5, 5"),
        ("exits.parameters.stop_mult=a", "exits.parameters.stop_mult must be a number, was 'a'"),
        ("exits.tick_size.EURUSD=0", "exits.tick_size.EURUSD must be above 0, was 0"),
        ("exits.explore=2", "exits.explore must be from 0 to 1, was 2"),
        ("exits.vary=0", "exits.vary must be above 0 and at most 1, was 0"),
        ("exits.together=2", "exits.together must be from 0 to 1, was 2"),
        ("exits.fixed=[stop_mul]", "exits.fixed.stop_mul: unknown exit parameter, did you mean"),
        ("exits=learnt", "exits=learnt: no such option, did you mean learned?"),
        ("exits.require=defaults", "exits.require: no such key here; it belongs to exits=learned"),
        ("exits.min_share=0.7", "exits.min_share must be in (0, 0.5), was 0.7"),
        ("exits.sessions=[Fry 21:00]", "exits.sessions.Fry 21:00: a session closes at "),
        ("exits.tick_art=0.3", "exits.tick_art: unknown key, did you mean exits.tick_atr?"),
        ("exits=default", "exits=default: no such option, did you mean defaults?"),
        ("evaluator=point", "evaluator=point: no such option, did you mean points?"),
        ("account.risk_per_trade=0", "account.risk_per_trade must be in (0, 1], was 0"),
        ("costs.spread_atr=-1", "costs.spread_atr must be at least 0, was -1"),
        ("entries.model=' '", "entries.model must be selected, events or a model's name, was emp"),
        ("entries.run=out", "entries.run goes with a model's name; entries.model=selected needs"),
        ("replay.holdout=ajar", "replay.holdout must be one of sealed, open, was 'ajar'"),
        ("replay.start=2020", "replay.start must be text or null, was 2020"),
        ("replay.start=monday", "replay.start must be a day such as 2020-01-31, was 'monday'"),
        ("replay.strat=2020-01-01", "replay.strat: unknown key, did you mean replay.start?"),
        ("trials=0", "trials must be at least 1, was 0"),
        ("seed=-1", "seed must be at least 0, was -1"),
        ("symbols=[]", "symbols: is empty; name at least one, or null for all"),
        ("output_dir=' '", "output_dir must name a folder, or be null, was empty"),
        ("data=table", "data.dir is missing: give data.dir=..."),
        ("~exits", "exits is missing; see --help"),
        ("manifst=a.json", "manifst: unknown key, did you mean manifest?"),
    ],
)
def test_a_replay_that_cannot_be_made_is_one_line(refusal, argument, sentence):
    (given,) = with_new_keys([argument])
    assert refusal(given, name="backtest", body=check_replay).startswith(sentence)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("exits.require=net", "exits.require must be one of local_neural_network, simple_learnin"),
        ("exits.model=' '", "exits.model must name the folder of an exit model, was empty"),
        ("exits.explore=-1", "exits.explore must be from 0 to 1, was -1"),
        ("exits.modl=deploy", "exits.modl: unknown key, did you mean exits.model?"),
    ],
)
def test_a_wrong_key_of_learned_exits_is_one_line(refusal, argument, sentence):
    said = refusal("exits=learned", argument, name="backtest", body=check_replay)
    assert said.startswith(sentence)


def check_learning(conf):
    train_exits_settings(conf)
    return 0


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("seed=-1", "seed must be at least 0, was -1"),
        ("experience=a.json", "experience: unknown key, did you mean experiences?"),
        ("experiences=none.json", "experiences: none.json: no such file; python -m pipelines.bac"),
        ("experiences=[]", "experiences: name at least one file, folder or pattern, was empty"),
        ("experiences=3", "experiences must be text or a list such as [A,B], was 3"),
        ("model_dir=' '", "model_dir must name a folder, was empty"),
        ("output_dir=' '", "output_dir must name a folder, was empty"),
        ("exits.allow_hindsight=1", "exits.allow_hindsight must be true or false, was 1"),
        ("exits.hindsight=true", "exits.hindsight: unknown key, did you mean exits.allow_hindsig"),
        ("exits=learned", "exits: is no choice here; it holds exits.allow_hindsight"),
        ("exit_net.patience=0", "exit_net.patience must be at least 1, was 0"),
        ("exit_net.dropout=[0.5]", "exit_net.dropout must be 3 shares in [0, 1), was [0.5]"),
        ("exit_net.learning_rate=a", "exit_net.learning_rate must be a number, was 'a'"),
        ("exit_net.hiden=[3]", "exit_net.hiden: unknown key"),
        ("exit_learning.validation_share=1", "exit_learning.validation_share must be in (0, 1)"),
        ("exit_learning.validation=0.1", "exit_learning.validation: unknown key, did you mean ex"),
        ("monitor.max_minutes=0", "monitor.max_minutes must be above 0, was 0"),
        ("trackng=none", "trackng: unknown key, did you mean tracking?"),
        ("~monitor", "monitor is missing; see --help"),
    ],
)
def test_a_learning_that_cannot_be_done_is_one_line(refusal, argument, sentence):
    named = () if argument.startswith("experience") else ("experiences=none.json",)
    assert refusal(argument, *named, name="train_exits", body=check_learning).startswith(sentence)


def test_experiences_must_be_named(refusal):
    said = refusal(name="train_exits", body=check_learning)
    assert said == "experiences is missing: give experiences=..."


def test_a_model_that_is_not_deployed_opens_no_holdout_and_a_period_does_not_end_first(refusal):
    said = refusal(
        *("entries.model=MLP", "replay.holdout=open"), name="backtest", body=check_replay
    )
    assert said.startswith("replay.holdout=open: MLP is not deployed, and has said nothing of a ho")
    backwards = ("replay.start=2021-01-01", "replay.end=2020-01-01")
    said = refusal(*backwards, name="backtest", body=check_replay)
    assert said == "replay.end must be later than start, 2021-01-01, was 2020-01-01"


@pytest.mark.parametrize(
    ("arguments", "idle"),
    [
        (("exits.vary=0.5",), "vary"),
        (("exits.together=0.1", "exits.fixed=[stop_mult]"), "together, fixed"),
        (("exits.draws=2",), "draws"),
        (("exits=exploring", "exits.explore=0"), "vary, together, fixed, draws"),
        (("exits=learned", "exits.vary=0.5"), "vary"),
    ],
)
def test_what_would_vary_nothing_is_refused(refusal, arguments, idle):
    assert refusal(*arguments, name="backtest", body=check_replay) == (
        f"exits.explore must be above 0 for these to do anything, was 0: {idle}; give it, or leave "
        "them as exits=defaults has them"
    )
