"""Runs a command and waits for every process that it leaves behind, too.

``python adopting.py COMMAND...`` ends as the command does. What a server of
worker processes used counts for its parent only once that has waited for it, and a command need
not wait for a server that ends by itself.
"""

import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main(*command: str) -> int:
    """Return the command's exit code once all processes below have ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    exit_code = subprocess.run(command, check=False).returncode  # noqa: S603 - a command of ours
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
