"""The guard: what counts as a loss, what is excused, and how a ratio is made."""

import json

import pytest

from benchmarks import guard, ratios
from benchmarks.guard import GuardError, losses, read, tried_again
from benchmarks.ratios import Duel, Measured, swept

HERE = "this processor"


def told(ratio_by_path, processor=HERE):
    return Measured(dict(ratio_by_path), processor)


@pytest.fixture
def files(tmp_path):
    """Return a function that writes landed and measured ratios and runs the guard on them."""

    def judged(landed, now, *more):
        paths = {"--landed": tmp_path / "landed.json", "--measured": tmp_path / "now.json"}
        for path, found in zip(paths.values(), (landed, now), strict=True):
            if found is not None:
                told_json = {"ratios": found, "processor": HERE}
                path.write_text(json.dumps(told_json))
        return guard.main([part for pair in paths.items() for part in map(str, pair)] + [*more])

    return judged


def test_a_path_a_quarter_slower_fails_and_one_a_tenth_slower_passes():
    landed = told({"forest": 0.8, "net": 2.0})
    assert losses(landed, told({"forest": 0.88, "net": 1.0})) == {}
    (line,) = losses(landed, told({"forest": 1.0, "net": 2.2})).values()
    assert line.startswith("forest: 1.000 now, 0.800 landed: +25%, +20% is allowed")


def test_on_another_processor_more_is_allowed():
    landed = told({"forest": 1.0})
    assert losses(landed, told({"forest": 1.3}, processor="another")) == {}
    assert "+60%, +50% is allowed" in losses(landed, told({"forest": 1.6}, processor="x"))["forest"]


def test_a_path_without_a_landed_ratio_and_one_that_is_gone_are_named():
    found = losses(told({"old": 1.0, "net": 1.0}), told({"new": 0.5, "net": 1.0}))
    assert found["new"].startswith("new: 0.500 now, no landed ratio; land it with python -m")
    assert found["old"].startswith("old: landed, but not measured any more")
    assert "net" not in found


def test_a_path_that_looks_slower_is_measured_up_to_twice_more_and_its_best_counts():
    landed = told({"noisy": 1.0, "slow": 1.0, "fine": 1.0})
    asked, noisy = [], iter((1.3, 1.1))

    def measure(paths):
        asked.append(sorted(paths))
        return told({path: next(noisy) if path == "noisy" else 1.4 for path in paths})

    now = tried_again(landed, told({"noisy": 1.25, "slow": 1.3, "fine": 1.0}), measure)
    assert asked == [["noisy", "slow"], ["noisy", "slow"]]
    assert now.ratios == {"noisy": 1.1, "slow": 1.3, "fine": 1.0}


def test_the_command_fails_on_a_loss_and_says_so_in_one_line(files, monkeypatch, capsys):
    monkeypatch.setattr(guard, "measured", lambda paths: told(dict.fromkeys(paths, 1.25)))
    assert files({"net": 1.0}, {"net": 1.25}) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("net: 1.250 now, 1.000 landed")
    assert files({"net": 1.0}, {"net": 1.1}) == 0
    assert files({"net": 1.0}, {"net": 0.8}) == 0
    assert "net: 0.800 now, 1.000 landed: quicker" in capsys.readouterr().out


def test_a_missing_or_spoilt_file_is_named_with_what_to_do(files, tmp_path, capsys):
    assert files({"net": 1.0}, None) == 1
    assert "now.json: is missing; run python -m benchmarks.ratios" in capsys.readouterr().err
    (tmp_path / "spoilt.json").write_text('{"ratios": [1]}')
    with pytest.raises(GuardError, match=r"spoilt\.json: holds no ratios"):
        read(tmp_path / "spoilt.json", remedy="")


def test_accepting_lands_the_median_of_three(files, tmp_path, monkeypatch):
    tries = iter((0.9, 1.4))
    monkeypatch.setattr(guard, "measured", lambda: told({"net": next(tries)}))
    assert files(None, {"net": 1.0}, "--accept") == 0
    assert read(tmp_path / "landed.json", remedy="").ratios == {"net": 1.0}


def test_a_ratio_is_of_the_least_times_of_both(monkeypatch):
    clock = {"s": 0.0}
    monkeypatch.setattr(ratios.time, "process_time", lambda: clock["s"])
    disturbed = iter([1.0, 0.0, 0.0] * 200)

    def taking(seconds):
        def call():
            clock["s"] += seconds + next(disturbed) * seconds

        return call

    duels = {"disturbed": Duel(taking(0.03), taking(0.02))}
    assert swept(duels) == {"disturbed": pytest.approx(1.5)}
