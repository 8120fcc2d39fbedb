import subprocess
import sys

import pytest

from tests.pipelines.conftest import CONF, command, environment

HEAVY = {"torch", "sklearn", "xgboost", "mlflow", "numba", "polars", "imblearn", "skops", "optuna"}
LISTS_IMPORTS = """
import runpy, sys
sys.argv = ["train_all", *sys.argv[1:]]
try:
    runpy.run_module("pipelines." + sys.argv.pop(1), run_name="__main__")
except SystemExit as end:
    print(end.code or 0, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "name",
    [
        *("train_all", "sweep", "features", "data", "predict", "sync"),
        *("backtest", "train_exits", "record"),
    ],
)
@pytest.mark.parametrize("asked", [["--help"], ["--cfg", "job"]])
def test_asking_imports_nothing_heavy_and_writes_nothing(name, asked, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", LISTS_IMPORTS, name, *asked],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    code, *imported = ended.stderr.split()
    assert code == "0"
    assert "hydra" in imported
    assert not HEAVY & set(imported)
    assert list(tmp_path.iterdir()) == []


def test_help_shows_how_to_begin_every_choice_and_every_key(tmp_path):
    said = command("train_all", "--help", cwd=tmp_path).stdout
    assert "python -m pipelines.train_all data=bars data.dir=FOLDER" in said
    for group in CONF.iterdir():
        if group.is_dir() and group.name != "hydra":
            options = ", ".join(sorted(path.stem for path in group.glob("*.yaml")))
            assert f"{group.name}: {options}" in said
    for key in ("min_development_rows: 1000", "max_depth: 10", "stability_threshold: 0.05"):
        assert key in said


def test_the_shown_configuration_is_the_one_that_would_run(tmp_path):
    shown = command("train_all", "--cfg", "job", "debug=smoke", "seed=11", cwd=tmp_path)
    assert shown.returncode == 0
    assert "seed: 11\n" in shown.stdout
    assert "n_bars: 4000\n" in shown.stdout
    assert shown.stderr == ""
