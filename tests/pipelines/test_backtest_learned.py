"""Exits that were learnt, traded and held against defaults and barriers."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from pipelines.backtest_compared import Compared
from pipelines.backtest_exits import Barriers
from pipelines.command import ConfigError
from tests.pipelines.learning import explored, learnt

BARRIERS = {"profit_atr": 2.0, "stop_atr": 2.0, "max_bars": 48}
WIDE = ("entries.model=events", "symbols=[EURUSD,GBPUSD]")


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    """A folder with an exit model that has learnt up to the middle of the year 2010."""
    folder = tmp_path_factory.mktemp("learnt")
    file = explored(run.folder / "deploy" / "manifest.json", folder / "explored")
    return learnt(folder, file).model


@pytest.fixture
def learned(replays, model):
    """Run backtest with what was learnt."""
    return lambda *overrides, **out: replays(
        "exits=learned", f"exits.model={model}", *overrides, **out
    )


def until_of(model):
    text = json.loads((model / "exit_model.json").read_text())["trained_until"]
    return datetime.fromisoformat(text).astimezone(UTC)


def test_the_comparison_stands_first_on_screen_page_and_summary(learned, tmp_path):
    code, summary, trades, said = learned(*WIDE)
    assert code == 0
    alone = summary["comparison"]["alone"]
    assert [one["name"] for one in alone["policies"]] == ["learned", "defaults", "hold_to_barrier"]
    assert [one["baseline"] for one in alone["differences"]] == ["defaults", "hold_to_barrier"]
    jointly = summary["comparison"]["jointly"]["policies"][0]
    assert jointly["n_trades"] == len(trades) > 20
    assert jointly["r"]["value"] == pytest.approx(trades["r_multiple"].mean())
    assert said.index("Each entry alone") < said.index("On one account") < said.index("Replay on")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("<h2>What was learnt, against the rest</h2>") < page.index("Expectancy")
    assert "target 2 ATR, stop 2 ATR, 48 bars" in page


def test_every_policy_is_asked_for_the_same_entries_alone(learned):
    _, summary, _, _ = learned(*WIDE)
    alone = summary["comparison"]["alone"]
    wanted = summary["comparison"]["entries_wanted"]
    months = summary["comparison"]["learned_trades_by_months"]
    assert sum(months.values()) == alone["policies"][0]["n_trades"]
    assert all(20 < one["n_trades"] <= wanted for one in alone["policies"])
    assert all(one["n_pairs"] > 20 for one in alone["differences"])


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (
            ["seen", "seen", "holdout", "unseen"],
            " Of 4 learned trades 2 are of months that models were chosen by, 1 of the opened "
            "holdout, 1 of months that nothing has read.",
        ),
        (["seen"] * 4, ""),
    ],
)
def test_trades_of_months_of_several_kinds_are_counted_where_they_are_compared(segments, said):
    frame = pl.DataFrame({"policy": ["learned"] * 4 + ["defaults"], "segment": [*segments, "seen"]})
    both = Compared(
        alone=None, jointly=None, trades=frame, n_wanted=5, barriers=Barriers(2.0, 2.0, 48)
    )
    assert both.parts[0].note.endswith(f"the same distance for all.{said}")


def test_trading_begins_where_the_learning_ends(learned, model):
    _, summary, trades, _ = learned(*WIDE)
    until = until_of(model)
    assert summary["learnt_until"] == f"{until:%Y-%m-%dT%H:%M:%S}"
    assert trades["signal_time"].min() >= until


def test_an_earlier_start_is_refused_and_a_later_one_is_taken(learned, model):
    with pytest.raises(ConfigError) as refused:
        learned("replay.start=2010-03-01")
    until = f"{until_of(model):%Y-%m-%d %H:%M}"
    assert str(refused.value) == (
        f"replay.start: 2010-03-01 lies before {until} UTC, up to when {model} has learnt; give a "
        "later day, or null to begin there"
    )
    _, _, trades, _ = learned("replay.start=2010-07-10", *WIDE)
    assert f"{trades['signal_time'].min():%Y-%m-%d}" >= "2010-07-10"


def test_varied_exits_may_be_told_to_begin_earlier(learned):
    with pytest.raises(
        ConfigError, match=r"replay\.start: where exits are varied, it may lie befor"
    ):
        learned("replay.end=2010-05-01", "exits.explore=0.1", "exits.draws=5")


def test_a_symbol_that_failed_is_told_although_nothing_is_later(learned, manifest, caplog):
    document = json.loads(manifest.read_text())
    document["selections"]["GBPUSX"] = document["selections"].pop("GBPUSD")
    manifest.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"no bar is later"):
        learned("replay.end=2010-05-01", "entries.model=events")
    assert "GBPUSX: is not in the data" in caplog.text


def test_a_file_is_no_folder_of_a_model(replays, model):
    with pytest.raises(
        ConfigError, match=r"exits\.model: .* is a file; name the folder it lies in"
    ):
        replays("exits=learned", f"exits.model={model}/exit_model.json")


def test_where_no_bar_is_later_one_line_says_what_to_do(learned, model):
    with pytest.raises(ConfigError) as refused:
        learned("replay.end=2010-05-01")
    said = str(refused.value)
    assert said.startswith(f"exits.model: has learnt from trades up to {until_of(model):%Y-%m-%d}")
    assert said.endswith("or give a later replay.end")


def test_a_rung_that_must_answer_and_cannot_is_one_line(replays, tmp_path):
    required = ("exits.require=local_neural_network", f"exits.model={tmp_path}/none")
    with pytest.raises(ConfigError, match=r"exits\.require=local_neural_network, and it has no an"):
        replays("exits=learned", *required)


def test_without_a_model_the_defaults_answer_and_every_output_says_so(replays, tmp_path):
    none = ("exits=learned", f"exits.model={tmp_path}/none", "replay.start=2010-06-01")
    _, summary, trades, said = replays(*none, *WIDE)
    _, _, plain, _ = replays("replay.start=2010-06-01", *WIDE, out="plain")
    assert trades["r_multiple"].to_list() == plain["r_multiple"].to_list()
    assert len(summary["falls"]) == 2
    assert "Exits fell from local_neural_network: " in said
    assert said.count("exits fall from local_neural_network to simple_learning: ") == 1
    assert said.count("exits fall from simple_learning to defaults: ") == 1
    assert "exit parameters by: defaults 100%" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Decisions that a rung could not make" in page


def test_who_decided_how_often_and_with_what_profit_is_in_mlflow(learned, tmp_path):
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    _, summary, trades, said = learned("tracking=sqlite", f"tracking.uri={uri}", *WIDE)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("backtest")
    (run,) = client.search_runs([experiment.experiment_id])
    metrics = run.data.metrics
    assert metrics["decisions_local_neural_network"] == 1.0
    assert metrics["pnl_local_neural_network"] == pytest.approx(trades["pnl"].sum())
    assert metrics["falls"] == 0.0
    first = summary["comparison"]["alone"]["differences"][0]
    assert metrics["alone_learned_less_defaults_r"] == pytest.approx(first["r"]["value"])
    assert run.data.tags["comparison"] in said


def test_another_model_is_another_configuration(learned, model, tmp_path):
    digests = []
    for change in (lambda text: text, lambda text: text.replace('"trades": ', '"trades":  ', 1)):
        file = model / "simple_learning.json"
        before = file.read_text()
        file.write_text(change(before))
        try:
            digests.append(learned("symbols=[EURUSD]")[1]["conf_digest"])
        finally:
            file.write_text(before)
    assert digests[0] != digests[1]


def test_around_what_was_learnt_one_explores_anywhere_and_compares_nothing(learned):
    _, summary, trades, said = learned(
        "exits.explore=0.1", "exits.draws=5", "replay.start=2010-05-01", *WIDE
    )
    assert summary["policy"] == "learned, explored"
    assert summary["comparison"] is None
    assert "Each entry alone" not in said
    assert f"{trades['signal_time'].min():%Y-%m}" == "2010-05"
    assert set(trades["prediction_source"]) == {"exploration"}


def test_exits_learnt_on_real_prices_are_not_traded_on_a_simulated_market(learned, model):
    file = model / "exit_model.json"
    before = file.read_text()
    file.write_text(before.replace('"simulated": true', '"simulated": false'))
    try:
        with pytest.raises(ConfigError, match="has learnt from real prices, these bars are of a s"):
            learned()
    finally:
        file.write_text(before)


def test_hold_to_barrier_knows_no_other_exit(replays):
    _, summary, trades, said = replays("exits=barrier", *WIDE)
    assert summary["policy"] == "hold_to_barrier"
    assert trades["bars_held"].max() <= BARRIERS["max_bars"] + 1
    distance = trades["risk_price"] / trades["entry_atr"]
    assert distance.to_list() == pytest.approx([BARRIERS["stop_atr"]] * len(trades))
    assert trades["n_partials"].sum() == trades["n_stop_moves"].sum() == 0
    assert "recovery" not in said


def test_symbols_whose_labels_differ_are_held_to_no_common_barrier(replays, manifest):
    document = json.loads(manifest.read_text())
    document["selections"]["GBPUSD"]["label"]["stop_atr"] = 3.0
    manifest.write_text(json.dumps(document))
    with pytest.raises(ConfigError) as refused:
        replays("exits=barrier")
    assert str(refused.value) == (
        "exits: the labels' barriers differ (EURUSD: target 2 ATR, stop 2 ATR, 48 bars; GBPUSD: "
        "target 2 ATR, stop 3 ATR, 48 bars); replay symbols with the same ones"
    )
