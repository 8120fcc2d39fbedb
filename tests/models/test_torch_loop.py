"""The epoch loop, on nets small enough to calculate by hand, and what the nets hand to it.

Axes: N rows, L steps of a window, F features.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import models.net
from models.base import Model, ModelError
from models.mlp import MLP
from models.monitor import TrainingMonitor
from models.net_rows import Rows, padded, windows
from models.stacked_mlp import StackedMLP
from models.torch_loop import Lane, LoopSettings, train_nets
from tests.models.planted import make_model, signal, ticking


def loop(**changes: Any) -> LoopSettings:
    settings = {
        "learning_rate": 0.05,
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "batch_size": 1000,
        "max_epochs": 30,
        "patience": 100,
    }
    return LoopSettings(**{**settings, **changes})


class Linear(nn.Module):
    """A linear net that starts by answering the same log-odds to everything."""

    def __init__(self, log_odds: float = 0.0, n_features: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, log_odds)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.linear(x).squeeze(1)
        return answer


def rows_of(n_rows: int, seed: int, flipped: bool = False, weight: Any = 1.0) -> Rows:
    rng = np.random.default_rng(seed)
    x_NF = rng.normal(size=(n_rows, 2))
    y_N = (x_NF[:, 0] > 0) != flipped
    return Rows.of(x_NF, y_N, np.broadcast_to(weight, n_rows))


def train(net: nn.Module, fitted: Rows, held: Rows, **more: Any) -> dict[str, list[float]]:
    """Train a linear net alone, which is an MLP without hidden layers."""
    stacked = more.pop("stacked", StackedMLP(net, 0.0, hidden=[]))
    monitor = more.pop("monitor", TrainingMonitor())
    lane = Lane(net, fitted, held, np.random.default_rng(0), monitor)
    train_nets(stacked, [lane], loop(**more))
    return lane.curves


def windows_of(rows: Rows) -> torch.Tensor:
    return rows.table[rows.first[:, None] + torch.arange(rows.steps)]


def held_loss(net: nn.Module, held: Rows) -> float:
    with torch.inference_mode():
        return float(nn.functional.binary_cross_entropy_with_logits(net(held.table), held.y))


def test_the_weights_of_the_best_epoch_are_the_ones_kept() -> None:
    net, fitted = Linear(), rows_of(60, 1)
    mixed = rows_of(60, 2)
    y_N = torch.where(torch.arange(60) < 18, 1 - mixed.y, mixed.y)
    held = Rows.of(mixed.table, y_N, mixed.weight)
    curves = train(net, fitted, held, learning_rate=0.3, patience=7)
    losses = curves["val_loss"]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1
    assert len(losses) == best + 1 + 7
    assert held_loss(net, held) == pytest.approx(losses[best], abs=1e-7)
    assert not net.training


def test_a_net_that_only_gets_worse_stops_after_its_patience() -> None:
    curves = train(Linear(), rows_of(60, 1), rows_of(60, 2, flipped=True), patience=4)
    assert curves["val_loss"] == sorted(curves["val_loss"])
    assert {name: len(values) for name, values in curves.items()} == dict.fromkeys(
        ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "grad_norm"), 5
    )


def test_a_net_that_keeps_improving_uses_all_its_epochs() -> None:
    curves = train(Linear(), rows_of(60, 1), rows_of(60, 2), max_epochs=12, patience=1)
    assert len(curves["val_loss"]) == 12
    assert curves["val_accuracy"][-1] > 0.9


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.9])
def test_the_loss_is_weighted_cross_entropy_with_smoothed_labels(smoothing: float) -> None:
    weight_N = np.random.default_rng(5).uniform(0.01, 0.2, 50)
    fitted = rows_of(50, 1, weight=weight_N)
    p = 1 / (1 + np.exp(-0.8))
    curves = train(Linear(0.8), fitted, rows_of(9, 2), max_epochs=1, label_smoothing=smoothing)
    target_N = fitted.y.numpy() * (1 - smoothing) + smoothing / 2
    loss_N = -(target_N * np.log(p) + (1 - target_N) * np.log(1 - p))
    expected = np.average(loss_N, weights=weight_N)
    assert curves["train_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_the_held_back_loss_is_weighted_and_never_smoothed() -> None:
    weight_N = np.where(np.arange(40) < 20, 1.0, 5.0)
    held = rows_of(40, 2, weight=weight_N)
    net = Linear()
    curves = train(net, rows_of(50, 1), held, max_epochs=1, label_smoothing=0.5)
    with torch.inference_mode():
        p_N = torch.sigmoid(net(held.table)).numpy()
    loss_N = -np.log(np.where(held.y.numpy() == 1, p_N, 1 - p_N))
    assert curves["val_loss"][0] == pytest.approx(np.average(loss_N, weights=weight_N), rel=1e-5)


def test_weight_decay_keeps_weights_small() -> None:
    sizes = []
    for decay in (0.0, 2.0):
        net = Linear()
        train(net, rows_of(60, 1), rows_of(60, 2), weight_decay=decay)
        sizes.append(float(net.linear.weight.detach().abs().sum()))
    assert sizes[1] < 0.7 * sizes[0]


def test_every_row_is_met_once_an_epoch_in_an_order_of_its_own() -> None:
    met: list[torch.Tensor] = []

    class Witness(StackedMLP):
        def backward(self, weights: Any, gradients: Any, known: Any, slope_MB: Any) -> None:
            super().backward(weights, gradients, known, slope_MB)
            # A batch that is not full is filled with rows of no weight.
            met.append(known[0][0][0, slope_MB[0] != 0, 0])

    net, fitted = Linear(), rows_of(50, 1)
    stacked = Witness(net, 0.0, hidden=[])
    train(net, fitted, rows_of(9, 2), max_epochs=2, batch_size=16, stacked=stacked)
    assert [len(batch) for batch in met] == [16, 16, 16, 2] * 2
    first, second = torch.cat(met[:4]), torch.cat(met[4:])
    for epoch in (first, second):
        assert torch.equal(epoch.sort().values, fitted.table[:, 0].sort().values)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("part", [0, 1], ids=["fitted", "held"])
def test_a_loss_that_is_not_a_number_ends_the_loop_at_once(part: int) -> None:
    given, monitor = (rows_of(50, 1), rows_of(9, 2)), TrainingMonitor()
    given[part].table[7, 1] = torch.nan
    curves = train(Linear(), *given, monitor=monitor)
    assert len(curves["train_loss"]) == 1
    assert monitor.should_stop
    assert monitor.stop_reason == "loss is nan at epoch 0: training ended"


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_the_error_of_a_net_names_the_loss(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = make_model(file), signal(80, seed=1)
    table = type(model)._table  # type: ignore[attr-defined]
    monkeypatch.setattr(type(model), "_table", lambda *given: table(*given) * np.nan)
    monitor, rng = TrainingMonitor(), np.random.default_rng(0)
    with pytest.raises(ModelError, match=r"^loss is nan at epoch 0: training ended$"):
        model.fit(rows.take(slice(0, 60)), rows.take(slice(60, 80)), rng=rng, monitor=monitor)


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_a_timeout_ends_a_net_between_epochs(file: str) -> None:
    model, rows = make_model(file), signal(80, seed=1)
    monitor, rng = TrainingMonitor(clock=ticking(150.0)), np.random.default_rng(0)
    with pytest.raises(ModelError, match=r"^timeout: over 10 minutes, training ended$"):
        model.fit(rows.take(slice(0, 60)), rows.take(slice(60, 80)), rng=rng, monitor=monitor)
    # Read once at the start and once an epoch: 750 s is the first time above 600 s.
    assert monitor.clock() == 150.0 * (1 + 5 + 1)


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_a_net_without_rows_to_stop_by_is_refused(file: str) -> None:
    rows = signal(60, seed=1)
    for valid in (None, rows.take(slice(0, 0))):
        rng = np.random.default_rng(0)
        with pytest.raises(ModelError, match="needs rows for early stopping, was given none"):
            make_model(file).fit(rows, valid, rng=rng, monitor=TrainingMonitor())


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Rows]:
    """Return a list that fills with the rows each net's loop is handed: fitted, held."""
    seen: list[Rows] = []

    def spy(stacked: Any, lanes: list[Lane], settings: LoopSettings) -> None:
        seen.extend(rows for lane in lanes for rows in (lane.fitted, lane.held))
        train_nets(stacked, lanes, settings)

    monkeypatch.setattr(models.net, "train_nets", spy)
    return seen


def fit_80(model: Model, augment: Any = None, valid_shift: float = 0.0) -> Model:
    weight_N = np.linspace(0.1, 1.0, 80)
    rows = signal(80, seed=1, weight_N=weight_N)
    rows.x_NF[60:] += valid_shift
    train, valid = rows.take(slice(0, 60)), rows.take(slice(60, 80))
    rng = np.random.default_rng(0)
    model.fit(train, valid, rng=rng, monitor=TrainingMonitor(), augment=augment)
    return model


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_synthetic_rows_are_fitted_on_and_never_validated_on(file: str, handed: list[Rows]) -> None:
    def add_nines(x: Any, y: Any) -> tuple[Any, Any]:
        return np.concatenate([x, np.full_like(x[:7], 9.0)]), np.append(y, np.ones(7, int))

    fit_80(make_model(file, max_epochs=2), add_nines)
    fitted, held = handed
    assert (len(fitted), len(held)) == (67, 20)
    assert (windows_of(fitted)[60:] == 9).all()
    assert not (windows_of(fitted)[:60] == 9).any()
    assert not (windows_of(held) == 9).any()
    winners = fitted.y[:60] == 1
    mean_winner = fitted.weight[:60][winners].mean()
    assert torch.allclose(fitted.weight[60:], mean_winner)
    assert float(fitted.weight.mean()) == pytest.approx(1.0)


def test_features_are_scaled_by_the_fitted_rows_alone(handed: list[Rows]) -> None:
    fit_80(make_model("mlp", max_epochs=1))
    fit_80(make_model("mlp", max_epochs=1), valid_shift=1e6)
    fitted, held, fitted_again, held_again = (rows.table for rows in handed)
    assert torch.equal(fitted, fitted_again)
    assert not torch.equal(held, held_again)
    assert fitted.mean(dim=0).abs().max() < 1e-5
    assert (fitted.std(dim=0, correction=0) - 1).abs().max() < 1e-5


def test_a_constant_feature_says_nothing_even_when_it_moves_later() -> None:
    rows = signal(80, seed=1)
    rows.x_NF[:, 0] = 0.1
    model, rng = make_model("mlp", max_epochs=2), np.random.default_rng(0)
    train, valid = rows.take(slice(0, 60)), rows.take(slice(60, 80))
    model.fit(train, valid, rng=rng, monitor=TrainingMonitor())
    moved_NF = rows.x_NF.copy()
    moved_NF[:, 0] = 5.0
    assert np.array_equal(model.predict_proba(moved_NF), model.predict_proba(rows.x_NF))
    assert np.isfinite(model.predict_proba(moved_NF)).all()


def test_a_window_holds_the_rows_up_to_its_own_and_the_first_stands_for_those_missing() -> None:
    x_NF = np.arange(20, dtype=np.float32).reshape(10, 2)
    windows_NLF = windows(padded(x_NF, x_NF[:0], 4), 4)
    assert windows_NLF.shape == (10, 4, 2)
    for n in range(10):
        expected_LF = x_NF[[max(0, n - 3), max(0, n - 2), max(0, n - 1), n]]
        assert np.array_equal(windows_NLF[n], expected_LF)


@pytest.mark.parametrize("n_before", [1, 2, 3, 7])
def test_rows_before_fill_the_first_windows(n_before: int) -> None:
    x_NF = np.arange(40, dtype=np.float32).reshape(20, 2)
    whole_NLF = windows(padded(x_NF, x_NF[:0], 4), 4)
    later_NLF = windows(padded(x_NF[n_before:], x_NF[:n_before], 4), 4)
    assert np.array_equal(later_NLF, whole_NLF[n_before:])


def test_windows_are_places_in_one_table(handed: list[Rows]) -> None:
    fit_80(make_model("lstm", lookback=10, max_epochs=1))
    fitted, held = handed
    assert (len(fitted), fitted.steps, fitted.table.shape) == (60, 10, (60 + 9, 4))
    assert held.table.shape == (20 + 9, 4)
    # The first held window looks back on the last fitted rows.
    assert torch.equal(windows_of(held)[0, :9], windows_of(fitted)[-1, 1:])


def test_an_mlp_has_the_layers_it_was_asked_for() -> None:
    net = MLP(**make_model("mlp", hidden=[7, 5, 3], dropout=0.25).hyperparameters)._module(4)
    linear = [layer for layer in net.children() if isinstance(layer, nn.Linear)]
    shapes = [(layer.in_features, layer.out_features) for layer in linear]
    assert shapes == [(4, 7), (7, 5), (5, 3), (3, 1)]
    assert [layer.p for layer in net.children() if isinstance(layer, nn.Dropout)] == [0.25] * 3
