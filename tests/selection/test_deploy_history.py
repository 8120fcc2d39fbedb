import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from selection.deploy_history import history_path, live_sha256, read_history
from selection.json_lines import append_line
from selection.live_manifest import writing
from tests.selection.test_manifest import NONE_LEFT, NOON, save

ROOT = Path(__file__).parents[2]
# Ends itself, as a power cut would, before its nth call that changes a file or sees it to the disk.
KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from selection import ModelSelector
left = int(sys.argv[2])

def counted(name):
    really = getattr(os, name)
    def call(*given, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return really(*given, **more)
    setattr(os, name, call)

for name in ("fsync", "replace", "rename"):
    counted(name)
selections = {"GBPUSD": {"selected_model": None, "reason": sys.argv[2], "action": "REVIEW"}}
ModelSelector().save_deployment_manifest(selections, Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deploy" / "manifest.json"


def write(path: Path, hour: int = 0, **more: Any) -> str:
    """Write a manifest as training does; return its digest."""
    now = NOON + timedelta(hours=hour)
    save(path, {f"S{hour}": NONE_LEFT}, clock=lambda: now, **more)
    return str(live_sha256(path))


def took_place(path: Path) -> list[str]:
    return [one.manifest_sha256 for one in read_history(path).deployments if one.outcome == "live"]


def test_every_manifest_that_was_live_is_told_with_time_reason_and_run(path: Path) -> None:
    first = write(path)
    second = write(path, 1, provenance={"run_id": "r2"})
    one, two = read_history(path).deployments
    assert (one.action, one.manifest_sha256, one.replaced_sha256) == ("train", first, None)
    assert (two.manifest_sha256, two.replaced_sha256, two.run_id) == (second, first, "r2")
    assert (one.time_utc, two.time_utc) == (NOON, NOON + timedelta(hours=1))
    assert one.reason == "Trained: a model for 0 of 1 symbols"
    assert read_history(path).before(second) == first


def test_without_anything_there_is_no_history_and_none_is_made(path: Path) -> None:
    known = read_history(path)
    assert (known.deployments, known.live_sha256, known.n_unreadable) == ([], None, 0)
    assert not path.parent.exists()


def test_a_writer_killed_anywhere_never_makes_the_history_lie(path: Path) -> None:
    killed = 0
    for n in range(40):
        before = write(path, n)
        command = [sys.executable, "-c", KILLED, str(path), str(n)]
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode
        live, known = live_sha256(path), read_history(path)
        assert (code, json.loads(path.read_text())["summary"]["total_symbols"]) in (
            (0, 1),
            (-signal.SIGKILL, 1),
        )
        assert took_place(path)[-1] == live
        assert known.before(str(live)) == before or live == before
        if code == 0:
            break
        killed += 1
    after = write(path, 99)
    assert killed >= 8
    assert took_place(path)[-2:] == [live, after]
    assert {one.outcome for one in read_history(path).deployments} == {"live", "not live"}
    assert not [one for one in read_history(path).deployments if one.action == "found"]


def test_what_was_live_before_there_was_a_history_is_found(path: Path) -> None:
    old = write(path)
    history_path(path).unlink()
    (found,) = read_history(path).deployments
    assert (found.action, found.manifest_sha256, found.replaced_sha256) == ("found", old, None)
    new = write(path, 1)
    assert [one.action for one in read_history(path).deployments] == ["found", "train"]
    assert read_history(path).before(new) == old


def test_a_manifest_put_in_place_by_hand_is_told_as_found(path: Path) -> None:
    old = write(path)
    path.write_bytes(path.read_bytes() + b"\n")
    by_hand = str(live_sha256(path))
    for _ in range(2):
        assert took_place(path) == [old, by_hand]
    new = write(path, 1)
    assert took_place(path) == [old, by_hand, new]
    path.unlink()
    assert read_history(path).live_sha256 is None
    assert took_place(path) == [old, by_hand, new]


def test_what_a_dead_writer_announced_and_a_hand_replaced_is_not_known(path: Path) -> None:
    write(path)
    announced = {**json.loads(history_path(path).read_text().splitlines()[0]), "reason": "dead"}
    announced |= {"manifest_sha256": "a" * 64, "replaced_sha256": live_sha256(path)}
    with history_path(path).open("a") as file:
        file.write(json.dumps(announced) + "\n")
    assert read_history(path).deployments[-1].outcome == "not live"
    path.write_bytes(path.read_bytes() + b"\n")
    write(path, 1)
    outcomes = [(one.reason, one.outcome) for one in read_history(path).deployments]
    assert ("dead", "unknown") in outcomes
    assert [one.action for one in read_history(path).deployments][-2:] == ["found", "train"]


@pytest.mark.parametrize(
    "line", [b"{half", b"\xff\x00", b"[1]", b"7", b'{"outcome": "live"}', b"{}"]
)
def test_lines_that_tell_nothing_are_counted_and_stop_nobody(path: Path, line: bytes) -> None:
    write(path)
    history_path(path).write_bytes(line + b"\n" + history_path(path).read_bytes())
    assert read_history(path).n_unreadable == 1
    assert len(read_history(path).deployments) == 1
    write(path, 1)
    assert len(took_place(path)) == 2


def test_a_line_cut_short_anywhere_is_no_line(path: Path) -> None:
    first = write(path)
    whole = history_path(path).read_bytes()
    for n_lost in range(1, len(whole), 7):
        history_path(path).write_bytes(whole[:-n_lost])
        assert took_place(path) == [first]
    history_path(path).write_bytes(whole[:-9])
    second = write(path, 1)
    assert took_place(path) == [first, second]
    assert read_history(path).n_unreadable == 0


def test_nothing_is_swapped_that_cannot_be_written_down(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(path)

    def full(*_: object, **__: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr("selection.deploy_history.append_line", full)
    with pytest.raises(OSError, match="disk is full"):
        write(path, 1)
    assert live_sha256(path) == first


def test_what_is_live_is_not_called_refused_for_a_line_that_found_no_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path)

    def full(place: Path, document: Any, **more: Any) -> None:
        if "manifest_sha256" not in document:
            raise OSError(28, "No space left on device")
        append_line(place, document, **more)

    def no_sync(folder: Path) -> None:
        if folder == path.parent:
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr("selection.deploy_history.append_line", full)
        disk.setattr("selection.live_manifest.sync_folder", no_sync)
        second = write(path, 1)
    assert took_place(path)[-1] == second
    third = write(path, 2)
    assert took_place(path)[-2:] == [second, third]
    assert [one.action for one in read_history(path).deployments] == ["train"] * 3


def test_a_writer_waits_while_another_process_holds_the_manifest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = (
        "import sys; from pathlib import Path; from selection.live_manifest import writing\n"
        "with writing(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holds, str(path)]
    monkeypatch.setattr("selection.live_manifest._LOCK_TIMEOUT_S", 0.05)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError):
            write(path)
        other.kill()
    with writing(path):
        assert not path.exists()
