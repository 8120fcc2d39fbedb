"""Exit models with random weights, and rows to ask them about."""

from itertools import pairwise

import numpy as np

from exits.exit_model import ExitModel
from exits.exit_net import WIDTHS, ExitNet
from exits.feature_bounds import FeatureBounds
from exits.feature_table import FEATURES
from exits.parameters import defaults

UNTIL = np.datetime64("2024-03-01T12:30:00.000001", "us")


def layers(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return [
        (
            (scale * rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out))).astype(np.float32),
            (scale * rng.normal(0, 0.1, n_out)).astype(np.float32),
        )
        for n_in, n_out in pairwise(WIDTHS)
    ]


def rows(n=40, seed=1):
    """Return raw features: codes whole, the rest anywhere about their neutral value."""
    rng = np.random.default_rng(seed)
    x_NF = np.array([one.neutral for one in FEATURES]) + rng.normal(0, 3, (n, len(FEATURES)))
    codes = [f for f, one in enumerate(FEATURES) if one.scale == "code"]
    x_NF[:, codes] = rng.integers(0, 3, (n, len(codes)))
    return x_NF


def model(seed=0, **changes):
    given = {
        "net": ExitNet(layers(seed)),
        "bounds": FeatureBounds.fit(rows(200, seed=5)),
        "identified_P": np.ones(132, bool),
        "base_P": defaults(1.0),
        "atr_ratio": (0.5, 2.0),
        "hindsight": False,
        "trained_until": UNTIL,
        "facts": {"epoch": 7, "val_loss": 0.25},
    }
    return ExitModel(**given | changes)
