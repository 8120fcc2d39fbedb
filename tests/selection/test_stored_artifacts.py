import hashlib
import os
import shutil
from pathlib import Path

import pytest

from selection.atomic import write_bytes_atomically
from selection.manifest import store_artifacts
from tests.selection.test_manifest import RICH, save


def saved_model(folder: Path, weights: bytes = b"weights") -> Path:
    (folder / "nets").mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    (folder / "nets" / "weights.safetensors").write_bytes(weights)
    return folder


def test_stored_artifacts_are_where_their_entries_say_and_what_they_say(tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    entries = store_artifacts(saved_model(tmp_path / "run"), deploy, "EURUSD", "MLP")
    assert [Path(entry["path"]).name for entry in entries] == ["meta.json", "weights.safetensors"]
    for entry in entries:
        content = (deploy / entry["path"]).read_bytes()
        assert entry["path"].startswith("artifacts/EURUSD/MLP-")
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
    written = save(deploy / "m.json", {"EURUSD": {**RICH, "artifacts": entries}})
    assert written["selections"]["EURUSD"]["artifacts"] == entries


def test_the_same_content_is_stored_once_and_other_content_elsewhere(tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    one = store_artifacts(saved_model(tmp_path / "one"), deploy, "EURUSD", "MLP")
    stored = deploy / one[0]["path"]
    inode = stored.stat().st_ino
    assert store_artifacts(saved_model(tmp_path / "same"), deploy, "EURUSD", "MLP") == one
    assert stored.stat().st_ino == inode
    other = store_artifacts(saved_model(tmp_path / "other", b"x"), deploy, "EURUSD", "MLP")
    assert {Path(entry["path"]).parts[2] for entry in one + other} == {
        path.name for path in (deploy / "artifacts" / "EURUSD").iterdir()
    }
    assert len(list((deploy / "artifacts" / "EURUSD").iterdir())) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "../EURUSD", "EUR/USD", ".tmp", "A" * 65, "E\n"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    source = saved_model(tmp_path / "run")
    with pytest.raises(ValueError, match=r"symbol .* cannot name a folder"):
        store_artifacts(source, tmp_path / "deploy", name, "MLP")
    with pytest.raises(ValueError, match=r"model .* cannot name a folder"):
        store_artifacts(source, tmp_path / "deploy", "EURUSD", name)
    assert not (tmp_path / "deploy").exists()


def test_nothing_is_stored_from_an_empty_folder_or_through_a_link(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no files"):
        store_artifacts(tmp_path / "missing", tmp_path / "deploy", "EURUSD", "MLP")
    source = saved_model(tmp_path / "run")
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="is a link"):
        store_artifacts(source, tmp_path / "deploy", "EURUSD", "MLP")


def test_a_stored_model_that_was_changed_is_noticed(tmp_path: Path) -> None:
    source, deploy = saved_model(tmp_path / "run"), tmp_path / "deploy"
    entries = store_artifacts(source, deploy, "EURUSD", "MLP")
    (deploy / entries[0]["path"]).write_text("changed")
    with pytest.raises(ValueError, match="remove it and store the model again"):
        store_artifacts(source, deploy, "EURUSD", "MLP")


def test_a_model_that_changes_while_it_is_copied_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, deploy = saved_model(tmp_path / "run"), tmp_path / "deploy"

    def torn(path: Path, content: bytes) -> None:
        write_bytes_atomically(path, content[:-1])

    monkeypatch.setattr("selection.manifest.write_bytes_atomically", torn)
    with pytest.raises(ValueError, match="changed while it was copied"):
        store_artifacts(source, deploy, "EURUSD", "MLP")
    assert not list((deploy / "artifacts" / "EURUSD").iterdir())


def test_a_writer_that_comes_second_uses_what_the_first_has_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, deploy = saved_model(tmp_path / "run"), tmp_path / "deploy"

    def overtaken(temporary: Path, target: Path) -> None:
        shutil.copytree(temporary, target)
        raise OSError("directory not empty")

    monkeypatch.setattr("os.rename", overtaken)
    entries = store_artifacts(source, deploy, "EURUSD", "MLP")
    assert all((deploy / entry["path"]).is_file() for entry in entries)
    assert len(list((deploy / "artifacts" / "EURUSD").iterdir())) == 1


def test_a_broken_copy_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, deploy = saved_model(tmp_path / "run"), tmp_path / "deploy"

    def fail(*_: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(OSError, match="disk is full"):
        store_artifacts(source, deploy, "EURUSD", "MLP")
    assert not [path for path in deploy.rglob("*") if path.is_file() or "MLP" in path.name]


def test_all_names_reach_the_disk_before_the_folder_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy, seen = tmp_path / "deploy", []
    renamed = Path.rename

    def rename(path: Path, target: Path) -> Path:
        seen.append("renamed")
        return renamed(path, target)

    monkeypatch.setattr("selection.manifest.sync_folder", lambda one: seen.append(one.name))
    monkeypatch.setattr(Path, "rename", rename)
    store_artifacts(saved_model(tmp_path / "run"), deploy, "EURUSD", "MLP")
    at = seen.index("renamed")
    assert [one.endswith(".tmp") or one == "nets" for one in seen[:at]] == [True, True]
    assert set(seen[at + 1 :]) == {"EURUSD", "artifacts", "deploy", tmp_path.name}


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    place = tmp_path / "deploy" / "artifacts" / "EURUSD"
    old, recent, other = (
        place / name for name in (".MLP-0123456789ab.01234567.tmp", ".MLP-0.abcdef01.tmp", ".x.tmp")
    )
    for folder in (old, recent, other):
        saved_model(folder)
    for folder in (old, other):
        os.utime(folder, (0, 0))
    store_artifacts(saved_model(tmp_path / "run"), tmp_path / "deploy", "EURUSD", "MLP")
    assert (old.exists(), recent.exists(), other.exists()) == (False, True, True)
