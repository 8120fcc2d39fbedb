"""The arithmetic of the sweeps' bench: shares of a gap, their intervals, and what is counted."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.honesty.grids import SYMBOLS
from benchmarks.honesty.report import Rate
from benchmarks.sweeping.__main__ import main
from benchmarks.sweeping.attainable import expected_log_loss
from benchmarks.sweeping.figures import edge_figures, noise_figures, throughput_figures
from benchmarks.sweeping.gap import mean, ratio, share_closed
from benchmarks.sweeping.noise import counted
from benchmarks.sweeping.records import SweepRecords
from selection.tuned_file import Adoption, Compared, Score, TunedFile, TunedModel

UNTIL = datetime(2021, 1, 1, tzinfo=UTC)


def study(symbol, model, *, p_value=None):
    """A study whose best trial was compared where there is a p-value, and adopted below 5%."""
    adoption = None if p_value is None else Adoption(60, 50.0, 0.01, 0.004, p_value, 0.05, 1)
    score = Score(0.69, 0.55, 100)
    return TunedModel(
        symbol=symbol,
        model=model,
        study="s",
        hyperparameters={"max_depth": 1},
        adopted=p_value is not None and p_value < 0.05,
        reason="made by hand",
        trials={"complete": 20, "pruned": 4, "failed": 1},
        best_trial=3,
        tuned_until=UNTIL,
        development_digest="d",
        cross_validated=Compared(score, score),
        later=None if p_value is None else Compared(score, score),
        adoption=adoption,
    )


def market(symbol="EURUSD", *, tpe, random, adopted=False, default=0.680, attainable=0.670):
    compared = {"default": {"log_loss": 0.690}, "tuned": {"log_loss": 0.680}}
    told = {"adopted": adopted, "looked": True, "cross_validated": compared}
    return {
        "symbol": symbol,
        "no_skill": 0.69,
        "configured": 0.685,
        "default": default,
        "attainable": attainable,
        "samplers": {"tpe": {"tuned": tpe, **told}, "random": {"tuned": random, **told}},
    }


def noise_record(tuned=(), untuned=(), *, placed=(), looked=5, adopted=1):
    """A run that deployed a model for the first symbols."""
    deployed = {
        name: dict.fromkeys(SYMBOLS) | dict(zip(SYMBOLS, models, strict=False))
        for name, models in (("tuned", tuned), ("untuned", untuned))
    }
    counts = {"studies": 22, "looked": looked, "adopted": adopted, "placed": list(placed)}
    took = {"sweep": {"wall_s": 30.0, "cpu_s": 40.0}, "tuned": {"wall_s": 5.0, "cpu_s": 6.0}}
    return {**deployed, **counts, "took": took}


def test_the_share_is_pooled_so_that_a_market_without_a_gap_does_not_blow_it_up():
    found = share_closed([0.68, 0.67], [0.676, 0.671], [0.66, 0.6699])
    assert found.value == pytest.approx((0.004 - 0.001) / (0.02 + 0.0001))
    assert found.low < found.value < found.high


@given(st.lists(st.floats(0.001, 0.1), min_size=2, max_size=8))
def test_to_change_nothing_closes_none_of_a_gap_and_to_attain_all_closes_it(gaps):
    attainable = np.full(len(gaps), 0.6)
    default = attainable + gaps
    for tuned, share in ((default, 0.0), (attainable, 1.0)):
        found = share_closed(default, tuned, attainable)
        assert (found.value, found.low, found.high) == pytest.approx((share, share, share))


def test_intervals_narrow_with_the_number_of_markets_and_are_the_same_each_time():
    rng = np.random.default_rng(1)
    few, many = rng.normal(0.2, 0.5, 10), rng.normal(0.2, 0.5, 160)
    wide, narrow = mean(few), mean(many)
    error = many.std() / np.sqrt(len(many))
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert mean(few) == wide


def test_a_ratio_may_be_infinite_and_one_market_has_no_interval():
    assert ratio([1.0, 1.0], [0.0, 0.0]).value == float("inf")
    alone = ratio([1.0], [4.0])
    assert alone.value == 0.25
    assert np.isnan([alone.low, alone.high]).all()
    with pytest.raises(ValueError, match="1 markets over 2"):
        ratio([1.0], [1.0, 2.0])


def test_no_answer_has_a_lower_expected_loss_than_the_truth():
    truth_N = np.random.default_rng(2).uniform(0.2, 0.8, 500)
    best = expected_log_loss(truth_N, truth_N)
    entropy_N = -(truth_N * np.log(truth_N) + (1 - truth_N) * np.log(1 - truth_N))
    assert best == pytest.approx(entropy_N.mean())
    for step in (-0.05, 0.05):
        assert expected_log_loss(truth_N, truth_N + step) > best


def test_what_is_deployed_is_the_default_where_nothing_was_adopted():
    found = [
        market(tpe=0.675, random=0.679, adopted=True),
        market("XAUUSD", tpe=0.677, random=0.678, default=0.678, attainable=0.668),
    ]
    one = edge_figures("XGBoost", found)
    assert one.share["tpe"].value == pytest.approx((5 + 1) / 20)
    assert one.adopted_share["tpe"].value == pytest.approx(5 / 20)
    assert one.share["random"].value == pytest.approx((1 + 0) / 20)
    assert one.difference.value == pytest.approx(5 / 20)
    assert one.times.value == pytest.approx(6 / 1)
    assert (one.adopted["tpe"], one.looked["tpe"]) == (1, 2)
    assert (one.promised["tpe"].value, one.kept["tpe"].value) == pytest.approx((0.01, 0.003))


def test_runs_on_noise_are_counted_with_and_without_the_sweep():
    records = [
        noise_record(),
        noise_record(["XGBoost"], ["Council"], placed=[SYMBOLS[0]]),
        noise_record(["Council", "Council"], ["Council", "Council"], looked=2, adopted=0),
    ]
    one = noise_figures("balanced", records)
    assert (one.with_sweep, one.without) == (Rate(2, 3), Rate(2, 3))
    assert (one.symbols_with, one.symbols_without) == (Rate(3, 33), Rate(3, 33))
    assert (one.looked, one.adopted) == (Rate(12, 66), Rate(2, 12))
    assert (one.placed, one.differing, one.cpu_s) == (1, 1, pytest.approx(46.0))


def test_an_adopted_model_counts_as_placed_only_where_it_is_deployed():
    tuned = [("S01", 0.01), ("S02", 0.02), ("S03", 0.3), ("S04", None)]
    studies = {symbol: {"XGBoost": study(symbol, "XGBoost", p_value=p)} for symbol, p in tuned}
    file = TunedFile(UNTIL, simulated=False, seed=1, definitions={}, studies=studies)
    deployed = {"S01": "XGBoost", "S02": "Council", "S03": "XGBoost", "S04": None}
    found = counted(file, deployed)
    assert (found["studies"], found["looked"], found["adopted"]) == (4, 3, 2)
    assert found["placed"] == ["S01"]
    assert found["trials"] == {"complete": 80, "pruned": 16, "failed": 4}


def test_what_a_sweep_takes_besides_its_trials_is_no_overhead_of_a_trial():
    short = {
        "trials": 10,
        "scoring_cpu_s": 10 * 0.2,
        "sweep_cpu_s": 20.0 + 10 * 1.1,
        "bare_cpu_s": 10 * 0.8,
    }
    long = {
        "trials": 60,
        "scoring_cpu_s": 60 * 0.2,
        "sweep_cpu_s": 20.0 + 60 * 1.1,
        "bare_cpu_s": 60 * 0.8,
    }
    found = throughput_figures(short, long)
    assert (found.overhead, found.overhead_scored) == pytest.approx((0.375, 0.1))
    assert found.fixed_s == pytest.approx(20.0)
    assert found.trials_per_min == pytest.approx((60 / 1.1, 75.0))
    with pytest.raises(ValueError, match="60 and 60 trials"):
        throughput_figures(long, long)


def test_what_was_measured_under_other_options_stays_apart_and_a_torn_line_counts_for_nothing(
    tmp_path,
):
    records = SweepRecords(tmp_path / "bench" / "edge.jsonl")
    records.add({"symbols": ("A", "B")}, (7, "A"), {"x": 1})
    with records.path.open("ab") as file:
        file.write(b'{"asked": {"symb')
    records.add({"symbols": ("A", "B")}, (7, "A"), {"x": 2})
    records.add({"symbols": ("A",)}, (7, "A"), {"x": 3})
    assert records.of({"symbols": ("A", "B")}) == {(7, "A"): {"x": 2}}
    assert records.of({"symbols": ("C",)}) == {}
    assert [group.asked for group in records.groups()] == [
        {"symbols": ["A", "B"]},
        {"symbols": ["A"]},
    ]


def test_the_command_reports_all_parts_in_words_tables_and_figures(tmp_path, capsys):
    assert main(["report", "--out", str(tmp_path)]) == 1
    assert "nothing measured yet" in capsys.readouterr().err
    edge = {"n_bars": 30_000, "edge": 0.15, "n_trials": 50}
    for seed in (7, 8):
        found = market(tpe=0.675, random=0.677, adopted=True)
        SweepRecords(tmp_path / "edge.jsonl").add(edge, (seed, "EURUSD", "XGBoost"), found)
    noise = SweepRecords(tmp_path / "noise.jsonl")
    for world in ("balanced", "overlapping"):
        noise.add({"n_rows": 300, "n_trials": 25}, (world, 0), noise_record())
    cost = {"model": "xgboost", "symbols": ["EURUSD"], "source": "simulated", "workers": 2}
    for name, trials in (("short", 10), ("long", 60)):
        cpu_s = {"sweep": 20 + 1.1 * trials, "bare": 1.0 * trials, "scoring": 0.0}
        took = {"trials": trials, **{f"{part}_cpu_s": value for part, value in cpu_s.items()}}
        throughput = SweepRecords(tmp_path / "throughput.jsonl")
        throughput.add({**cost, "tracking": "sqlite"}, (0, name), took)
    assert main(["report", "--out", str(tmp_path)]) == 0
    page, figures = ((tmp_path / f"sweeping.{end}").read_text() for end in ("md", "json"))
    assert page in capsys.readouterr().out
    assert "TPE closes 50% (50 to 50)" in page
    assert "0 of 2 = 0.0% (0.0% to 84.2%) of the runs deployed anything" in page
    assert "Overhead 10.0%" in page
    assert json.loads(figures)["throughput"][0]["repetitions"][0]["overhead"] == pytest.approx(0.1)


def test_every_row_of_a_table_has_its_headings_columns(tmp_path, capsys):
    records = SweepRecords(tmp_path / "noise.jsonl")
    for world in ("balanced", "overlapping"):
        records.add({"n_rows": 300, "n_trials": 25}, (world, 0), noise_record(adopted=0, looked=0))
    assert main(["report", "--out", str(tmp_path)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert len({row.count("|") for row in rows}) == 1
