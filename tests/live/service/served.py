"""The real server in a process of its own, and bars and rows to ask it about."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading

import httpx

from market.simulate import SimulatedMarket
from tests.servers import until

N_BARS, SEED, EDGE = 8_000, 7, 0.6
COLUMNS = ("open", "high", "low", "close", "volume")


class Served:
    """``python -m pipelines.serve`` on a free port."""

    def __init__(self, manifest, *arguments, key=None):
        environment = os.environ | {"PYTHONWARNINGS": "error"}
        environment.pop("ASSAY_API_KEY", None)
        if key is not None:
            environment["ASSAY_API_KEY"] = key
        given = [f"manifest={manifest}", "port=0", "poll_s=0.05", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.serve", *given],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        first = queue.Queue()
        self.reading = threading.Thread(target=self._read, args=(first,), daemon=True)
        self.reading.start()
        self.url = first.get(timeout=60)
        headers = {} if key is None else {"X-API-Key": key}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def _read(self, first):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if found := re.search(r"http://\S+?:\d+", line):
                first.put(found.group())
        first.put("http://ended")

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def ready(self):
        until(lambda: self.http.get("/ready").status_code == 200, "the service", self.process)
        return self

    def digest(self):
        return self.http.get("/v1/models").json()["manifest_sha256"]

    def ask(self, path, document, **more):
        answer = self.http.post(path, json=document, **more)
        return answer.status_code, answer.json()

    def end(self):
        """Ask it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def served(manifest, *arguments, key=None):
    server = Served(manifest, *arguments, key=key)
    try:
        yield server
    finally:
        server.http.close()
        server.process.kill()
        server.process.wait()
        server.reading.join()
        server.process.stdout.close()


def market(symbol="EURUSD"):
    """Return the bars that the councils of `conftest` were trained on."""
    return SimulatedMarket(n_bars=N_BARS, edge=EDGE).bars(symbol, SEED)


def frame(bars):
    """Return bars as a request holds them."""
    columns = {"time": bars.start_T.astype("datetime64[s]").astype(int).tolist()}
    return columns | {name: getattr(bars, f"{name}_T").tolist() for name in COLUMNS}
