"""Whatever a manifest's file holds, the loader takes it or refuses it, a line for each finding."""

import copy
import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection import DeployedModels, DeploymentError
from tests.selection.conftest import edited

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["../x", "/etc/passwd", "artifacts", "model.json", "\x1b[2J", "0" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def ground(onnx_deployment, tmp_path_factory):
    """A copy whose manifest may be overwritten, and the manifest as it was."""
    folder = tmp_path_factory.mktemp("fuzzed") / "deploy"
    shutil.copytree(onnx_deployment.parent, folder)
    return folder / onnx_deployment.name, onnx_deployment.read_bytes()


def taken_or_refused(path, content):
    path.write_bytes(content)
    refused = None
    try:
        DeployedModels.from_manifest(path)
    except DeploymentError as error:
        refused = str(error)
    assert refused is None or all(line.isprintable() and line for line in refused.split("\n"))
    return refused is None


def places(document, above=()):
    yield above
    inner = document.items() if isinstance(document, dict) else ()
    inner = enumerate(document) if isinstance(document, list) else inner
    for key, value in inner:
        yield from places(value, (*above, key))


@settings(max_examples=250)
@given(data=st.data())
def test_changed_bytes(ground, data):
    path, content = ground
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        end = data.draw(st.integers(at, min(len(changed), at + 30)))
        changed[at:end] = data.draw(st.binary(max_size=8))
    taken_or_refused(path, bytes(changed))


@settings(max_examples=250)
@given(data=st.data())
def test_changed_trees(ground, data):
    path, content = ground
    manifest = json.loads(content)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([one for one in places(manifest) if one]))
        target = manifest
        for key in place[:-1]:
            target = target[key]
        kind = data.draw(st.sampled_from(["replace", "drop", "double"]))
        if kind == "replace":
            target[place[-1]] = data.draw(ANYTHING)
        elif kind == "drop":
            del target[place[-1]]
        elif isinstance(target, list):
            target.append(copy.deepcopy(target[place[-1]]))
        else:
            target[data.draw(st.text())] = copy.deepcopy(target[place[-1]])
    taken_or_refused(path, json.dumps(manifest).encode())


def test_what_was_not_changed_is_taken(ground):
    assert taken_or_refused(*ground)


def with_names(names):
    return lambda one: one["features"].update(names=names)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (with_names([0, "a"] * 100_000), "selections.EURUSD.features.names: expected texts"),
        (lambda one: one.update(artifacts=[0] * 500_000), "selections.EURUSD"),
        (lambda one: one["artifacts"][0].update(bytes=10**15), "the most that are loaded are"),
        (lambda one: one["artifacts"].append(one["artifacts"][0]), "the manifest names artifacts/"),
        (lambda one: one["artifacts"][0].update(path="x/" * 50_000 + "y"), "lies outside"),
    ],
)
def test_what_would_cost_much_is_refused_before_it_does(copied, change, finding):
    edited(copied, change)
    with pytest.raises(DeploymentError, match=finding) as refused:
        DeployedModels.from_manifest(copied)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 120_000


def test_a_manifest_that_is_too_large_is_not_read(copied, monkeypatch):
    with copied.open("r+b") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(DeploymentError, match=r"has 1099511627776 bytes, more than the 67108864 t"):
        DeployedModels.from_manifest(copied)
