"""The prediction service beside MLflow's own scoring server, for the same model and rows.

``python -m benchmarks.serving`` trains councils on a simulated market, or takes the manifest that
is named, and starts two servers in turn: `pipelines.serve`, and ``mlflow models serve`` on the
pyfunc folder of the same model as training logs it. The same client asks both for the same rows,
on the same two cores. Then the manifest is replaced under load, and every answer is held against
the manifest that it names.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.exit_contenders import drawn_model, drawn_rows
from benchmarks.serving_client import Load, Question, load
from exits.exit_model import save_exit_model
from exits.feature_table import SCHEMA_DIGEST
from market.bars import Bars, FloatArray
from market.simulate import SimulatedMarket
from selection import DeployedModels
from selection.atomic import write_bytes_atomically, write_json_atomically

OUT = Path("runs/bench/serving.json")
SYMBOL, OTHER = "EURUSD", "USDJPY"
N_BARS, SEED, EDGE = 8_000, 7, 0.6
BARS_SENT = 1_500
CLIENTS = (1, 8)
NO_CALLS_HOME = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
TRAINED = (
    *("data=demo", f"data.n_bars={N_BARS}", f"data.edge={EDGE}", f"symbols=[{SYMBOL},{OTHER}]"),
    *(f"~models.{name}" for name in ("random_forest", "xgboost", "mlp", "lstm")),
    *("split.min_development_rows=50", "tracking=none", "data.cache=null"),
)

Record = dict[str, Any]


def measured(folder: Path, *, seconds: float, swaps: int) -> Record:
    """Measure both servers on a deploy folder; it is written to."""
    manifest = folder / "deployment_manifest.json"
    deployed = DeployedModels.from_manifest(manifest)
    symbols = [one for one in (SYMBOL, OTHER) if one in deployed.symbols]
    if len(symbols) < 2:
        raise SystemExit(f"{manifest}: needs a model of {SYMBOL} and one of {OTHER}")
    bars = SimulatedMarket(n_bars=N_BARS, edge=EDGE).bars(SYMBOL, SEED)
    found = deployed.predict_bars(SYMBOL, bars)
    assert found.x_NF is not None  # noqa: S101 - of bars it is kept
    rows_NF = found.x_NF[-100:]
    # The last bar sent is an event: there is something to judge.
    bars = bars.until(int(np.searchsorted(bars.close_time_T, found.t0_N[-1])) + 1)
    exits = folder / "exits"
    save_exit_model(exits, drawn_model())
    record: Record = {"cores": sorted(os.sched_getaffinity(0)), "seconds": seconds}
    with _ours(manifest, exits) as (port, pid):
        record["assay"] = _asked_of_ours(port, pid, rows_NF, bars, seconds)
    for workers in (1, 2):
        with _mlflow(folder, deployed, workers) as (port, pid):
            record[f"mlflow, {workers} workers"] = {
                name: _each(Question(port, "/invocations", _split(deployed, part)), pid, seconds)
                for name, part in (("one row", rows_NF[-1:]), ("100 rows", rows_NF))
            }
    with _ours(manifest, exits, "poll_s=0.02") as (port, _):
        record["swaps"] = _swapped(manifest, port, rows_NF, swaps)
    return record


def _asked_of_ours(port: int, pid: int, rows_NF: FloatArray, bars: Bars, seconds: float) -> Record:
    path = f"/v1/entries/{SYMBOL}"
    exits = {"schema_digest": SCHEMA_DIGEST, "atr": [0.001]}
    tail = slice(len(bars) - BARS_SENT, len(bars))
    columns = {"time": bars.start_T[tail].astype("datetime64[s]").astype(int).tolist()}
    columns |= {
        name: getattr(bars, f"{name}_T")[tail].tolist()
        for name in ("open", "high", "low", "close", "volume")
    }
    exit_KF = drawn_rows(100)
    questions = {
        "one row": (path, {"features": rows_NF[-1:].tolist()}),
        "100 rows": (path, {"features": rows_NF.tolist()}),
        f"{BARS_SENT} bars": (path, {"frames": {"1h": columns}}),
        "one exit": ("/v1/exits", exits | {"features": exit_KF[:1].tolist()}),
        "100 exits": (
            "/v1/exits",
            exits | {"features": exit_KF.tolist(), "atr": [0.001] * len(exit_KF)},
        ),
    }
    return {
        name: _each(Question(port, where, json.dumps(body).encode()), pid, seconds)
        for name, (where, body) in questions.items()
    }


def _each(question: Question, pid: int, seconds: float) -> Record:
    """Ask from one client and from several; the server's own time tells most on a busy machine."""
    found: Record = {}
    for clients in CLIENTS:
        before_s = _processor_s(pid)
        loaded = load(question, clients=clients, seconds=seconds)
        spent_s = _processor_s(pid) - before_s
        found[f"{clients} clients"] = loaded.record() | {
            "server_cpu_ms": round(1e3 * spent_s / max(1, loaded.asked), 4)
        }
    return found


def _processor_s(pid: int) -> float:
    """Return the processor time that a server and its workers have taken."""
    first = psutil.Process(pid)
    spent_s = 0.0
    for one in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            spent_s += times.user + times.system
    return spent_s


def _split(deployed: DeployedModels, rows_NF: FloatArray) -> bytes:
    columns = list(deployed.feature_names(SYMBOL))
    asked = {"dataframe_split": {"columns": columns, "data": rows_NF.tolist()}}
    return json.dumps(asked).encode()


def _swapped(manifest: Path, port: int, rows_NF: FloatArray, swaps: int) -> Record:
    """Replace the manifest again and again under load; hold each answer against its manifest."""
    contents = _two_manifests(manifest)
    expected: dict[str, float] = {}
    for content in contents:
        write_bytes_atomically(manifest, content)
        deployed = DeployedModels.from_manifest(manifest)
        expected[deployed.sha256] = float(deployed.predict_proba(SYMBOL, rows_NF[-1:])[0, 1])
    seen = dict.fromkeys(expected, 0)
    done = threading.Event()

    def check(status: int, body: bytes) -> str | None:
        if status != 200:
            return f"status {status}"
        answer = json.loads(body)
        digest = answer["manifest_sha256"]
        seen[digest] = seen.get(digest, 0) + 1
        wrong = answer["signals"][0]["probability"] != expected.get(digest)
        return f"not what manifest {digest[:8]} says" if wrong else None

    took_s: list[float] = []
    swapping = threading.Thread(
        target=_swap, args=(manifest, contents, port, swaps, took_s, done), daemon=True
    )
    body = json.dumps({"features": rows_NF[-1:].tolist()}).encode()
    question = Question(port, f"/v1/entries/{SYMBOL}", body)
    swapping.start()
    loaded: Load = load(question, clients=8, seconds=0.0, check=check, until=done.is_set)
    swapping.join()
    return loaded.record() | {
        "swaps": len(took_s),
        "wrong": sorted(set(loaded.errors)),
        "answers_by_manifest": {digest[:8]: count for digest, count in seen.items()},
        "swap_p50_s": round(float(np.median(took_s)), 3),
    }


def _two_manifests(manifest: Path) -> list[bytes]:
    """Return the manifest, and one in which two symbols have changed models."""
    content = manifest.read_bytes()
    other = json.loads(content)
    chosen = other["selections"]
    chosen[SYMBOL], chosen[OTHER] = chosen[OTHER], chosen[SYMBOL]
    return [content, json.dumps(other, indent=1).encode()]


def _swap(
    manifest: Path,
    contents: list[bytes],
    port: int,
    swaps: int,
    took_s: list[float],
    done: threading.Event,
) -> None:
    try:
        for n in range(swaps):
            content = contents[n % 2]
            began_s = time.perf_counter()
            write_bytes_atomically(manifest, content)
            wanted = hashlib.sha256(content).hexdigest()
            while _served(port) != wanted and time.perf_counter() - began_s < 60:
                time.sleep(0.02)
            took_s.append(time.perf_counter() - began_s)
    finally:
        done.set()


def _served(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            digest: str = json.load(answer)["manifest_sha256"]
            return digest
    except OSError:
        return None


@contextlib.contextmanager
def _ours(manifest: Path, exits: Path, *more: str) -> Iterator[tuple[int, int]]:
    port = _free_port()
    given = [f"manifest={manifest}", f"exit_model={exits}", f"port={port}", *more]
    with _process([sys.executable, "-m", "pipelines.serve", *given], manifest.parent) as process:
        _until(lambda: _served(port) is not None, process)
        yield port, process.pid


@contextlib.contextmanager
def _mlflow(folder: Path, deployed: DeployedModels, workers: int) -> Iterator[tuple[int, int]]:
    """Serve the pyfunc folder that training logs of this very model."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    port, model = _free_port(), folder / f"pyfunc-{workers}"
    described = next(
        entry["path"]
        for entry in deployed.selection(SYMBOL)["artifacts"]
        if entry["path"].endswith("/model.json")
    )
    columns = [ColSpec("double", name) for name in deployed.feature_names(SYMBOL)]
    mlflow.pyfunc.save_model(
        path=str(model),
        loader_module="models.store",
        data_path=str((folder / described).parent),
        pip_requirements=["numpy"],
        signature=ModelSignature(
            inputs=Schema(columns), outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, 2))])
        ),
    )
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model)),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers)),
    ]
    with _process(command, folder) as process:
        _until(lambda: _pings(port), process)
        yield port, process.pid


def _pings(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def _process(command: list[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    place = str(Path(__file__).parents[1])
    # MLflow looks for uvicorn there.
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env=os.environ | NO_CALLS_HOME | {"PYTHONPATH": place, "PATH": programs},
            cwd=place,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait()


def _until(ready: Any, process: "subprocess.Popen[bytes]") -> None:
    give_up_s = time.monotonic() + 120
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up_s:
            raise SystemExit(f"{process.args!r} does not serve; see server.log")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _trained(folder: Path) -> Path:
    """Train two councils on simulated markets with a strong edge; return their manifest."""
    path = folder / "trained" / "deployment_manifest.json"
    given = [*TRAINED, f"output_dir={folder}/run", f"manifest.path={path}"]
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pipelines.train_all", *given], check=True
    )
    return path


def table(record: Record) -> str:
    """Return what was measured as lines of text."""
    columns = ("p50_ms", "p99_ms", "requests_per_s", "server_cpu_ms", "errors")
    lines = [f"{'':32} {'clients':>7}" + "".join(f"{name:>16}" for name in columns)]
    servers = [key for key in record if key == "assay" or key.startswith("mlflow")]
    for server in servers:
        for what, by_clients in record[server].items():
            for clients, one in by_clients.items():
                values = "".join(f"{one[name]:>16}" for name in columns)
                lines.append(f"{f'{server}: {what}':32.32} {clients.split()[0]:>7}{values}")
    swaps = record["swaps"]
    lines.append(
        f"{swaps['swaps']} swaps under load: {swaps['requests']} answers, {swaps['errors']} wrong, "
        f"p50 {swaps['p50_ms']} ms, p99 {swaps['p99_ms']} ms; {swaps['answers_by_manifest']}"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, help="of EURUSD and USDJPY; copied")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        manifest = given.manifest or _trained(Path(name))
        folder = Path(name) / "deploy"
        shutil.copytree(manifest.parent, folder)
        (folder / manifest.name).rename(folder / "deployment_manifest.json")
        record = measured(folder, seconds=given.seconds, swaps=given.swaps)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomically(given.out, record)
    print(table(record))  # noqa: T201 - a command


if __name__ == "__main__":
    main()
