"""The scanner finds what is planted, and nothing in what is none."""

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.pickle_scan import findings_in, pickles_in

PROTOCOLS = range(6)
PLAIN = {"weights": [1.0, 2.5, "x" * 40], "n": (1, None, True)}


class Runs:
    """What an attacker pickles."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def found(content: bytes, name: str = "model.bin") -> list[tuple[str, str]]:
    return list(findings_in(content, name))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("planted", [PLAIN, Runs(), OrderedDict(a=1), [*range(20_000)], "text", 7])
def test_a_pickle_of_any_protocol_is_found_whatever_its_name(
    protocol: int, planted: object
) -> None:
    content = pickle.dumps(planted, protocol)
    assert found(content)
    assert found(content + b"\n")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_runs_code_is_found_inside_of_other_bytes(protocol: int) -> None:
    planted = pickle.dumps(Runs(), protocol)
    noise = np.random.default_rng(protocol).bytes(3000)
    assert found(noise + planted + noise)
    assert found(b'{"format": "json", "state": "' + planted + b'"}')


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_is_found_in_archives_in_compression_and_in_text(protocol: int) -> None:
    planted = pickle.dumps(PLAIN, protocol)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner/data", gzip.compress(planted))
    for hidden in (
        *(pack(planted) for pack in (gzip.compress, bz2.compress, lzma.compress, zlib.compress)),
        archive.getvalue(),
        json.dumps({"state": base64.b64encode(planted).decode()}).encode(),
        base64.urlsafe_b64encode(planted),
    ):
        assert found(hidden), hidden[:20]


def test_what_libraries_save_by_pickling_is_found(tmp_path: Path) -> None:
    state = {"a": np.arange(500.0), "b": np.arange(3)}
    joblib.dump(state, tmp_path / "plain")
    joblib.dump(state, tmp_path / "packed", compress=3)
    torch.save({"a": torch.arange(5)}, tmp_path / "zipped")
    torch.save({"a": torch.arange(5)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "objects.npy", np.array([1, "a", None], dtype=object))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    named = {line.partition(":")[0].split()[0] for line in pickles_in(tmp_path)}
    assert named == {"plain", "packed", "zipped", "old", "objects.npy", "objects.npz"}


def test_a_pickle_in_a_database_is_found_with_its_table(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as base:
        base.execute("create table runs (id text, state blob)")
        base.execute("insert into runs values (?, ?)", ("r1", pickle.dumps(PLAIN)))
        text = base64.b64encode(pickle.dumps(Runs())).decode()
        base.execute("insert into runs values (?, ?)", (text, None))
    base.close()
    places = [line.partition(":")[0] for line in pickles_in(tmp_path)]
    assert {"store.db > runs[1]", "store.db > runs[0] > base64 at 0"} <= set(places)


@pytest.mark.parametrize("name", ["a.pkl", "a.joblib", "b/c.pt", "model.cloudpickle"])
def test_a_name_tells_enough(name: str) -> None:
    assert found(b"", name)


@pytest.mark.parametrize(
    ("flavours", "n_found"),
    [
        ({"python_function": {"loader_module": "models.store", "data": "data"}}, 0),
        ({"python_function": {"loader_module": "mlflow.sklearn"}}, 1),
        ({"python_function": {"loader_module": "models.store", "python_model": "x"}}, 1),
        ({"sklearn": {"serialization_format": "cloudpickle"}}, 1),
    ],
)
def test_a_flavour_that_is_not_loaded_by_us_is_found(flavours: object, n_found: int) -> None:
    assert len(found(json.dumps({"flavors": flavours}).encode(), "model/MLmodel")) == n_found


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(content: bytes) -> None:
    for head in (b"", b"\x80\x04", b"c"):
        list(findings_in(head + content))


def test_nothing_is_found_in_what_is_no_pickle() -> None:
    rng = np.random.default_rng(0)
    for content in (
        b"",
        b"{}",
        b"[1, 2]\n",
        rng.bytes(2**20),
        rng.normal(size=2**16).astype(np.float32).tobytes(),
        Path(__file__).read_bytes(),
        gzip.compress(b"text " * 100),
    ):
        assert not found(content), found(content)
