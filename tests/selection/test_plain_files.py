import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from selection import plain_files
from selection.plain_files import NotPlainError, NotThereError, open_plain, read_all, read_plain

HERE = plain_files.STEP_BY_STEP


@pytest.fixture(params=["step by step", "by name"], autouse=True)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try the ways of both kinds of systems, where this one has both."""
    if request.param == "step by step" and not HERE:
        pytest.skip("folders cannot be opened here")
    monkeypatch.setattr(plain_files, "STEP_BY_STEP", request.param == "step by step")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home" / "a" / "b").mkdir(parents=True)
    (tmp_path / "home" / "a" / "b" / "file").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "home"


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / "a" / "b" / "file").unlink()
        make(folder / "a" / "b" / "file")

    return put


def linked_folder(folder: Path) -> None:
    (folder / "a").rename(folder / "real")
    (folder / "a").symlink_to(folder / "real")


def socket_at(path: Path) -> None:
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


def test_a_plain_file_is_read_even_if_its_folder_is_reached_by_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    for home in (folder, folder.parent / "link"):
        assert read_plain(home, "a/b/file", most_bytes=7) == b"content"
    with pytest.raises(NotPlainError, match="has 7 bytes, more than the 6 that are read"):
        read_plain(folder, "a/b/file", most_bytes=6)


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (instead(lambda path: path.symlink_to(path.parents[3] / "secret")), "is a link, expected"),
        (instead(lambda path: path.symlink_to(path)), "is a link, expected the file itself"),
        (instead(lambda path: path.symlink_to("nowhere")), "is a link, expected the file itself"),
        (instead(Path.mkdir), "is not a plain file"),
        (instead(os.mkfifo), "is not a plain file"),
        (instead(socket_at), "is not a plain file"),
        (instead(lambda path: path), "is missing"),
        (linked_folder, "lies behind a link, expected a folder itself"),
    ],
)
def test_what_is_no_plain_file_is_refused_at_once(
    folder: Path, spoil: Callable[[Path], None], finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    spoil(folder)
    with pytest.raises(NotPlainError, match=finding):
        open_plain(folder, "a/b/file")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("../secret", "leads out of its folder"),
        ("a/../../secret", "leads out of its folder"),
        ("/etc/passwd", "leads out of its folder"),
        ("a\0b", "leads out of its folder"),
        ("a/b/file/c", "lies in what is no folder"),
        ("\ud800", "cannot be the name of a file"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("", "is missing|is not a plain file"),
        ("a/b", "is not a plain file"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(folder: Path, name: str, finding: str) -> None:
    with pytest.raises(NotPlainError, match=finding):
        open_plain(folder, name)


def test_a_missing_file_is_told_from_one_that_cannot_be_used(folder: Path) -> None:
    for name in ("b", "b/c", "a/c"):
        with pytest.raises(NotThereError):
            open_plain(folder, name)
    with pytest.raises(NotThereError):
        open_plain(folder / "nowhere", "b")


def test_a_device_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    really = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: opened.append(path) or really(path, *rest, **more)
    )
    with pytest.raises(NotPlainError, match="is not a plain file"):
        open_plain(Path("/dev"), "zero")
    assert "zero" not in map(str, opened)
    assert Path("/dev/zero") not in opened


def test_what_is_replaced_between_the_look_and_the_opening_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def swapped(path: str | Path, *rest: int, **more: int) -> int:
        if str(path).endswith("file"):
            (folder / "a" / "b" / "file").unlink()
            (folder / "a" / "b" / "file").symlink_to(folder.parent / "secret")
        return really(path, *rest, **more)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(NotPlainError, match=r"is a link|was replaced while"):
        open_plain(folder, "a/b/file")


def test_a_disk_that_gives_less_than_it_is_asked_for_is_asked_again(folder: Path) -> None:
    class Slow(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 2))

    with Slow(folder / "a" / "b" / "file") as file:
        assert read_all(cast("BinaryIO", file), 7) == b"content"
    with Slow(folder / "a" / "b" / "file") as file:
        assert read_all(cast("BinaryIO", file), 3) == b"con"
