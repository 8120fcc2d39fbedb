"""As many workers as memory has room for."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from training import memory
from training.memory import COPIES, WORKER_BYTES, affordable_workers, free_bytes


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that stands for what a container says of itself."""
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    return tmp_path


@pytest.fixture
def free(group: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return what stands for the machine's memory."""
    told = SimpleNamespace(available=64 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: told)
    return told


def test_fewer_work_where_memory_would_not_do(free: SimpleNamespace) -> None:
    largest = 100 << 20
    free.available = 3 * (WORKER_BYTES + COPIES * largest) + 1
    assert affordable_workers(8, largest) == 3
    assert affordable_workers(2, largest) == 2


def test_one_works_however_little_is_free(free: SimpleNamespace) -> None:
    free.available = 1 << 20
    assert affordable_workers(8, 0) == 1


def test_a_containers_limit_counts_where_it_leaves_less(free: SimpleNamespace, group: Path) -> None:
    assert free_bytes() == 64 << 30
    (group / "memory.current").write_text("3000\n")
    (group / "memory.stat").write_text("anon 2000\ninactive_file 0\n")
    (group / "memory.max").write_text("max\n")
    assert free_bytes() == 64 << 30
    (group / "memory.max").write_text("5000\n")
    assert free_bytes() == 2000
    (group / "memory.max").write_text("1000\n")
    assert free_bytes() == 0
    (group / "memory.stat").write_text("anon 2000\ninactive_file 2500\n")
    assert free_bytes() == 500
    (group / "memory.stat").write_text("told otherwise\n")
    assert free_bytes() == 64 << 30
