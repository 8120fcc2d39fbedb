"""Pictures of a study, whatever its trials came to."""

import json
import math

import matplotlib as mpl
import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial
from PIL import Image

from training.tuning.plots import FEWEST_FOR_IMPORTANCES, write_plots

LISTS = [json.dumps(one) for one in ([512, 256, 128], [64, 32], [8])]
SPACE = {
    "hidden": CategoricalDistribution(LISTS),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "max_depth": IntDistribution(1, 8),
    "fixed": IntDistribution(3, 3),
}
ALL = ["history.png", "importances.png", "parallel_coordinates.png", "slices.png"]


def trial(number, value=None, state=TrialState.COMPLETE):
    params = {
        "hidden": LISTS[number % 3],
        "learning_rate": 1e-4 * 1.1 ** (number % 50),
        "max_depth": 1 + number % 8,
        "fixed": 3,
    }
    value = 0.69 + 0.001 * (number % 7) if value is None else value
    return create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params=params,
        distributions=SPACE,
    )


def study_of(*trials):
    study = optuna.create_study(study_name="EURUSD MLP")
    study.add_trials(trials)
    return study


def plotted(folder, *trials):
    return [
        path.name
        for path in write_plots(
            study_of(*trials), folder, symbol="EURUSD", model="MLP", blocks="blocks 1 to 4"
        )
    ]


def width_of(picture):
    with Image.open(picture) as image:
        return image.width


@pytest.fixture
def enough():
    return [trial(number) for number in range(FEWEST_FOR_IMPORTANCES)]


def test_a_study_has_four_pictures_of_the_same_width_and_the_same_bytes_again(enough, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert plotted(first, *enough) == plotted(second, *enough) == ALL
    assert {width_of(first / name) for name in ALL} == {1200}
    assert [(first / name).read_bytes() for name in ALL] == [
        (second / name).read_bytes() for name in ALL
    ]


def test_no_figure_and_no_setting_is_left_behind(enough, tmp_path):
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    plotted(tmp_path, *enough)
    after = dict(mpl.rcParams)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"backend", "backend_fallback"}
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL])
def test_without_a_completed_trial_there_is_no_picture(state, tmp_path):
    assert plotted(tmp_path, trial(0, state=state)) == []
    assert list(tmp_path.iterdir()) == []


def test_one_completed_trial_among_others_has_a_history_only(tmp_path):
    others = [trial(number, state=TrialState.PRUNED) for number in (1, 2)]
    assert plotted(tmp_path, trial(0), *others, trial(3, state=TrialState.FAIL)) == [ALL[0]]


def test_too_few_trials_have_no_importances(enough, tmp_path):
    assert plotted(tmp_path, *enough[1:]) == [ALL[0], *ALL[2:]]


def test_equal_objectives_have_no_importances(enough, tmp_path):
    equal = [trial(number, 0.69) for number in range(len(enough))]
    assert plotted(tmp_path, *equal) == [ALL[0], *ALL[2:]]


@pytest.mark.parametrize("value", [1e9, math.inf])
def test_a_trial_that_went_out_of_hand_breaks_no_picture(value, enough, tmp_path):
    assert plotted(tmp_path, *enough, trial(1, value)) == ALL
