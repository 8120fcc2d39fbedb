from datetime import timedelta

import numpy as np
import pytest

from backtest.comparison import compare
from backtest.comparison_words import difference_rows, policy_rows, unpaired, verdicts
from backtest.report import ComparedPart, ReportContext, render
from backtest.stats import statistics
from tests.backtest.made_replays import MONDAY, made_replay, made_trades

N = 400
NAMES = ("learned", "defaults")


def compared(*shifts, n=N, spread=0.1):
    """Compare trades of the same signals, each policy's shifted by so many R."""
    rng = np.random.default_rng(3)
    times = [MONDAY + timedelta(hours=12 * i) for i in range(n)]
    base_N = rng.normal(0.0, 1.0, n)
    frames = {}
    for name, shift in zip(NAMES, shifts, strict=True):
        r_N = base_N + shift + spread * rng.normal(0.0, 1.0, n)
        risk = {"risk_price": 2.0, "entry_atr": 1.0}
        frames[name] = made_trades(r_N, entry_time=times, signal_time=times, **risk)
    return compare(frames, NAMES[1:], seed=7)


@pytest.mark.parametrize(
    ("shifts", "said"),
    [
        ((0.5, 0.0), "learned is better than defaults: +0."),
        ((0.0, 0.5), "learned is worse than defaults: -0."),
        ((0.0, 0.0), "learned is neither better nor worse than defaults beyond chance: "),
    ],
)
def test_a_verdict_goes_by_where_the_interval_of_the_difference_lies(shifts, said):
    (found,) = verdicts(compared(*shifts))
    assert found.startswith(said)


def test_a_verdict_in_r_that_atr_does_not_bear_out_says_so():
    times = [MONDAY + timedelta(hours=12 * i) for i in range(N)]
    rng = np.random.default_rng(3)
    base_N = rng.normal(0.0, 1.0, N)
    noisy_N = base_N + rng.normal(0.5, 0.1, N)
    frames = {
        name: made_trades(r_N, entry_time=times, signal_time=times, risk_price=risk, entry_atr=1.0)
        for name, r_N, risk in zip(NAMES, (noisy_N, base_N), (0.1, 2.0), strict=True)
    }
    (found,) = verdicts(compare(frames, NAMES[1:], seed=7))
    assert found.startswith("learned is better than defaults: +0.")
    assert "; in ATR it is not: -0." in found
    (found,) = verdicts(compared(0.0, 0.5))
    assert "ATR" not in found


def test_of_too_few_pairs_nothing_can_be_said():
    (found,) = verdicts(compared(0.5, 0.0, n=12))
    assert found.startswith("nothing can be said of learned and defaults: +0.")
    assert found.endswith("too few trades for an interval: 12, needed 30")


def test_rows_hold_both_units_and_a_difference_names_its_baseline():
    comparison = compared(0.5, 0.0, spread=0.0)
    policies, (difference,) = policy_rows(comparison), difference_rows(comparison)
    assert [row.name for row in policies] == list(NAMES)
    assert (difference.name, difference.against) == ("learned less defaults", "defaults")
    assert (difference.r, difference.atr, difference.trades) == ("+0.500", "+1.000", f"{N}")
    assert unpaired(comparison) == []


def test_the_page_puts_the_comparison_before_everything_else():
    replayed = made_replay(made_trades(np.ones(40)))
    part = ComparedPart(title="Each <alone>", note="Of all.", comparison=compared(0.5, 0.0))
    context = ReportContext(
        title="T", manifest="m", manifest_digest="d", policy="learned", compared=[part],
        falls={"local_neural_network: none": 1234},
    )  # fmt: skip
    page = render(replayed, statistics(replayed), context)
    assert page.index("Learned is better than defaults") < page.index("Expectancy")
    assert "Each &lt;alone&gt;" in page
    assert "<td>1,234</td>" in page
