"""What a policy is told inside a replay is what the experiences of that replay hold.

Longer: ``ASSAY_FUZZ_EXAMPLES=5000 python -m pytest tests/backtest/test_decision_state.py``.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.costs import Account, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from backtest.replayed import Replayed
from exits.decision_rows import DecisionRows, read_decision_rows
from exits.experience import experiences, write_experiences
from exits.exploring import Exploring
from exits.feature_table import FEATURES, INDEX, N_FEATURES
from exits.parameters import IMMEDIATE
from exits.policy import Asked, Decided, Defaults, ExitPolicy
from tests.backtest.comparison import ScenarioPolicy, markets_of, settings_of
from tests.backtest.strategies import Scenario, drawn, scenarios
from tests.backtest.test_truncation import cut_at
from tests.backtest.themes import THEMES
from tests.exits.replays import COSTS, LASTING

EXAMPLES = int(os.environ.get("ASSAY_FUZZ_EXAMPLES", "100"))
# Records round numbers of a decision to six places: in money that is so much of equity.
ROUNDED = 2e-6
IN_MONEY = ("max_profit_reached", "outcome.opportunity_cost")
GIVEN_BACK = "outcome.profit_drawdown_from_peak"


class Recording:
    """A policy that keeps what it was told."""

    fixed_P = None
    reads_state = True

    def __init__(self, inner: ExitPolicy) -> None:
        self.inner, self.name = inner, inner.name
        self.told: dict[tuple[str, int, int], Asked] = {}

    def decide(self, asked: Sequence[Asked]) -> Decided:
        self.told |= {(one.symbol, one.bar, one.number): one for one in asked}
        return self.inner.decide(asked)


def recorded(scenario: Scenario) -> tuple[Recording, Replayed, DecisionRows | None]:
    """Replay a scenario with a policy that reads states, and read the experiences it leaves."""
    policy = Recording(ScenarioPolicy(scenario))
    markets, told = markets_of(scenario), settings_of(scenario)
    replayed = replay(markets, policy, **told)
    if replayed.trades.is_empty():
        return policy, replayed, None
    found = experiences(
        replayed,
        {market.symbol: market.bars for market in markets},
        costs=told["costs"],
        daily_loss_limit=told["account"].daily_loss_limit,
        sessions=told["exits"].sessions,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "experiences.jsonl"
        write_experiences(path, found)
        rows, _ = read_decision_rows([path], rejected=Path(folder) / "rejected.jsonl")
    return policy, replayed, rows


def states_of(policy: Recording, rows: DecisionRows, scenario: Scenario) -> np.ndarray:
    """Return what the policy was told at each of the decisions that were read."""
    bars = {market.bars.symbol: market.bars for market in scenario.markets}
    states = []
    for n, (trade, number, time) in enumerate(
        zip(rows.trade_N.tolist(), rows.number_N.tolist(), rows.time_N, strict=True)
    ):
        symbol = rows.symbol_M[trade]
        bar = int(np.searchsorted(bars[symbol].close_time_T, time))
        one = policy.told[symbol, bar, number]
        np.testing.assert_allclose(one.r, rows.r_N[n], atol=ROUNDED)
        states.append(one.state_F)
    return np.array(states).reshape(-1, N_FEATURES)


def comparable(x_NF: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Return features in units in which what records round is as small in all of them."""
    x_NF = x_NF.copy()
    equity_N = x_NF[:, INDEX["outcome.daily_loss_limit"]] / scenario.settings.daily_loss_limit
    for name in IN_MONEY:
        x_NF[:, INDEX[name]] /= equity_N
    # A share of next to nothing is all rounding.
    known_N = np.round(x_NF[:, INDEX["mfe"]], 3) ** 2
    x_NF[:, INDEX[GIVEN_BACK]] *= known_N / (1.0 + np.abs(x_NF[:, INDEX["r_multiple"]]))
    return x_NF


def assert_told_what_was_recorded(scenario: Scenario) -> DecisionRows | None:
    policy, _, rows = recorded(scenario)
    if rows is None:
        return None
    found_NF = comparable(states_of(policy, rows, scenario), scenario)
    expected_NF = comparable(rows.x_NF, scenario)
    close_NF = np.isclose(found_NF, expected_NF, rtol=1e-8, atol=ROUNDED)
    wrong = {
        FEATURES[column].name: (found_NF[n, column], expected_NF[n, column])
        for n, column in np.argwhere(~close_NF)
    }
    assert not wrong, f"{scenario.theme}, seed {scenario.seed}"
    return rows


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_a_policy_is_told_what_the_experiences_of_its_replay_hold(scenario: Scenario) -> None:
    assert_told_what_was_recorded(scenario)


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(short_bars=False), st.floats(0.1, 1.0))
def test_no_state_depends_on_a_later_bar(scenario: Scenario, share: float) -> None:
    steps = np.unique(np.concatenate([one.bars.close_time_T for one in scenario.markets]))
    n_bars = cut_at(scenario, steps[int(share * (len(steps) - 1))])
    whole, cut = Recording(ScenarioPolicy(scenario)), Recording(ScenarioPolicy(scenario))
    replay(markets_of(scenario), whole, **settings_of(scenario))
    replay(markets_of(scenario, n_bars), cut, **settings_of(scenario))
    for key, one in cut.told.items():
        assert np.asarray(one.state_F).tobytes() == np.asarray(whole.told[key].state_F).tobytes()


@pytest.fixture(scope="module")
def rows_NF() -> np.ndarray:
    """Return what was recorded in a fixed set of scenarios, each compared with what was told."""
    compared = [
        assert_told_what_was_recorded(drawn(theme, seed, 150))
        for theme in THEMES
        for seed in (0, 1)
    ]
    return np.concatenate([rows.x_NF for rows in compared if rows is not None])


@pytest.mark.parametrize("name", [feature.name for feature in FEATURES if feature.known != "close"])
def test_every_feature_that_is_known_in_time_took_different_values(rows_NF, name) -> None:
    assert np.ptp(rows_NF[:, INDEX[name]]) > 0


@pytest.mark.parametrize("name", [feature.name for feature in FEATURES if feature.known == "close"])
def test_what_is_known_once_a_trade_is_closed_is_told_at_no_decision(rows_NF, name) -> None:
    feature = FEATURES[INDEX[name]]
    assert (rows_NF[:, INDEX[name]] == feature.neutral).all()


OF_ACCOUNT = (
    *("market_state.recent_pnl", "market_state.streak", "pnl", "commission_cost"),
    *("max_profit_reached", "outcome.contracts", "outcome.cumulative_pnl_before_trade"),
    *(
        "outcome.daily_loss_limit",
        "outcome.daily_loss_proximity_pct",
        "outcome.daily_pnl_before_trade",
    ),
    *("outcome.losses_in_last_5_trades", "outcome.wins_in_last_5_trades"),
    *("outcome.max_drawdown_percent", "outcome.opportunity_cost", "outcome.peak_unrealized_pnl"),
)


def exploring(markets: Sequence[Market], account: Account) -> tuple[Recording, Replayed]:
    base = Defaults({**LASTING, "consecutive_losses_max": 8, "partial_1_r": 0.8})
    policy = Recording(Exploring(explore=0.15, seed=5, base=base, fixed=IMMEDIATE))
    given = {"exits": ExitSettings(), "costs": COSTS, "account": account}
    return policy, replay(markets, policy, **given)


@pytest.fixture(scope="module")
def pair() -> list[Market]:
    return [
        replace(one, symbol=f"M{k}", bars=replace(one.bars, symbol=f"M{k}"))
        for k in range(2)
        for one in markets_of(drawn("trends", k, 3000))[:1]
    ]


def test_other_symbols_are_told_of_by_the_account_alone(pair) -> None:
    # So little is at risk that no rule of the account has anything to say.
    quiet = Account(risk_per_trade=1e-6, max_open_risk=1.0)
    told = [exploring(markets, quiet)[0].told for markets in (pair, pair[:1])]
    same = [key for key in told[1] if key in told[0] and key[2] > 0]
    own = [k for k, feature in enumerate(FEATURES) if feature.name not in OF_ACCOUNT]
    both_KF = [np.array([one[key].state_F for key in same]) for one in told]
    assert len(same) > 100
    np.testing.assert_array_equal(both_KF[0][:, own], both_KF[1][:, own])


def test_a_state_is_kept_as_it_was_told(pair) -> None:
    policy, _ = exploring(pair, Account())
    for (_, _, number), one in policy.told.items():
        assert one.state_F is not None
        assert one.state_F[INDEX["market_state.atr"]] == one.atr
        assert one.state_F[INDEX["r_multiple"]] == one.r
        assert one.state_F[INDEX["entry_confidence"]] == one.confidence
        assert (one.state_F[INDEX["outcome.bars_held"]] > 0) == (number > 0)


def test_policies_that_do_not_read_the_state_are_asked_without_it(pair) -> None:
    policy = Recording(Exploring(explore=0.15, seed=5))
    policy.reads_state = False
    replay(pair, policy, exits=ExitSettings(), costs=COSTS, account=Account())
    assert {one.state_F is None for one in policy.told.values()} == {True}
