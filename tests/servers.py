"""Real servers for tests: PostgreSQL, Redis, MLflow, and a line that can be disturbed.

Where the programs are missing tests skip by name, or fail with ASSAY_SERVERS_REQUIRED=1.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

REQUIRED = "ASSAY_SERVERS_REQUIRED"
READY_S = 60
NEVER_ASKED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def skip_or_fail(reason):
    """Skip a test that lacks a program, or fail it where programs must be there."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1")
    pytest.skip(reason)


def program(name):
    """Return the path of a program of PostgreSQL; skip or fail without it."""
    debians = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, debians)))
    return found or skip_or_fail(f"{name} is not installed (Debian: postgresql)")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def until(ready, what, process=None):
    """Wait until something is so; fail where it never is, or its process ends before."""
    give_up = time.monotonic() + READY_S
    while not ready():
        assert process is None or process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < give_up, f"{what} was not ready in {READY_S} s"
        time.sleep(0.05)


class Postgres:
    """A database cluster of its own, on a port of this machine."""

    def __init__(self):
        if importlib.util.find_spec("psycopg") is None:
            skip_or_fail("psycopg is not installed")
        initdb = program("initdb")
        self._as = {}
        self.folder = Path(tempfile.mkdtemp(prefix="assay-postgres-"))
        if os.name == "posix" and os.getuid() == 0:
            # It refuses to run as root; and no other system has this module.
            import pwd

            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.port = free_port()
        self.uri = f"postgresql+psycopg://assay@127.0.0.1:{self.port}/postgres"
        self._process = None
        made = [initdb, "-D", self.folder / "data", "-U", "assay", "--auth=trust"]
        self._run([*made, "--no-sync", "--encoding=UTF8", "--locale=C"])

    def _run(self, command):
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **self._as)

    def start(self):
        options = {"fsync": "off", "listen_addresses": "127.0.0.1", "port": self.port}
        options |= {"unix_socket_directories": self.folder, "max_connections": 30}
        given = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        give_up = time.monotonic() + READY_S
        while True:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", self.folder / "data", *given],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **self._as,
            )
            # After a kill it does not start while a process of the one before is still ending.
            while self._process.poll() is None and not self._serves():
                time.sleep(0.05)
            if self._process.poll() is None:
                return
            assert time.monotonic() < give_up, f"postgres ended with {self._process.returncode}"

    def _serves(self):
        import psycopg

        with suppress(psycopg.OperationalError), self.connected():
            return True
        return False

    def connected(self):
        import psycopg

        return psycopg.connect(self.uri.replace("+psycopg", ""), connect_timeout=2)

    def rows(self, query):
        with self.connected() as connection:
            return connection.execute(query).fetchall()

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def remove(self):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis:
    """A redis-server whose every answer is on disk, in a folder and on a port of its own.

    Options are those of redis.conf; it keeps port and folder when it starts again.
    """

    def __init__(self, **options):
        self._program = shutil.which("redis-server") or skip_or_fail(
            "redis-server is not installed (Debian: redis-server)"
        )
        if importlib.util.find_spec("redis") is None:
            skip_or_fail("the package redis is not installed")
        self.folder = Path(tempfile.mkdtemp(prefix="assay-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        durable = {"appendonly": "yes", "appendfsync": "always", "save": ""}
        self.options = durable | {name.replace("_", "-"): value for name, value in options.items()}
        self._process = None

    def start(self):
        """Start it, and wait until it has read all that it kept."""
        self.begin()
        until(self._serves, "redis-server", self._process)

    def begin(self):
        """Start it, and wait for nothing."""
        options = {"bind": "127.0.0.1", "port": self.port, "dir": self.folder} | self.options
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *given], stdout=log, stderr=log)

    def _serves(self):
        """Tell whether it answers other than that it is loading; a refusal is an answer."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as line:
            line.sendall(b"PING\r\n")
            answer = line.recv(64)
            return bool(answer) and not answer.startswith(b"-LOADING")
        return False

    @property
    def pid(self):
        return self._process.pid

    def stop(self):
        """End it as a system that shuts down does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def kill(self):
        """End it at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self):
        self.stop()
        self.start()

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class MlflowServer:
    """`mlflow server` with one worker, on a port of this machine."""

    def __init__(self, folder, backend_uri):
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._backend_uri = backend_uri
        self._process = None

    def start(self):
        (self._folder / "served").mkdir(parents=True, exist_ok=True)
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--backend-store-uri", self._backend_uri),
                    *("--artifacts-destination", str(self._folder / "served")),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                ],
                cwd=self._folder,
                env=os.environ | NEVER_ASKED,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._serves, "mlflow server", self._process)

    def _serves(self):
        import requests

        with suppress(requests.RequestException):
            return requests.get(f"{self.uri}/health", timeout=2).ok
        return False

    def kill(self):
        """End it and all its processes at once, whatever they are doing."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Line:
    """A TCP line to a port, as good or bad as `state` says.

    Attributes
    ----------
    state
        `open`; `refused`: connections are dropped at once; `mute`: requests arrive, answers do
        not; `hung`: nothing passes; `cut`: the next request arrives, its answer is lost and
        the line is refused from then on.
    requests
        Number of pieces that were sent to the port.
    """

    def __init__(self, port):
        self.state = "open"
        self.requests = 0
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.state = "refused"
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.drop()

    def drop(self):
        """Cut every connection that is open."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                if self.state == "refused":
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with (
            client,
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            self._open |= {client, server}
            back = threading.Thread(target=self._pass, args=(server, client, False), daemon=True)
            back.start()
            self._pass(client, server, True)
            back.join()
        self._open -= {client, server}

    def _pass(self, source, sink, asks):
        with suppress(OSError):
            while data := source.recv(65536):
                while self.state == "hung":
                    time.sleep(0.02)
                if asks:
                    self.requests += 1
                elif self.state == "cut":
                    self.state = "refused"
                    self.drop()
                if self.state == "refused":
                    break
                if asks or self.state != "mute":
                    sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def line_to(port):
    line = Line(port)
    try:
        yield line
    finally:
        line.close()


@contextmanager
def postgres():
    cluster = Postgres()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@contextmanager
def redis_server(**options):
    server = Redis(**options)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@contextmanager
def mlflow_server(folder, backend_uri):
    server = MlflowServer(folder, backend_uri)
    try:
        server.start()
        yield server
    finally:
        server.kill()
