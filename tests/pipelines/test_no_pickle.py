"""What a run leaves behind holds no pickle: artifacts, manifest, results and tracking store."""

import pickle
import shutil

from tests.pickle_scan import pickles_in


def test_a_finished_run_leaves_no_pickle_behind(finished):
    kinds = {path.suffix for path in finished.folder.rglob("*") if path.is_file()}
    assert kinds >= {".json", ".safetensors", ".ubj", ".onnx", ".db", ".parquet", ".yaml"}
    assert (finished.folder / "deploy" / "manifest.json").is_file()
    assert list(finished.folder.rglob("MLmodel"))
    assert pickles_in(finished.folder) == []


def test_a_pickle_in_the_store_would_have_been_found(finished, tmp_path):
    model = next(finished.folder.rglob("MLmodel")).parent
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "data" / "model.json").write_bytes(pickle.dumps({"kind": "MLP"}))
    assert len(pickles_in(tmp_path)) == 1
