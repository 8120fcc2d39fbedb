"""The table's arithmetic, and records that outlive an interruption."""

import json
import sys

import pytest

from benchmarks.training.records import Records
from benchmarks.training.report import core_use, log_loss, overhead, page
from benchmarks.training.usage import used
from benchmarks.training.work import MODELS


def finished(mode, *, cpu_s, repetition=0, loss=0.7, work="w"):
    fitted = [
        {"symbol": symbol, "model": model, "out_of_fold": loss + number, "test": loss - 0.1}
        for symbol in ("EURUSD", "GBPUSD")
        for number, model in enumerate(MODELS)
    ]
    return {
        "work": work,
        "mode": mode,
        "repetition": repetition,
        "symbols": 2,
        "processes": 2,
        "cpu_s": cpu_s,
        "wall_s": cpu_s / 1.6,
        "fits_cpu_s": cpu_s * 0.75,
        "same_fits_cpu_s": cpu_s * 0.5,
        "tracking_cpu_s": 1.0,
        "peak_process_mib": 300.0,
        "peak_tree_mib": None,
        "fitted": fitted,
    }


def tables(text):
    """Return each table's cells by row and column."""
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    heads = [number for number, row in enumerate(cells) if row[0] == ""]
    parts = [cells[start:end] for start, end in zip(heads, [*heads[1:], None], strict=True)]
    return [
        {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
        for head, _, *rows in parts
    ]


def test_costs_stand_beside_the_baselines_as_medians_over_repetitions():
    records = [finished("naive", cpu_s=400.0)]
    records += [finished("bare", cpu_s=s, repetition=k) for k, s in enumerate((90.0, 100.0, 160.0))]
    records += [finished("same fits", cpu_s=60.0)]
    costs, _ = tables(page(records, n_rows=2000, source="simulated"))
    assert list(costs) == ["naive", "bare", "same fits"]
    assert costs["bare"]["CPU s"] == "100.0"
    assert (costs["same fits"]["of bare"], costs["same fits"]["of naive"]) == ("0.60", "0.15")
    assert costs["same fits"]["of naive, one thread"] == ""
    assert costs["same fits"]["not fitting"] == "25.0%"
    assert costs["same fits"]["use of the cores"] == "0.80"


def test_log_losses_are_means_over_symbols_and_models():
    record = finished("bare", cpu_s=1.0)
    assert log_loss(record, "out_of_fold", [MODELS[2]]) == pytest.approx(2.7)
    assert log_loss(record, "out_of_fold", MODELS) == pytest.approx(0.7 + 1.5)
    _, losses = tables(page([record], n_rows=2000, source="simulated"))
    assert losses["bare"]["all four, out of fold"] == "2.2000"
    assert losses["bare"]["MLP, test"] == "0.6000"


def test_cores_that_never_idle_and_nothing_but_fits_are_1_and_0():
    record = {"cpu_s": 20.0, "wall_s": 10.0, "processes": 2, "fits_cpu_s": 20.0}
    assert core_use(record) == 1.0
    assert overhead(record) == 0.0


def test_a_record_cut_off_spoils_no_other_and_a_later_one_counts(tmp_path):
    records = Records(tmp_path / "out" / "records.jsonl")
    assert records.of("w") == {}
    records.add(finished("bare", cpu_s=1.0))
    with records.path.open("a") as file:
        file.write(json.dumps(finished("naive", cpu_s=2.0))[:70])
    records.add(finished("naive", cpu_s=3.0))
    records.add(finished("bare", cpu_s=4.0))
    records.add(finished("bare", cpu_s=5.0, work="other"))
    found = records.of("w")
    assert {key: one["cpu_s"] for key, one in found.items()} == {
        ("bare", 0): 4.0,
        ("naive", 0): 3.0,
    }


def test_a_command_is_measured_with_its_children(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    held = "held = bytearray(150_000_000)\nheld[::4096] = b'1' * len(held[::4096])"
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n{held}"
    log = tmp_path / "log"
    command = [sys.executable, "-c", script + "\nprint('said'); sys.exit(3)"]
    usage = used(command, cwd=tmp_path, environment={}, log=log)
    assert usage.exit_code == 3
    assert usage.cpu_s >= 0.3
    assert usage.peak_process_mib > 150
    assert log.read_text() == "said\n"


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux alone")
def test_a_process_that_a_command_leaves_behind_counts_too(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    script = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {burn!r}])"
    command = [sys.executable, "-c", script]
    assert used(command, cwd=tmp_path, environment={}, log=tmp_path / "log").cpu_s >= 0.5
