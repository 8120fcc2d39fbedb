"""Records: a stopped bench goes on where it was."""

import io

import pytest

from benchmarks.honesty.grids import jobs
from benchmarks.honesty.records import RunRecords
from benchmarks.honesty.runner import run_jobs


@pytest.fixture
def records(tmp_path):
    return RunRecords(tmp_path / "out")


def test_what_was_added_is_no_longer_missing(records, finished_run):
    wanted = jobs("null", most_runs=2) + jobs("power", most_runs=1)
    done = wanted[1::2]
    assert records.missing(wanted) == wanted
    for job in done:
        records.add(finished_run(job))
    assert records.missing(wanted) == wanted[::2]
    assert len(records.of("null")) + len(records.of("power")) == len(done)


@pytest.mark.parametrize("kept_bytes", [1, 40, 400])
def test_a_line_that_was_cut_off_counts_for_nothing_and_spoils_no_other(
    records, finished_run, kept_bytes
):
    first, second, third = jobs("null", most_runs=1)[:3]
    records.add(finished_run(first))
    whole = records.path("null").read_bytes()
    records.path("null").write_bytes(whole + whole[:kept_bytes])
    assert records.missing([first, second, third]) == [second, third]
    records.add(finished_run(second))
    records.add(finished_run(third))
    assert records.missing([first, second, third]) == []
    assert len(records.of("null")) == 3


def test_a_run_recorded_twice_counts_once_and_another_seed_is_another_run(records, finished_run):
    job, reseeded = jobs("null")[0], jobs("null", seed=1)[0]
    records.add(finished_run(job))
    records.add(finished_run(job, [(0.6, 0.5)]))
    assert len(records.of("null")) == 1
    assert records.missing([job, reseeded]) == [reseeded]


def test_a_line_of_something_else_is_named(records):
    records.folder.mkdir()
    records.path("null").write_text('{"grid": "null"}\n')
    with pytest.raises(ValueError, match=r"null\.jsonl, line 1: is no finished run: 'cell'"):
        records.of("null")


def test_nothing_is_simulated_where_all_is_there(records, finished_run):
    wanted, screen = jobs("null", most_runs=1), io.StringIO()
    for job in wanted:
        records.add(finished_run(job))
    before = records.path("null").read_bytes()
    assert run_jobs(wanted, records, n_workers=1, screen=screen) == []
    assert records.path("null").read_bytes() == before
    assert screen.getvalue() == "5 of 5 runs are there already\n"
