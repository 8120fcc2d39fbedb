"""The bench of one exit decision: equal work for all, and what it says of a clock moved by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import exit_decision
from benchmarks.exit_contenders import (
    ALONE,
    EAGER,
    LADDER,
    askings,
    contenders,
    drawn_model,
    drawn_rows,
)
from benchmarks.exit_decision import Asking, check_same, main, page, ratio, replays, timed


def test_all_contenders_answer_the_same():
    for identified in (True, False):
        check_same(contenders(drawn_model(identified=identified)), askings(drawn_rows(40)))


def test_a_contender_that_answers_otherwise_is_found():
    found = contenders(drawn_model())
    ladder = found[LADDER]
    found[LADDER] = lambda asked: ladder(asked) * 1.01
    with pytest.raises(ValueError, match="assay, the ladder answers other than PyTorch eager"):
        check_same(found, askings(drawn_rows(40)))


@pytest.fixture
def timings(monkeypatch):
    now_us = [0]
    clock = SimpleNamespace(perf_counter_ns=lambda: now_us[0] * 1000)
    monkeypatch.setattr(exit_decision, "time", clock)

    def takes(each_us):
        calls = iter(range(10**6))

        def decide(asked):
            # Every hundredth call takes ten times as long.
            now_us[0] += each_us * (10 if next(calls) % 100 == 0 else 1)

        return decide

    found = {ALONE: takes(10), LADDER: takes(20), EAGER: takes(80)}
    return timed(found, [[None]], calls=2_000, rounds=5)


def test_medians_tails_and_ratios_are_those_of_the_clock(timings):
    assert (timings[ALONE].p50_us, timings[EAGER].p50_us) == (10, 80)
    assert timings[LADDER].p99_us > 20
    assert timings[LADDER].rounds_us == [20] * 5
    assert ratio(timings, LADDER) == [4, 4, 4]


def test_the_page_says_how_many_times_as_fast_and_what_asking_takes(timings):
    asking = Asking(1_000, 10, 20, [0.001, 0.001], [0.002, 0.003])
    said = page({"1": timings}, asking)
    assert "8.0 times as fast (8.0 to 8.0)" in said
    assert "1,000 bars, 10 trades, 20 askings" in said
    assert "an asking takes 75.0 us there (50.0 to 100.0)" in said


def test_asking_the_net_changes_no_trade_where_it_answers_the_defaults():
    asking = replays(n_bars=1_500, rounds=1)
    assert asking.n_trades > 10
    assert asking.n_asked >= asking.n_trades


def test_it_writes_what_it_has_measured(tmp_path):
    output = tmp_path / "exit_decision.json"
    assert main(["--calls", "200", "--bars", "0", "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert set(record["decisions"]) == {"1", "11"}
    assert record["replay"] is None
    assert np.isfinite(record["ratios"]["1." + ALONE]).all()
