import io
from dataclasses import replace

import numpy as np
import pytest

from tests.tracking.sample_records import FIGURES
from tracking.figures import FigurePainter, wilson_interval

ALL = {"confusion_matrix.png", "reliability.png", "learning_curves.png", "importance.png"}


def pixels(png):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


@pytest.fixture(scope="module")
def painter():
    return FigurePainter()


def test_every_figure_is_a_picture_with_something_on_it(painter):
    painted = painter.paint(FIGURES)
    assert set(painted) == ALL
    for name, png in painted.items():
        assert png.startswith(b"\x89PNG"), name
        assert len(png) > 5000, name
        grey = pixels(png)
        assert grey.shape == (450, 720)
        ink = (grey < 200).mean()
        assert 0.005 < ink < 0.6, name
        # Below the heading too, not only on it.
        assert (grey[60:] < 200).mean() > 0.003, name


def test_a_sheet_keeps_nothing_of_the_model_before(painter):
    busy = replace(FIGURES, title="X" * 60, confusion=[[1, 2], [3, 4]], kept_step=1)
    busy = replace(busy, reliability=[(0.1, 0.9, 5)], importance=[("long_name", 0.9)] * 30)
    fresh = FigurePainter().paint(FIGURES)
    painter.paint(busy)
    again = painter.paint(FIGURES)
    for name, png in fresh.items():
        np.testing.assert_array_equal(pixels(png), pixels(again[name]), err_msg=name)


def test_figures_without_data_are_left_out(painter):
    forest = replace(FIGURES, curves={"oob_accuracy": [0.6]}, importance=[])
    assert set(painter.paint(forest)) == {"confusion_matrix.png", "reliability.png"}
    assert set(painter.paint(replace(forest, curves={}, reliability=[]))) == {
        "confusion_matrix.png"
    }


@pytest.mark.parametrize(
    "odd",
    [
        {"curves": {"train_loss": [float("nan")] * 3, "val_loss": [0.7, float("inf"), 0.6]}},
        {"curves": {"train_accuracy": [0.5, 0.5]}, "kept_step": None},
        {"reliability": [(0.5, 0.0, 1)], "confusion": [[1, 0], [0, 0]]},
        {"reliability": [(0.0, 0.0, 4), (1.0, 1.0, 4)], "confusion": [[0, 0], [0, 0]]},
        {"importance": [("a", 0.0), ("b", 0.0)]},
        {"importance": [("$x^{$ \\frac <b>", 0.5), ("価格" * 30, 0.4), ("c", -0.1)]},
        {"title": "$EURUSD 価格 " * 40, "subtitle": ""},
    ],
)
def test_odd_figures_are_drawn_all_the_same(painter, odd):
    for name, png in painter.paint(replace(FIGURES, **odd)).items():
        assert (pixels(png)[60:] < 200).mean() > 0.001, name


def test_drawing_leaves_matplotlibs_settings_alone(painter):
    import matplotlib

    before = dict(matplotlib.rcParams)
    painter.paint(FIGURES)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("n_rows", [10, 100])
def test_the_interval_covers_the_true_share_about_as_often_as_it_says(n_rows):
    rng = np.random.default_rng(5)
    for truth in (0.1, 0.5, 0.8):
        won_B = rng.binomial(n_rows, truth, 4000) / n_rows
        low_B, high_B = wilson_interval(won_B, np.full(4000, float(n_rows)))
        assert ((low_B <= truth) & (truth <= high_B)).mean() == pytest.approx(0.95, abs=0.035)
