"""Nets trained side by side: the arithmetic is PyTorch's own, and each is as it would be alone.

Axes: M nets, P parameters, L steps of a window, B rows of a batch, F features, D activations.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.base import StoppedError
from models.monitor import TrainingMonitor
from models.net import Begun, Net
from models.net_rows import JoinedRows, Rows
from models.stacked import Stacked
from tests.models.planted import make_model, signal

N_FEATURES = 5
ARCHITECTURES: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"hidden": [6]}),
    ("mlp", {"hidden": [7, 5, 3]}),
    ("lstm", {"hidden": 4, "lookback": 1}),
    ("lstm", {"hidden": 4, "lookback": 6}),
    ("lstm", {"hidden": 3, "lookback": 4, "layers": 3}),
]
every_architecture = pytest.mark.parametrize(("file", "changes"), ARCHITECTURES)


def net(file: str, **changes: Any) -> Net:
    model = make_model(file, **changes)
    assert isinstance(model, Net)
    return model


def stack(model: Net, n_nets: int) -> tuple[list[nn.Module], Stacked, torch.Tensor]:
    """Return modules of one architecture, their arithmetic, and their weights, all in double."""
    torch.manual_seed(3)
    modules = [model._module(N_FEATURES).double().eval() for _ in range(n_nets)]
    vectors = [nn.utils.parameters_to_vector(one.parameters()) for one in modules]
    return modules, model._stacked(modules[0]), torch.stack(vectors).detach()


@every_architecture
def test_log_odds_and_gradients_are_those_of_the_module(file: str, changes: dict[str, Any]) -> None:
    model = net(file, **changes)
    modules, stacked, weight_MP = stack(model, 3)
    x_MLBF = torch.randn(3, model.context_rows + 1, 8, N_FEATURES).double()
    slope_MB, gradient_MP = torch.randn(3, 8).double(), torch.full_like(weight_MP, 9.0)
    weights = stacked.views(weight_MP)
    log_odds_MB, known = stacked.forward(weights, x_MLBF)
    stacked.backward(weights, stacked.views(gradient_MP), known, slope_MB)
    for m, module in enumerate(modules):
        x = x_MLBF[m].transpose(0, 1) if file == "lstm" else x_MLBF[m, 0]
        expected_B = module(x)
        torch.autograd.backward(expected_B, slope_MB[m])
        expected_P = torch.cat([one.grad.flatten() for one in module.parameters()])  # type: ignore[union-attr]
        assert torch.allclose(log_odds_MB[m], expected_B, atol=1e-12)
        assert torch.allclose(gradient_MP[m], expected_P, atol=1e-12)


@every_architecture
def test_gradients_under_dropout_are_the_slope_of_what_was_computed(
    file: str, changes: dict[str, Any]
) -> None:
    model = net(file, **changes, dropout=0.4)
    _, stacked, weight_MP = stack(model, 2)
    x_MLBF = torch.randn(2, model.context_rows + 1, 8, N_FEATURES).double()
    keep_MD = stacked.drawn([np.random.default_rng(m) for m in range(2)], 8)
    assert keep_MD is not None
    slope_MB, gradient_MP = torch.randn(2, 8).double(), torch.zeros_like(weight_MP)

    def total(at_MP: torch.Tensor) -> float:
        log_odds_MB, _ = stacked.forward(stacked.views(at_MP), x_MLBF, keep_MD.double())
        return float((log_odds_MB * slope_MB).sum())

    _, known = stacked.forward(stacked.views(weight_MP), x_MLBF, keep_MD.double())
    stacked.backward(stacked.views(weight_MP), stacked.views(gradient_MP), known, slope_MB)
    direction_MP = torch.randn_like(weight_MP)
    rise = total(weight_MP + 1e-6 * direction_MP) - total(weight_MP - 1e-6 * direction_MP)
    assert float((gradient_MP * direction_MP).sum()) == pytest.approx(rise / 2e-6, rel=1e-5)


@given(dropout=st.floats(0.01, 0.99), n_rows=st.integers(1, 70))
@settings(deadline=None, max_examples=30)
def test_dropout_keeps_its_share_and_the_mean(dropout: float, n_rows: int) -> None:
    model = net("mlp", hidden=[200, 100], dropout=dropout)
    stacked = model._stacked(model._module(N_FEATURES))
    keep_MD = stacked.drawn([np.random.default_rng(0), np.random.default_rng(1)], n_rows)
    assert keep_MD is not None
    assert keep_MD.shape == (2, n_rows * 300)
    error = 5 * np.sqrt(dropout * (1 - dropout) / keep_MD.numel()) + 1e-4
    assert float((keep_MD == 0).float().mean()) == pytest.approx(dropout, abs=error)
    assert keep_MD.max() == pytest.approx(1 / (1 - dropout), rel=2e-3)
    assert not torch.equal(keep_MD[0], keep_MD[1])


def test_without_dropout_nothing_is_drawn() -> None:
    model, rng = net("mlp", dropout=0.0), np.random.default_rng(0)
    before = rng.bit_generator.state
    assert model._stacked(model._module(N_FEATURES)).drawn([rng], 8) is None
    assert rng.bit_generator.state == before


def test_rows_of_several_nets_are_looked_up_each_in_its_own_table() -> None:
    tables = [np.arange(24.0).reshape(12, 2), 100 + np.arange(14.0).reshape(7, 2)]
    parts = [
        Rows.of(tables[0], np.ones(10), np.ones(10), steps=3),
        Rows.of(tables[1], np.zeros(5), np.ones(5), steps=3),
    ]
    joined = JoinedRows(parts, torch.device("cpu"))
    order_MC = torch.tensor([[9, 0], [4, -1]])
    x_MLCF = joined.windows(order_MC)
    assert np.array_equal(x_MLCF[0, :, 0], tables[0][9:12])
    assert np.array_equal(x_MLCF[1, :, 0], tables[1][4:7])
    y_MC, weight_MC = joined.labels(order_MC)
    assert y_MC.tolist() == [[1, 1], [0, 0]]
    assert weight_MC.tolist() == [[1, 1], [1, 0]]


def begun(model: Net, n_rows: int, seed: int) -> Begun:
    rows, cut = signal(n_rows, seed=1), round(0.8 * n_rows)
    train, valid = rows.take(slice(0, cut)), rows.take(slice(cut, n_rows))
    rng = np.random.default_rng(seed)
    return model.begin(train, valid, rng=rng, monitor=TrainingMonitor())


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_nets_trained_side_by_side_are_as_each_would_be_alone(file: str) -> None:
    sizes, x_NF = (90, 260, 141, 200), signal(300, seed=5).x_NF
    model = net(file, dropout=0.3, batch_size=32, patience=4)
    together = [begun(model.fresh(), n_rows, seed) for seed, n_rows in enumerate(sizes)]
    Net.train_together(together)
    n_epochs = set()
    for seed, (one, n_rows) in enumerate(zip(together, sizes, strict=True)):
        report = one.model.finish(one)
        alone = begun(model.fresh(), n_rows, seed)
        Net.train_together([alone])
        expected = alone.model.finish(alone)
        assert report.n_rounds == expected.n_rounds
        assert report.curves["val_loss"] == pytest.approx(expected.curves["val_loss"], abs=1e-5)
        p_N2 = alone.model.predict_proba(x_NF)
        assert np.allclose(one.model.predict_proba(x_NF), p_N2, atol=1e-5)
        assert one.model.log_odds_shift == alone.model.log_odds_shift
        n_epochs.add(report.n_rounds)
    # Each came to its own end.
    assert len(n_epochs) > 1


def test_one_that_is_stopped_leaves_the_others_alone() -> None:
    model, x_NF = net("mlp", max_epochs=5), signal(50, seed=5).x_NF
    together = [begun(model.fresh(), 80, 0), begun(model.fresh(), 60, 1)]
    together[1].lane.fitted.table[3, 1] = torch.nan
    Net.train_together(together)
    with pytest.raises(StoppedError, match="loss is nan at epoch 0"):
        together[1].model.finish(together[1])
    together[0].model.finish(together[0])
    alone = begun(model.fresh(), 80, 0)
    Net.train_together([alone])
    alone.model.finish(alone)
    assert np.allclose(
        together[0].model.predict_proba(x_NF), alone.model.predict_proba(x_NF), atol=1e-6
    )


def test_only_nets_of_a_kind_train_together() -> None:
    pair = [begun(net("mlp"), 60, 0), begun(net("mlp", dropout=0.1), 60, 0)]
    with pytest.raises(ValueError, match="only nets of the same hyperparameters train together"):
        Net.train_together(pair)
