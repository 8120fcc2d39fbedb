"""What a command uses, its child processes included: processor seconds, wall time, memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.1
# To ask for the memory of a large process takes as long as 10 ms of a core.
MEMORY_EVERY_S = 2.0
KIB_PER_MIB = 1024
PROC = Path("/proc")
ADOPTING = Path(__file__).with_name("adopting.py")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one command used.

    Attributes
    ----------
    exit_code : int
    cpu_s : float
        Processor seconds of the command and of every descendant, left behind or not.
    wall_s : float
    peak_process_mib : float
        Largest resident memory of any one of its processes.
    peak_tree_mib : float or None
        Largest memory of all of them at one moment, looked at every two seconds, what several
        share counted once; None where /proc does not tell.
    cpu_by_process_s : list of float
        Of each process alone, as last seen; what waits for the command comes first, then the
        command itself.
    """

    exit_code: int
    cpu_s: float
    wall_s: float
    peak_process_mib: float
    peak_tree_mib: float | None
    cpu_by_process_s: list[float]


def used(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path) -> Usage:
    """Run a command to its end and measure it; what it prints goes to ``log``.

    The command is ended with the caller, should that be interrupted.
    """
    start_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a command of ours
            [sys.executable, str(ADOPTING), *command],
            cwd=cwd,
            env=dict(environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        peak_mib: float | None = None
        next_memory_s = start_s
        seen_s: dict[int, float] = {process.pid: 0.0}
        try:
            while True:
                pid, status, told = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                pids = _looked_at(process.pid, seen_s)
                if time.monotonic() >= next_memory_s:
                    peak_mib = _larger(peak_mib, _memory_mib(pids))
                    next_memory_s = time.monotonic() + MEMORY_EVERY_S
                time.sleep(EVERY_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    # Told to the object as well, which would wait in vain otherwise.
    process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(
        exit_code=process.returncode,
        cpu_s=told.ru_utime + told.ru_stime,
        wall_s=time.monotonic() - start_s,
        peak_process_mib=told.ru_maxrss / KIB_PER_MIB,
        peak_tree_mib=peak_mib,
        cpu_by_process_s=list(seen_s.values()),
    )


def _looked_at(root: int, seen_s: dict[int, float]) -> list[int]:
    """Note each process's processor seconds so far; return the processes."""
    if not PROC.is_dir():
        return []
    ticks = os.sysconf("SC_CLK_TCK")
    children: dict[int, list[int]] = {}
    cpu_s: dict[int, float] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(folder)):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
            cpu_s[int(folder.name)] = (int(fields[11]) + int(fields[12])) / ticks
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        seen_s[pid] = cpu_s.get(pid, seen_s.get(pid, 0.0))
        found.append(pid)
    return found


def _memory_mib(pids: Sequence[int]) -> float | None:
    """Return what processes hold together; None where /proc does not tell."""
    if not any((PROC / str(pid) / "smaps_rollup").exists() for pid in pids):
        return None
    return sum(map(_proportional_kib, pids)) / KIB_PER_MIB


def _stat(folder: Path) -> list[str]:
    """Return the fields after the name, from the state on; nothing where the process is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _proportional_kib(pid: int) -> int:
    """Return a process's memory with its share of what others have mapped too."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _larger(a: float | None, b: float | None) -> float | None:
    return max((one for one in (a, b) if one is not None), default=None)
