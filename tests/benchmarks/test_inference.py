"""What the bench of answers says of contenders, by a clock that they move themselves."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import inference
from benchmarks.inference import Contender, ratios, table


@pytest.fixture
def records(monkeypatch):
    now_us = [0]
    clock = SimpleNamespace(
        perf_counter=lambda: now_us[0] / 1e6,
        process_time=lambda: now_us[0] / 1e6,
        perf_counter_ns=lambda: now_us[0] * 1000,
    )
    monkeypatch.setattr(inference, "time", clock)

    def contender(row_us, batch_us):
        def answer(x_NF, before_NF):
            assert len(before_NF) == 16
            now_us[0] += row_us if len(x_NF) == 1 else batch_us

        return Contender(f"takes {row_us} us", answer)

    both = contender(20, 5_000), contender(4_000, 10_000)
    return {"forest": inference._compared(*both, np.zeros((1000, 3)), n_rounds=2, n_calls=50)}


def test_medians_rates_and_ratios_are_those_of_the_clock(records):
    ours, theirs = records["forest"]["assay"], records["forest"]["baseline"]
    assert (ours["p50_us"], ours["p99_us"], theirs["p50_us"]) == (20, 20, 4_000)
    assert ours["rows_per_s"] == pytest.approx(200_000)
    assert theirs["rows_per_s"] == pytest.approx(100_000)
    wanted = {"forest.one_row": 0.005, "forest.batch": 0.5}
    assert ratios(records) == pytest.approx(wanted)


def test_the_table_says_how_many_times_as_quick(records):
    head, line = table(records).splitlines()
    assert head.startswith("model ")
    assert "200.0 and 2.0" in line
    assert line.endswith("takes 4000 us")
