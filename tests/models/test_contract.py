"""What every model of conf/ keeps, candidates and null models alike."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from market.samples import Samples
from models.base import Model, ModelError, NotFittedError
from models.calibration import Calibration
from models.monitor import TrainingMonitor
from models.store import load_model
from tests.models.planted import (
    CANDIDATES,
    NULLS,
    balancing,
    log_loss,
    make_model,
    noise,
    signal,
    ticking,
)

Fit = Callable[..., Model]
every_model = pytest.mark.parametrize("file", [*CANDIDATES, *NULLS])
every_candidate = pytest.mark.parametrize("file", CANDIDATES)
CALIBRATIONS = (
    Calibration.platt(0.6, -0.2),
    Calibration.isotonic([-3.0, 0.0, 3.0], [0.1, 0.4, 0.8]),
)
LEARNERS = (*CANDIDATES, "logistic")
every_learner = pytest.mark.parametrize("file", LEARNERS)
# The council is declared beforehand: it is never given synthetic rows.
every_augmented = pytest.mark.parametrize("file", [one for one in LEARNERS if one != "council"])


def test_the_suite_runs_over_every_model_that_can_be_configured() -> None:
    assert CANDIDATES == ("council", "lstm", "mlp", "random_forest", "xgboost")
    assert NULLS == ("logistic", "majority")


@every_model
def test_probabilities_of_losing_and_winning_sum_to_one(
    file: str, fitted: Fit, rows: Samples
) -> None:
    p_N2 = fitted(file).predict_proba(rows.x_NF)
    assert p_N2.shape == (260, 2)
    assert p_N2.dtype == np.float64
    assert ((p_N2 > 0) & (p_N2 < 1)).all()
    assert np.abs(p_N2.sum(axis=1) - 1).max() < 1e-12


@every_model
def test_no_rows_get_no_probabilities(file: str, fitted: Fit, rows: Samples) -> None:
    assert fitted(file).predict_proba(rows.x_NF[:0]).shape == (0, 2)
    assert fitted(file).predict_proba(rows.x_NF[:0], rows.x_NF).shape == (0, 2)
    assert fitted(file).raw_log_odds(rows.x_NF[:0]).shape == (0,)


@every_model
def test_answers_are_the_sigmoid_of_the_raw_log_odds_until_the_model_is_calibrated(
    file: str, fitted: Fit, rows: Samples, tmp_path: Path
) -> None:
    fitted(file).save(tmp_path)
    model = load_model(tmp_path)
    before_NF, x_NF = rows.x_NF[:30], rows.x_NF[30:]
    raw_N = model.raw_log_odds(x_NF, before_NF)
    sigmoid_N = 1.0 / (1.0 + np.exp(-raw_N))
    answers_N2 = np.column_stack([1.0 - sigmoid_N, sigmoid_N])
    assert np.array_equal(model.predict_proba(x_NF, before_NF), answers_N2)
    for calibration in CALIBRATIONS:
        model.calibration = calibration
        assert np.array_equal(model.raw_log_odds(x_NF, before_NF), raw_N)
        p_N2 = model.predict_proba(x_NF, before_NF)
        assert np.array_equal(p_N2[:, 1], calibration(raw_N))
        assert not np.array_equal(p_N2, answers_N2)


@every_model
def test_a_calibration_is_saved_with_the_model_and_ends_with_the_next_fit(
    file: str, fit: Fit, fitted: Fit, rows: Samples, tmp_path: Path
) -> None:
    fitted(file).save(tmp_path / "plain")
    model = load_model(tmp_path / "plain")
    for calibration in CALIBRATIONS:
        model.calibration = calibration
        model.save(tmp_path / "calibrated")
        loaded = load_model(tmp_path / "calibrated")
        assert loaded.calibration == calibration
        assert np.array_equal(loaded.predict_proba(rows.x_NF), model.predict_proba(rows.x_NF))
        assert loaded.fresh().calibration == Calibration.none()
    fit(file, model=model)
    assert np.array_equal(model.predict_proba(rows.x_NF), fitted(file).predict_proba(rows.x_NF))


@every_learner
def test_a_planted_signal_is_learnt_and_its_feature_is_found(
    file: str, fitted: Fit, rows: Samples
) -> None:
    later = signal(600, seed=99)
    p_N = fitted(file).predict_proba(later.x_NF)[:, 1]
    constant_N = np.full(600, rows.y_N[:200].mean())
    assert log_loss(later.y_N, p_N) < log_loss(later.y_N, constant_N) - 0.1
    shares = fitted(file).importance()
    assert shares is not None
    assert tuple(shares) == rows.names_F
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=lambda name: shares[name]) == "feature_2"
    assert shares["feature_2"] > 0.45


def test_the_majority_class_answers_the_weighted_base_rate_and_uses_no_feature(
    rows: Samples,
) -> None:
    weight_N = np.where(rows.y_N == 1, 3.0, 1.0)
    weighted = Samples(rows.x_NF, rows.y_N, weight_N, rows.t0_N, rows.t1_N, rows.names_F)
    model = make_model("majority")
    model.fit(weighted, None, rng=np.random.default_rng(0), monitor=TrainingMonitor())
    rate = 3 * rows.y_N.mean() / (3 * rows.y_N.mean() + 1 - rows.y_N.mean())
    assert model.predict_proba(rows.x_NF)[:, 1] == pytest.approx(np.full(260, rate))
    assert model.importance() is None


@every_model
def test_a_saved_model_answers_as_before(
    file: str, fitted: Fit, rows: Samples, tmp_path: Path
) -> None:
    model = fitted(file)
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert type(loaded) is type(model)
    assert loaded.hyperparameters == model.hyperparameters
    before_NF, x_NF = rows.x_NF[:30], rows.x_NF[30:]
    saved_N2 = model.predict_proba(x_NF, before_NF)
    assert np.array_equal(loaded.predict_proba(x_NF, before_NF), saved_N2)
    assert loaded.importance() == model.importance()
    assert loaded.context_rows == model.context_rows


@every_model
def test_saved_files_hold_no_code_and_the_same_fit_gives_the_same_bytes(
    file: str, fit: Fit, fitted: Fit, tmp_path: Path
) -> None:
    fitted(file).save(tmp_path / "one")
    fit(file, seed=1).save(tmp_path / "two")
    load_model(tmp_path / "one").save(tmp_path / "loaded")
    first, second, loaded = (files_in(tmp_path / folder) for folder in ("one", "two", "loaded"))
    assert first == second == loaded
    for name, content in first.items():
        assert_plain_data(name, content)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder by their place in it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def assert_plain_data(name: str, content: bytes) -> None:
    """Check that a file is JSON, safetensors or UBJSON through and through, so no pickle."""
    match Path(name).suffix:
        case ".json":
            json.loads(content)
        case ".safetensors":
            n_header = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + n_header])
            ends = [tensor["data_offsets"][1] for tensor in header.values()]
            assert len(content) == 8 + n_header + max(ends)
        case ".ubj":
            assert content.startswith(b"{L")
            assert content.endswith(b"}")
        case suffix:
            pytest.fail(f"{name}: a file of kind {suffix}")
    assert b"sklearn" not in content


@every_candidate
def test_the_seed_decides_the_fit(file: str, fit: Fit, fitted: Fit, rows: Samples) -> None:
    first_N2 = fitted(file).predict_proba(rows.x_NF)
    assert np.array_equal(fit(file, seed=1).predict_proba(rows.x_NF), first_N2)
    assert not np.array_equal(fit(file, seed=2).predict_proba(rows.x_NF), first_N2)


@every_model
def test_a_second_fit_forgets_the_first(file: str, fit: Fit, fitted: Fit, rows: Samples) -> None:
    model = make_model(file)
    other = noise(120, seed=8, rate=0.6)
    train, valid = other.take(slice(0, 80)), other.take(slice(80, 120))
    model.fit(train, valid, rng=np.random.default_rng(3), monitor=TrainingMonitor())
    model = fit(file, model=model)
    assert np.array_equal(model.predict_proba(rows.x_NF), fitted(file).predict_proba(rows.x_NF))
    assert model.importance() == fitted(file).importance()


@every_model
def test_a_fresh_model_has_the_hyperparameters_and_nothing_else(file: str, fitted: Fit) -> None:
    fresh = fitted(file).fresh()
    assert fresh.hyperparameters == fitted(file).hyperparameters
    with pytest.raises(NotFittedError):
        fresh.importance()


@every_model
def test_an_unfitted_model_says_so(file: str, tmp_path: Path) -> None:
    model = make_model(file)
    sentence = f"^{model.name} is not fitted yet: call fit first$"
    with pytest.raises(NotFittedError, match=sentence):
        model.predict_proba(np.zeros((3, 4)))
    with pytest.raises(NotFittedError, match=sentence):
        model.raw_log_odds(np.zeros((3, 4)))
    with pytest.raises(NotFittedError, match=sentence):
        model.importance()
    with pytest.raises(NotFittedError, match=sentence):
        model.save(tmp_path)


@every_model
def test_one_class_has_nothing_to_teach_and_a_failed_fit_leaves_no_model(
    file: str, fit: Fit, rows: Samples
) -> None:
    model = make_model(file)
    winners = rows.take(np.flatnonzero(rows.y_N == 1))
    for train in (winners, rows.take(slice(0, 0))):
        with pytest.raises(ModelError, match=r"^\d+ training rows without both classes"):
            model.fit(train, rows, rng=np.random.default_rng(0), monitor=TrainingMonitor())
    with pytest.raises(NotFittedError):
        model.predict_proba(rows.x_NF)


@every_learner
def test_a_fit_that_the_monitor_ends_leaves_no_model(file: str, fit: Fit, rows: Samples) -> None:
    model, rng = fit(file), np.random.default_rng(0)
    with pytest.raises(ModelError, match=r"^timeout"):
        model.fit(rows, rows, rng=rng, monitor=TrainingMonitor(clock=ticking(700.0)))
    with pytest.raises(NotFittedError):
        model.predict_proba(rows.x_NF)


@every_model
def test_another_number_of_features_is_refused(file: str, fitted: Fit) -> None:
    with pytest.raises(ValueError, match=r"fitted on 4 features, was given .* \(5, 3\)$"):
        fitted(file).predict_proba(np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"\(4,\)$"):
        fitted(file).predict_proba(np.zeros(4))


@every_model
def test_a_prediction_never_depends_on_rows_after_it(file: str, fitted: Fit, rows: Samples) -> None:
    changed_NF = rows.x_NF.copy()
    changed_NF[100:] = changed_NF[100:][::-1] + 1.0
    model = fitted(file)
    first_N2, second_N2 = model.predict_proba(rows.x_NF), model.predict_proba(changed_NF)
    assert np.array_equal(first_N2[:100], second_N2[:100])
    assert file == "majority" or not np.array_equal(first_N2[100:], second_N2[100:])


@every_model
def test_context_matters_to_the_first_rows_of_a_model_that_looks_back_only(
    file: str, fitted: Fit, rows: Samples
) -> None:
    model = fitted(file)
    assert model.context_rows == (3 if file == "lstm" else 0)
    whole_N = model.predict_proba(rows.x_NF)[100:, 1]
    warm_N = model.predict_proba(rows.x_NF[100:], rows.x_NF[:100])[:, 1]
    cold_N = model.predict_proba(rows.x_NF[100:])[:, 1]
    assert warm_N == pytest.approx(whole_N, abs=1e-6)
    differs_N = np.abs(cold_N - whole_N) > 1e-6
    assert differs_N[: model.context_rows].all()
    assert not differs_N[model.context_rows :].any()


@every_model
def test_a_fit_leaves_the_global_random_state_alone(file: str, fit: Fit) -> None:
    import torch

    state = np.random.get_state(legacy=False), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    fit(file)
    after = np.random.get_state(legacy=False), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    assert json.dumps(state[0], default=np.ndarray.tolist) == json.dumps(
        after[0], default=np.ndarray.tolist
    )
    assert state[1] == after[1]
    assert torch.equal(state[2], after[2])


@every_augmented
def test_the_report_counts_rows_before_and_after_augmentation(file: str) -> None:
    rows = noise(160, seed=4, rate=0.7)
    train, valid = rows.take(slice(0, 120)), rows.take(slice(120, 160))
    model, rng = make_model(file), np.random.default_rng(0)
    report = model.fit(train, valid, rng=rng, monitor=TrainingMonitor(), augment=balancing)
    assert report.n_rows == 120
    assert report.n_rows_augmented == 2 * max(train.y_N.sum(), 120 - train.y_N.sum())
    assert report.n_rounds >= 1


def test_a_folder_of_an_unknown_kind_is_refused(fitted: Fit, tmp_path: Path) -> None:
    fitted("majority").save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace("MajorityClass", "Oracle"))
    with pytest.raises(ModelError, match="unknown kind of model Oracle, known: RandomForest, "):
        load_model(tmp_path)


@every_model
def test_a_folder_of_another_kind_is_refused(file: str, fitted: Fit, tmp_path: Path) -> None:
    fitted(file).save(tmp_path)
    other = make_model("majority" if file != "majority" else "mlp")
    with pytest.raises(ModelError, match=f"holds a {fitted(file).name}, expected a {other.name}"):
        type(other).load(tmp_path)
