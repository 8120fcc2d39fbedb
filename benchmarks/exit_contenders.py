"""Ways to get 132 exit parameters from 208 raw features, and the rows they are asked about.

Axes: K decisions, F features, P the 132 parameters.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from exits.exit_model import ExitModel
from exits.exit_net import WIDTHS, ExitNet
from exits.feature_bounds import FeatureBounds
from exits.feature_table import FEATURES
from exits.ladder import Ladder, LocalNeuralNetwork, TableDefaults
from exits.parameters import ATR, INDEX, PARAMETERS, defaults
from exits.policy import Asked
from market.bars import FloatArray

if TYPE_CHECKING:
    import torch

ALONE, LADDER, EAGER = "assay, the model", "assay, the ladder", "PyTorch eager"
SEED: Final = 4_021
_ATR_P: Final = INDEX[ATR]
_WHOLE_P: Final = [parameter.kind == "integer" for parameter in PARAMETERS]

Decide = Callable[[Sequence[Asked]], FloatArray]


def drawn_model(*, identified: bool = True) -> ExitModel:
    """Return a model with random weights that decides all parameters, or none of them."""
    rng = np.random.default_rng(SEED)
    layers = []
    for n_in, n_out in pairwise(WIDTHS):
        weight_IO = rng.normal(0.0, np.sqrt(2.0 / n_in), (n_in, n_out)).astype(np.float32)
        layers.append((weight_IO, rng.normal(0.0, 0.1, n_out).astype(np.float32)))
    return ExitModel(
        net=ExitNet(layers),
        bounds=FeatureBounds.fit(drawn_rows(2_000)),
        identified_P=np.full(len(PARAMETERS), identified),
        base_P=defaults(1.0),
        atr_ratio=(0.5, 2.0),
        hindsight=False,
        trained_until=np.datetime64("2024-01-01", "us"),
    )


def drawn_rows(n_rows: int) -> FloatArray:
    """Return raw features: parameters within their ranges, codes whole, others about neutral."""
    rng = np.random.default_rng(SEED + 1)
    x_KF = np.empty((n_rows, len(FEATURES)))
    for f, feature in enumerate(FEATURES):
        if feature.scale == "table":
            x_KF[:, f] = rng.uniform(PARAMETERS[f].low, PARAMETERS[f].high, n_rows)
        elif feature.scale == "code":
            x_KF[:, f] = rng.integers(0, len(feature.codes), n_rows)
        else:
            x_KF[:, f] = feature.neutral + rng.normal(0.0, 3.0, n_rows)
        if feature.known == "close":
            x_KF[:, f] = feature.neutral
    return x_KF


def askings(x_KF: FloatArray) -> list[Asked]:
    """Return what a replay asks with: one asking per row."""
    noon = np.datetime64("2024-01-05T12:00", "us")
    return [
        Asked(
            symbol=f"S{k}",
            number=1,
            bar=k,
            time=noon,
            side=1,
            atr=0.001 * (1 + k % 7),
            r=0.0,
            in_force_P=None,
            state_F=x_F,
        )
        for k, x_F in enumerate(x_KF)
    ]


def contenders(model: ExitModel) -> dict[str, Decide]:
    """Return our ways and PyTorch's, each from what is asked to parameters in real units."""
    ladder = Ladder([LocalNeuralNetwork(model), TableDefaults()])

    def alone(asked: Sequence[Asked]) -> FloatArray:
        x_KF = np.array([one.state_F for one in asked])
        return model.decide(x_KF, np.array([one.atr for one in asked]))

    return {
        ALONE: alone,
        LADDER: lambda asked: ladder.decide(asked).values_KP,
        EAGER: Eager(model),
    }


class Eager:
    """The same in plain PyTorch: scaling, net and real units, each with tensors."""

    def __init__(self, model: ExitModel) -> None:
        import torch

        self._torch = torch
        size_F, offset_F, gain_F = map(torch.from_numpy, model.bounds.scaling())
        self._log_F, self._offset_F, self._gain_F = size_F > 0, offset_F, gain_F
        self._size_F = torch.where(self._log_F, size_F, 1.0)
        self._net = _module(model)
        low_P, high_P = ([getattr(one, end) for one in PARAMETERS] for end in ("low", "high"))
        low_P[_ATR_P], high_P[_ATR_P] = model.atr_ratio
        self._low_P, self._high_P, base_P = (
            torch.tensor(each, dtype=torch.float64) for each in (low_P, high_P, model.base_P)
        )
        base_P[_ATR_P] = 1.0
        self._base_P = base_P
        self._whole_P = torch.tensor(_WHOLE_P)
        self._net_decides_P = torch.tensor(model.identified_P)

    def __call__(self, asked: Sequence[Asked]) -> FloatArray:
        """Return the parameters for what is asked."""
        torch = self._torch
        with torch.inference_mode():
            x_KF = torch.from_numpy(np.array([one.state_F for one in asked]))
            atr_K = torch.tensor([one.atr for one in asked], dtype=torch.float64)
            curved_KF = torch.sign(x_KF) * torch.log1p(x_KF.abs() / self._size_F)
            x_KF = torch.where(self._log_F, curved_KF, x_KF)
            unit_KF = ((x_KF - self._offset_F) * self._gain_F).clamp(0.0, 1.0).float()
            unit_KP = self._net(unit_KF).double()
            values_KP = self._low_P * (1.0 - unit_KP) + self._high_P * unit_KP
            values_KP = torch.where(self._whole_P, torch.floor(values_KP + 0.5), values_KP)
            values_KP = torch.where(self._net_decides_P, values_KP, self._base_P)
            values_KP[:, _ATR_P] *= atr_K
            found_KP: FloatArray = values_KP.numpy()
        return found_KP


def _module(model: ExitModel) -> "torch.nn.Module":
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for weight_IO, bias_O in model.net.layers:
        linear = nn.Linear(*weight_IO.shape)
        state = {"weight": torch.tensor(weight_IO.T.copy()), "bias": torch.tensor(bias_O)}
        linear.load_state_dict(state)
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1], nn.Sigmoid()).eval()
