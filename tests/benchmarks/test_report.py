"""The report: counts, intervals and verdicts of runs made by hand."""

import io

import numpy as np
import pytest

from benchmarks.honesty.__main__ import main
from benchmarks.honesty.figure import COLOURS, figure_png
from benchmarks.honesty.grids import GRIDS, Job, jobs
from benchmarks.honesty.records import RunRecords
from benchmarks.honesty.report import Rate, markdown, summaries


def cell_of(grid, world, n_rows):
    return next(one for one in GRIDS[grid].cells if (one.world, one.n_rows) == (world, n_rows))


def test_intervals_are_those_of_clopper_and_pearson():
    assert Rate(0, 40).interval == (0.0, pytest.approx(1 - 0.025 ** (1 / 40)))
    assert Rate(7, 7).interval == (pytest.approx(0.025 ** (1 / 7)), 1.0)
    assert Rate(5, 10).interval == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert Rate(4, 20).interval == pytest.approx((0.0573, 0.4366), abs=1e-4)


def test_a_promise_is_settled_only_outside_the_interval():
    at_most = [Rate(0, 40), Rate(0, 200), Rate(4, 40), Rate(60, 200), Rate(0, 0)]
    assert [rate.at_most(0.05) for rate in at_most] == [
        *("kept, not settled", "kept", "broken, not settled", "broken", "")
    ]
    at_least = [Rate(100, 110), Rate(70, 110), Rate(60, 110), Rate(20, 110)]
    assert [rate.at_least(0.6) for rate in at_least] == [
        *("kept", "kept, not settled", "broken, not settled", "broken")
    ]


def test_runs_and_symbols_of_noise_are_counted_by_cell_and_together(finished_run):
    balanced, drifting = (cell_of("null", world, 300) for world in ("balanced", "drifting"))
    two = [(0.61, 0.5), (0.59, 0.5)]
    records = [
        finished_run(Job("null", balanced, 0, 1), two, p_values=[0.001, 0.2]),
        finished_run(Job("null", balanced, 1, 1), p_values=[0.04]),
        finished_run(Job("null", drifting, 0, 1), p_values=[0.3] * 11, cpu_seconds=5.0),
    ]
    own, other, together = summaries("null", records)
    assert (own.runs, own.symbols, own.small_p) == (Rate(1, 2), Rate(2, 22), Rate(2, 3))
    assert own.overstated_points == pytest.approx(10.0)
    assert own.overstated_error == pytest.approx(1.0)
    assert (other.world, other.runs, other.overstated_points) == ("drifting", Rate(0, 1), None)
    assert (together.runs, together.symbols) == (Rate(1, 3), Rate(2, 33))
    assert together.small_p == Rate(2, 14)
    assert together.seconds == pytest.approx(3.0)


def test_powers_and_printed_accuracies_are_held_against_their_promises(finished_run):
    strong, weak = cell_of("power", "signal_68", 600), cell_of("power", "signal_60", 1000)
    records = [finished_run(Job("power", strong, run, 1), [(0.7, 0.66)] * 11) for run in range(10)]
    records += [finished_run(Job("power", weak, run, 1), [(0.7, 0.6)] * 6) for run in range(10)]
    high, low = summaries("power", records)
    assert (high.symbols, high.promised, high.verdict) == (Rate(110, 110), 0.9, "kept")
    assert high.overstated_points == pytest.approx(4.0)
    assert high.accuracy_verdict == "broken"
    assert (low.symbols, low.verdict) == (Rate(60, 110), "broken, not settled")
    assert low.accuracy_verdict == "", "promised only where power is high"


def test_the_page_has_a_row_per_cell_with_its_promise(finished_run):
    null, power = jobs("null", most_runs=1)[0], jobs("power", most_runs=1)[0]
    found = summaries("null", [finished_run(null)])
    found += summaries("power", [finished_run(power, [(0.66, 0.65)] * 5)])
    page = markdown(found)
    assert "| null | balanced | 300 | certified | 1 | 0/1 = 0.0% (0.0% to 97.5%) | <= 5% |" in page
    assert "| power | signal_68 | 300 | certified | 1 | 5/11 = 45.5% (16.7% to 76.6%) |" in page
    assert "| >= 40% | kept, not settled | +1.0 ± 0.0 |" in page
    tables = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert len(tables) == 6
    assert len(set(tables[:3])) == len(set(tables[3:])) == 1


def test_the_picture_shows_every_rule_in_its_colour(finished_run):
    from matplotlib.image import imread

    records = [finished_run(job, [(0.6, 0.5)]) for job in jobs("candidates", most_runs=1)]
    picture = imread(io.BytesIO(figure_png(summaries("candidates", records))))
    shown = {tuple(pixel) for pixel in np.round(picture[..., :3] * 255).reshape(-1, 3).astype(int)}
    for rule, colour in COLOURS.items():
        as_pixel = tuple(bytes.fromhex(colour[1:]))
        assert (as_pixel in shown) == (rule in {record["rule"] for record in records})


def test_the_command_reports_what_is_there(tmp_path, finished_run, capsys):
    assert main(["report", "--out", str(tmp_path)]) == 1
    assert "no finished run; run a grid first" in capsys.readouterr().err
    RunRecords(tmp_path).add(finished_run(jobs("null")[0]))
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "honesty.md").read_text() in capsys.readouterr().out
    assert (tmp_path / "honesty.png").stat().st_size > 10_000


def test_an_unknown_grid_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "nul"])
    assert "null_larger" in capsys.readouterr().err
