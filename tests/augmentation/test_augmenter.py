"""What an enlarged set keeps of the original, whatever the rows are."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from augmentation import AugmentationWarning, DataAugmenter
from augmentation.gaussian_noise import GaussianNoise
from augmentation.rows import cast_rows

Array = npt.NDArray[Any]
CONF = Path(__file__).parents[2] / "conf" / "augmentation"


def rows(n_rows: int = 60, seed: int = 0, minority: float = 0.4) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    y = np.zeros(n_rows, dtype=np.int64)
    y[rng.permutation(n_rows)[: round(minority * n_rows)]] = 1
    return rng.normal(size=(n_rows, 4)), y


@st.composite
def any_rows(draw: st.DrawFn) -> tuple[Array, Array]:
    """Rows or windows of any handled type, each class with enough rows for SMOTE."""
    counts = draw(st.lists(st.integers(6, 20), min_size=2, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    steps = draw(st.sampled_from([(), (1,), (5,)]))
    x = 50 * rng.normal(size=(len(y), *steps, draw(st.integers(1, 4))))
    if draw(st.booleans()):
        x[..., 0] = 0.1
    kinds = ["f2", "f4", "f8", ">f8", "i1", "u1", "i8"]
    x_dtype = draw(st.sampled_from(kinds))
    x = np.clip(x, 0 if x_dtype == "u1" else -128, 127).astype(x_dtype)
    y_dtype = draw(st.sampled_from(["i8", "i4", "u1", "f8", "U2"]))
    return x, y.astype(y_dtype)


@settings(max_examples=60, deadline=None)
@given(any_rows(), st.booleans())
def test_originals_lead_and_the_size_types_and_proportions_are_kept(
    data: tuple[Array, Array], tripled: bool
) -> None:
    x, y = data
    before = x.tobytes(), y.tobytes()
    copies = 3 if tripled else 2
    x_aug, y_aug = DataAugmenter(strong_below=200 if tripled else 0).augment(x, y)
    assert (x_aug.shape, y_aug.shape) == ((copies * len(x), *x.shape[1:]), (copies * len(y),))
    assert (x_aug.dtype, y_aug.dtype) == (x.dtype, y.dtype)
    assert (x_aug[: len(x)].tobytes(), y_aug[: len(y)].tobytes()) == before
    assert (x.tobytes(), y.tobytes()) == before
    assert np.isfinite(x_aug).all()
    labels, counts = np.unique(y, return_counts=True)
    for label, count in zip(labels, counts, strict=True):
        assert abs(np.mean(y_aug == label) - count / len(y)) <= 0.05


@pytest.mark.parametrize(
    ("n_rows", "factor"), [(150, 3), (199, 3), (200, 2), (299, 2), (300, 1), (301, 1)]
)
def test_fewer_rows_get_more_company(n_rows: int, factor: int) -> None:
    x, y = rows(n_rows)
    x_aug, y_aug = DataAugmenter().augment(x, y, threshold=300)
    assert (len(x_aug), len(y_aug)) == (factor * n_rows, factor * n_rows)
    assert (x_aug is x, y_aug is y) == (factor == 1, factor == 1)


def test_a_threshold_given_to_the_call_replaces_the_constructors() -> None:
    x, y = rows(60)
    assert DataAugmenter().augment(x, y, 60)[0] is x
    assert len(DataAugmenter(threshold=60).augment(x, y, 61)[0]) == 180
    assert DataAugmenter(threshold=60).augment(x, y)[0] is x


def test_the_output_depends_on_input_and_seed_alone() -> None:
    x, y = rows()
    augmenter = DataAugmenter(seed=7)
    first = augmenter.augment(x, y)
    augmenter.augment(*rows(seed=9))
    for again in (augmenter.augment(x, y), DataAugmenter(seed=7).augment(x, y)):
        assert first[0].tobytes() == again[0].tobytes()
        assert first[1].tobytes() == again[1].tobytes()
    assert first[0].tobytes() != DataAugmenter(seed=8).augment(x, y)[0].tobytes()


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    x, y = rows()
    outputs = []
    saved = np.random.get_state()  # noqa: NPY002
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        before = str(np.random.get_state())  # noqa: NPY002
        outputs.append(DataAugmenter().augment(x, y)[0].tobytes())
        assert str(np.random.get_state()) == before  # noqa: NPY002
    np.random.set_state(saved)  # noqa: NPY002
    assert outputs[0] == outputs[1]


def test_arrays_that_may_not_be_written_to_are_augmented() -> None:
    x, y = rows()
    x.flags.writeable = y.flags.writeable = False
    x_aug, y_aug = DataAugmenter().augment(x, y)
    assert len(x_aug) == 180
    x_aug[:], y_aug[:] = 0, 0
    assert np.abs(x).sum() > 0


def test_column_order_and_strides_do_not_change_the_output() -> None:
    x, y = rows(80)
    expected = DataAugmenter().augment(np.ascontiguousarray(x[::2]), y[::2].copy())[0]
    strided = DataAugmenter().augment(x[::2], y[::2])[0]
    fortran = DataAugmenter().augment(np.asfortranarray(x[::2]), y[::2])[0]
    assert strided.tobytes() == fortran.tobytes() == expected.tobytes()


def test_synthetic_integers_are_rounded_and_stay_inside_their_type() -> None:
    made = np.array([[-3.0, 300.0], [2.6, 2.4]])
    assert cast_rows(made, np.dtype(np.uint8)).tolist() == [[0, 255], [3, 2]]
    assert cast_rows(1e300 * made, np.dtype(np.int64)).tolist() == [[-(2**53), 2**53], [2**53] * 2]


def test_a_constant_feature_stays_constant() -> None:
    x, y = rows(150)
    x[:, 2] = 0.1
    x_aug, _ = DataAugmenter().augment(x, y)
    assert (x_aug[:, 2] == 0.1).all()
    assert len(np.unique(x_aug[:, 1])) > 150


def test_every_row_is_the_source_of_equally_many_synthetic_rows() -> None:
    x, y = rows(90)
    x_aug, _ = DataAugmenter(techniques=["noise"], noise_fraction=1e-9).augment(x, y)
    nearest = np.abs(x_aug[90:, np.newaxis] - x).sum(axis=2).argmin(axis=1)
    assert (np.bincount(nearest, minlength=90) == 2).all()


def test_a_technique_that_moves_the_proportions_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_sided(_: GaussianNoise, x: Array, y: Array, source: Array, rng: object) -> Any:
        return x[source], np.zeros(len(source), dtype=y.dtype)

    monkeypatch.setattr(GaussianNoise, "apply", one_sided)
    with pytest.warns(AugmentationWarning, match=r"share of a class by 26\.7 points"):
        DataAugmenter(techniques=["noise"]).augment(*rows(60, minority=0.4))
    DataAugmenter(techniques=["noise"]).augment(*rows(100, minority=0.07))


def test_always_yaml_holds_the_constructors_arguments_and_defaults() -> None:
    conf = OmegaConf.to_container(OmegaConf.load(CONF / "always.yaml"))
    assert isinstance(conf, dict)
    assert next(iter(conf)) == "kind"
    assert conf.pop("kind") == "always"
    parameters = inspect.signature(DataAugmenter).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults.pop("seed") == 42
    assert conf == {**defaults, "techniques": list(defaults["techniques"])}
    x, y = rows()
    from_conf = DataAugmenter(seed=42, **{str(key): value for key, value in conf.items()})
    assert from_conf.augment(x, y)[0].tobytes() == DataAugmenter().augment(x, y)[0].tobytes()


def test_none_yaml_holds_its_kind_alone() -> None:
    assert OmegaConf.load(CONF / "none.yaml") == {"kind": "none"}
