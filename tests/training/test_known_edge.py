"""The simulated market's truth is known: the pipeline is held against it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from market.build import build_event_table
from market.events import SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.simulate import SimulatedMarket
from market.splits import WalkForward
from market.truth import win_probability
from models.null_models import LogisticRegression
from tests.training.spies import task, train_task

Gains = dict[float, tuple[float, float]]

CONF = Path(__file__).parents[2] / "conf"


def conf(name: str) -> dict[str, Any]:
    values = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if key != "kind"}


def expected_gain(p_N: Any, base_rate_N: Any, truth_N: Any) -> float:
    """Mean log-loss gain over the base rate that is due to knowledge, not to luck, in nats."""

    def loss(q_N: Any) -> float:
        return float(-np.mean(truth_N * np.log(q_N) + (1 - truth_N) * np.log(1 - q_N)))

    return loss(base_rate_N) - loss(p_N)


@pytest.fixture(scope="module", params=["EURUSD", "USDJPY"])
def gains(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Gains:
    """Return by edge the gain that a walk-forward found, and the gain that was attainable."""
    features, labels = (
        SmcFeatures(**conf("features/smc")),
        TripleBarrier(**conf("labels/triple_barrier")),
    )
    events, found = SmcEvents(**conf("events/smc")), {}
    for edge in (0.15, 0.0):
        simulation = SimulatedMarket(n_bars=40_000, edge=edge).simulate(request.param, seed=3)
        table = build_event_table(simulation.bars, features=features, events=events, labels=labels)
        state = features.state(simulation.bars)
        bar_N, direction_N = events.find(state)
        split, _ = WalkForward(**conf("split/walk_forward")).divide(table.samples())
        n_rows = len(split.development)
        truth_N = win_probability(
            simulation,
            bar_N[:n_rows],
            direction_N[:n_rows],
            state.atr_T,
            profit_atr=labels.profit_atr,
            stop_atr=labels.stop_atr,
            max_bars=labels.max_bars,
            n_paths=100,
            rng=np.random.default_rng(0),
        )
        model = LogisticRegression(**conf("null_model/logistic"))
        folder = tmp_path_factory.mktemp("model")
        trained = train_task(task(split, folder, model, symbol=request.param))
        judged_N = ~np.isnan(trained.p_N)
        truth_N = np.clip(truth_N[judged_N], 0.01, 0.99)
        base_rate_N = trained.base_rate_N[judged_N]
        found[edge] = (
            expected_gain(trained.p_N[judged_N], base_rate_N, truth_N),
            expected_gain(truth_N, base_rate_N, truth_N),
        )
    return found


def test_with_an_edge_walk_forward_finds_over_a_third_of_what_is_attainable(gains: Gains) -> None:
    gain, attainable = gains[0.15]
    assert attainable > 0.01
    assert attainable / 3 < gain < attainable


def test_without_an_edge_there_is_nothing_to_gain_and_nothing_is_found(gains: Gains) -> None:
    gain, attainable = gains[0.0]
    assert attainable < 0.003
    assert gain <= attainable
