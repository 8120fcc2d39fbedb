"""A redis-server of a benchmark's own: each answer on disk first, to be killed at will."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

READY_S = 60.0


class RedisAlone:
    """A redis-server in a folder and on a port of its own; nothing runs before `start`.

    Raises
    ------
    RuntimeError
        If redis-server is not installed.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is not installed (Debian: redis-server)")
        self._program = program
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port: int = listening.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Its file is written anew often, so that kills fall into that as well.
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "auto-aof-rewrite-min-size": "256kb",
        }
        given = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a server of this machine's own
                [self._program, *given], stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start it, and wait until it answers; raises RuntimeError if it never does."""
        self.begin()
        give_up = time.monotonic() + READY_S
        while not self._answers():
            if time.monotonic() > give_up:
                raise RuntimeError(f"redis-server does not answer: {self._folder}/server.log")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2.0) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
