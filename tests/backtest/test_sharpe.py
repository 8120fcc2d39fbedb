"""The Sharpe ratio, what luck makes of it, and drawdowns."""

import math
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import norm

from backtest.replayed import EQUITY
from backtest.sharpe import (
    EquityStatistics,
    daily_returns,
    equity_statistics,
    expected_best_sharpe,
    probabilistic_sharpe,
    sharpe_ratio,
    stationary_blocks,
)
from tests.backtest.made_replays import made_equity


def _judged(levels: list[float], *, n_trials: int = 1) -> EquityStatistics:
    return equity_statistics(
        made_equity(levels), n_trials=n_trials, n_resamples=300, confidence=0.95, seed=1
    )


def _walk(n: int, mean: float, seed: int = 0) -> list[float]:
    returns = np.random.default_rng(seed).normal(mean, 0.01, n)
    return [float(level) for level in 100 * np.cumprod(np.concatenate(([1.0], 1 + returns)))]


def test_a_day_counts_from_the_last_step_of_the_day_before() -> None:
    equity = made_equity([100, 110, 121, 121, 108.9], step=timedelta(hours=12))
    # Days end at 110, 121 and 108.9; the first begins at 100.
    returns = daily_returns(equity)
    assert returns.return_D == pytest.approx([0.1, 0.1, -0.1])
    assert returns.days_per_year == pytest.approx(365.25)


def test_days_without_bars_are_no_days() -> None:
    weekly = daily_returns(made_equity([100, 101, 102], step=timedelta(days=7)))
    # Three days seen in fifteen.
    assert weekly.days_per_year == pytest.approx(3 / 15 * 365.25)


def test_the_sharpe_ratio_is_mean_over_deviation() -> None:
    # Mean 0.02; deviations -0.01, 0.01, 0: variance (0.0001 + 0.0001) / 2.
    assert sharpe_ratio(np.array([0.01, 0.03, 0.02])) == pytest.approx(0.02 / 0.01)


def test_the_annual_sharpe_ratio_takes_the_days_that_were_seen() -> None:
    found = _judged(_walk(300, 0.001))
    returns = daily_returns(made_equity(_walk(300, 0.001)))
    expected = sharpe_ratio(returns.return_D) * math.sqrt(365.25)
    assert found.sharpe.value == pytest.approx(expected)
    assert found.days_per_year == pytest.approx(365.25)


def test_the_probabilistic_sharpe_ratio_of_normal_returns_is_that_of_the_paper() -> None:
    # Error of the ratio: sqrt((1 + 0.5 * 0.1^2) / (n - 1)), for skew 0 and kurtosis 3.
    error = math.sqrt((1 + 0.5 * 0.01) / 100)
    found = probabilistic_sharpe(0.1, 0.0, 101, skew=0.0, kurtosis=3.0)
    assert found == pytest.approx(norm.cdf(0.1 / error))


def test_negative_skew_and_fat_tails_make_a_sharpe_ratio_less_certain() -> None:
    plain = probabilistic_sharpe(0.1, 0.0, 250, skew=0.0, kurtosis=3.0)
    skewed = probabilistic_sharpe(0.1, 0.0, 250, skew=-2.0, kurtosis=3.0)
    fat = probabilistic_sharpe(0.1, 0.0, 250, skew=-2.0, kurtosis=12.0)
    assert plain > skewed > fat > 0.5


@pytest.mark.parametrize("n_trials", [2, 10, 200])
def test_the_best_of_worthless_trials_is_expected_where_simulation_finds_it(n_trials: int) -> None:
    drawn = np.random.default_rng(1).normal(0, 0.5, (20_000, n_trials)).max(axis=1).mean()
    # The formula is that of large numbers of trials.
    assert expected_best_sharpe(n_trials, 0.25) == pytest.approx(drawn, rel=0.1)


def test_the_deflated_sharpe_ratio_is_that_of_the_papers_example() -> None:
    # Five years of days, the best of 100 trials whose yearly ratios have a variance of 1/2.
    benchmark = expected_best_sharpe(100, 0.5 / 250)
    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    found = probabilistic_sharpe(2.5 / math.sqrt(250), benchmark, 1250, skew=-3.0, kurtosis=10.0)
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_however_many_trials_there_were_their_best_is_a_number() -> None:
    found = [expected_best_sharpe(10**n, 1.0) for n in range(2, 31)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(11.5, abs=0.2)


def test_one_trial_deflates_nothing_and_more_deflate_more() -> None:
    levels = _walk(300, 0.001)
    one, ten, thousand = (_judged(levels, n_trials=n) for n in (1, 10, 1000))
    assert one.deflated_sharpe == one.probabilistic_sharpe == ten.probabilistic_sharpe
    values = [found.deflated_sharpe.value or 0.0 for found in (one, ten, thousand)]
    assert values[0] > values[1] > values[2] > 0


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        ([100.0] * 100, "too few days on which the equity moved: 0, needed 30"),
        ([*[100.0] * 99, 101.0], "too few days on which the equity moved: 1, needed 30"),
        (_walk(20, 0.0), "too few days: 20, needed 30"),
        ([100.0 * 2**day for day in range(100)], "the equity's daily return never changed"),
        ([*_walk(100, 0.0), 0.0], "the account was lost"),
    ],
)
def test_what_cannot_be_judged_has_no_sharpe_ratio_but_a_reason(
    levels: list[float], why: str
) -> None:
    found = _judged(levels)
    for one in (found.sharpe, found.probabilistic_sharpe, found.deflated_sharpe):
        assert (one.value, one.why) == (None, why)


def test_an_interval_of_the_sharpe_ratio_holds_the_truth_as_often_as_it_says() -> None:
    truth, held, n_worlds = 0.05 * math.sqrt(365.25), 0, 200
    for seed in range(n_worlds):
        found = _judged(_walk(400, 0.0005, seed=seed)).sharpe
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert 0.9 <= held / n_worlds <= 0.99


def test_the_deepest_and_longest_drawdown_are_read_off_the_steps() -> None:
    # From 120 to 90 is 25%; from the second day's high it takes four days to the next one.
    found = _judged([100, 120, 90, 110, 100, 121, 121])
    assert found.max_drawdown == pytest.approx(0.25)
    assert found.longest_drawdown_days == 4
    assert found.total_return == pytest.approx(0.21)


def test_a_drawdown_that_never_ends_lasts_to_the_end() -> None:
    assert _judged([100, 120, 110, 110, 110]).longest_drawdown_days == 3


def test_a_weekend_between_two_highs_is_no_drawdown() -> None:
    equity = made_equity([100, 101, 102], step=timedelta(days=3))
    found = equity_statistics(equity, n_trials=1, n_resamples=100, confidence=0.95, seed=1)
    assert found.longest_drawdown_days == 0


def test_exposure_is_the_share_of_steps_in_a_position() -> None:
    found = _judged([100, 101, 101, 102])
    assert found.exposure == 0.5
    assert found.mean_open_risk == pytest.approx(0.005)
    assert found.max_open_risk == pytest.approx(0.01)


def test_resampled_drawdowns_lie_about_the_one_of_a_path_without_memory() -> None:
    paths = [_judged(_walk(250, 0.0, seed=seed)) for seed in range(40)]
    inside = [
        path.drawdown_paths.low <= path.max_drawdown <= path.drawdown_paths.high  # type: ignore[operator]
        for path in paths
    ]
    assert np.mean(inside) > 0.8


def test_blocks_of_days_follow_each_other_and_have_the_length_asked_for() -> None:
    day_BD = stationary_blocks(1000, 50, 10, np.random.default_rng(1))
    assert day_BD.min() >= 0
    assert day_BD.max() < 1000
    follows = (np.diff(day_BD, axis=1) % 1000 == 1).mean()
    assert follows == pytest.approx(0.9, abs=0.01)


def test_no_step_at_all_is_none_throughout() -> None:
    found = equity_statistics(
        EQUITY.to_frame(), n_trials=1, n_resamples=100, confidence=0.95, seed=1
    )
    assert found.n_days == 0
    assert found.sharpe.why == "no bars"
    assert (found.max_drawdown, found.exposure, found.total_return) == (None, None, None)
