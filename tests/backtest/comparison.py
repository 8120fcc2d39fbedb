"""Runs a scenario through the replay and through the slow reference, and compares all they tell.

Axes: K decisions, P exit parameters.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from backtest.replayed import Replayed
from exits.evaluator import ExitEvaluator
from exits.policy import Asked, Decided
from tests.backtest.reference import slow_replay
from tests.backtest.reference_state import SlowReplay
from tests.backtest.strategies import NAMES, Scenario

EVALUATOR_CONF = Path(__file__).parents[2] / "conf" / "evaluator" / "points.yaml"
DETAILS = ("partials", "stop_moves", "decisions")
RELATIVE = 1e-9


class ScenarioPolicy:
    """The scenario's policy as the replay asks for it."""

    name = "scenario"
    reads_state = False

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.fixed_P = None
        if len(scenario.sets) == 1 and scenario.atr_mults == (1.0,) and scenario.seed % 2:
            self.fixed_P = np.array([{**scenario.sets[0], "current_atr": 1.0}[n] for n in NAMES])

    def decide(self, asked: Sequence[Asked]) -> Decided:
        found = [self.scenario.decide(a.symbol, a.number, a.bar, a.atr) for a in asked]
        rows = [[parameters[name] for name in NAMES] for parameters in found]
        return Decided(np.array(rows).reshape(-1, len(NAMES)), (self.name,) * len(asked))


def evaluator() -> ExitEvaluator:
    conf = yaml.safe_load(EVALUATOR_CONF.read_text(encoding="utf-8"))
    return ExitEvaluator(**{name: value for name, value in conf.items() if name != "kind"})


def markets_of(scenario: Scenario, n_bars: Sequence[int] | None = None) -> list[Market]:
    """Return the markets of a scenario, each symbol's bars cut to so many where that is said."""
    cuts = n_bars or [len(market.bars) for market in scenario.markets]
    return [
        Market(
            symbol=market.bars.symbol,
            bars=market.bars.until(n),
            signal_T=market.signal_T[:n],
            confidence_T=market.confidence_T[:n],
            threshold=market.threshold,
            tick_size=market.tick_size,
        )
        for market, n in zip(scenario.markets, cuts, strict=True)
    ]


def settings_of(scenario: Scenario) -> dict[str, Any]:
    """Return what a replay of a scenario is told beside its markets and its policy."""
    s = scenario.settings
    return {
        "exits": ExitSettings(
            tick_atr=s.tick_atr,
            minutes_per_bar=s.minutes_per_bar,
            min_share=s.min_share,
            friday_late_hour=s.friday_late_hour,
            sessions=s.sessions,
        ),
        "costs": Costs(
            spread_atr=s.spread_atr, commission_atr=s.commission_atr, slippage_atr=s.slippage_atr
        ),
        "account": Account(
            equity=s.equity,
            risk_per_trade=s.risk_per_trade,
            max_open_risk=s.max_open_risk,
            daily_loss_limit=s.daily_loss_limit,
            recovery_drawdown=s.recovery_drawdown,
        ),
        "evaluator": evaluator() if s.evaluator else None,
    }


def replayed(scenario: Scenario, n_bars: Sequence[int] | None = None) -> Replayed:
    """Replay the scenario, each symbol's bars cut to so many where that is said."""
    markets = markets_of(scenario, n_bars)
    return replay(markets, ScenarioPolicy(scenario), **settings_of(scenario))


def assert_agree(scenario: Scenario) -> SlowReplay:
    """Run both and compare; return the slow one's account of what was met."""
    slow = slow_replay(scenario.slow_markets(), scenario.slow_policy, scenario.settings)
    fast = replayed(scenario)
    closed, still_open = fast.trades.to_dicts(), fast.open_positions.to_dicts()
    assert [brief(t) for t in closed] == [brief(slow_row(t, scenario)) for t in slow.trades]
    assert len(still_open) == len(slow.open_positions)
    details = {name: by_trade(getattr(fast, name)) for name in DETAILS}
    for found, expected in zip(
        (*closed, *still_open), (*slow.trades, *slow.open_positions), strict=True
    ):
        same(found, slow_row(expected, scenario))
        for name, rows in details.items():
            same_rows(rows.pop(found["trade_id"], []), getattr(expected["position"], name))
    assert not any(details.values()), "details of trades that nobody made"
    same_parameters(fast, closed + still_open, slow.trades + slow.open_positions)
    same_rows(fast.equity.to_dicts(), slow.equity)
    assert {k: n for k, n in fast.skipped.items() if n} == dict(slow.skipped)
    return slow


def brief(trade: dict) -> tuple:
    names = ("symbol", "side", "signal_bar", "entry_bar", "exit_bar", "exit_rule", "exit_reason")
    return tuple(trade[name] for name in names)


def slow_row(trade: dict, scenario: Scenario) -> dict:
    """Return the reference's trade in the columns of the replay's."""
    pos = trade["position"]
    market = next(m for m in scenario.markets if m.bars.symbol == pos.symbol)
    times = market.bars.close_time_T.astype(object)
    starts = market.bars.start_T.astype(object)
    row = {
        "symbol": pos.symbol,
        "side": "LONG" if pos.side > 0 else "SHORT",
        "signal_time": times[pos.signal_bar],
        "entry_time": starts[pos.entry_bar],
        "signal_bar": pos.signal_bar,
        "entry_bar": pos.entry_bar,
        "entry_price": pos.entry,
        "quantity": pos.quantity,
        "risk_price": pos.risk,
        "initial_stop": pos.entry - pos.side * pos.risk,
        "entry_atr": pos.atr0,
        "tick": pos.tick,
        "pnl": trade["pnl"],
        "pnl_percent": trade["pnl"] / (pos.entry * pos.quantity) * 100,
        "r_multiple": trade["r_multiple"],
        "mae_r": min(0.0, pos.r_at(pos.worst)),
        "mfe_r": max(0.0, pos.r_at(pos.peak)),
        "confidence": pos.confidence,
        "regime": pos.regime0,
        "n_partials": len(pos.partials),
        "n_rejected_partials": pos.n_rejected,
        "n_stop_moves": len(pos.stop_moves),
        "n_updates": pos.n_updates,
        "breakeven_bar": pos.breakeven_bar,
        "trailing_bar": pos.trailing_bar,
        "equity_before": pos.equity_before,
    }
    if "exit_bar" in trade:
        row |= {name: trade[name] for name in ("exit_bar", "exit_rule", "exit_reason")}
        row |= {name: trade[name] for name in ("exit_price", "cost_r")}
        row["bars_held"] = trade["exit_bar"] - pos.entry_bar + 1
    return row


def by_trade(frame: pl.DataFrame) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = {}
    for row in frame.to_dicts():
        found.setdefault(row["trade_id"], []).append(row)
    return found


def same_parameters(fast: Replayed, found: list[dict], expected: list[dict]) -> None:
    """Compare the parameters in force from each decision on, and those that updates replaced."""
    positions = {
        row["trade_id"]: trade["position"] for row, trade in zip(found, expected, strict=True)
    }
    keys = zip(fast.decisions["trade_id"], fast.decisions["number"], strict=True)
    decided = [positions[trade].decisions[number] for trade, number in keys]
    updates = [k for k, decision in enumerate(decided) if "replaced" in decision]
    in_force_KP = np.array([list(decision["in_force"].values()) for decision in decided])
    replaced_KP = np.array([list(decided[k]["replaced"].values()) for k in updates])
    shape = (-1, len(NAMES))
    np.testing.assert_allclose(fast.decided_KP, in_force_KP.reshape(shape), rtol=RELATIVE)
    np.testing.assert_allclose(fast.previous_KP[updates], replaced_KP.reshape(shape), rtol=RELATIVE)


def same_rows(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        same(one, other)


def same(found: dict, expected: dict) -> None:
    """Compare the columns that both have: numbers to their last digits, all else exactly."""
    wrong = {}
    for name in found.keys() & expected.keys():
        a, b = found[name], expected[name]
        if hasattr(a, "tzinfo"):
            a = a.replace(tzinfo=None)
        if isinstance(b, float):
            # Money that nearly cancels out is as exact as the sums it came from.
            scale = 100.0 if name in ("pnl", "pnl_percent") else 1.0
            close = math.isclose(a, b, rel_tol=RELATIVE, abs_tol=RELATIVE * scale)
        else:
            close = a == b
        if not close:
            wrong[name] = (a, b)
    assert not wrong, f"found and expected differ: {wrong} in {found}"
