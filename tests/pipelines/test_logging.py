"""What hydra.verbose and hydra.job_logging change, and that nothing else changes."""

import logging
import sys

import pytest

from pipelines import command
from pipelines.console import ConsoleHandler, is_in_force
from tests.pipelines.conftest import REFERENCE, places
from tests.pipelines.conftest import command as started

ONE_MODEL = (
    "~models.lstm",
    "~models.mlp",
    "~models.random_forest",
    "~models.council",
    "~null_models.logistic",
)


@pytest.fixture
def composed(monkeypatch, tmp_path):
    """Compose as a command does; what it leaves in force is what its body runs under."""
    monkeypatch.chdir(tmp_path)

    def compose(*arguments, name="train_all"):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        jobs = command._composed(name)
        assert [path.name for path in tmp_path.rglob("*.log")] == []
        return jobs

    return compose


def says(name, level):
    return logging.getLogger(name).isEnabledFor(level)


@pytest.mark.parametrize("name", ["train_all", "features"])
def test_without_a_word_lines_are_shown_and_details_are_not(composed, capsys, name):
    composed(name=name)
    assert is_in_force()
    logging.getLogger("pipelines.display").info("a [3/4] line")
    logging.getLogger("training.engine").debug("a detail")
    logging.getLogger("alembic.runtime").info("a library's own business")
    assert capsys.readouterr().out == "a [3/4] line\n"


def test_verbose_tells_our_details_and_not_the_libraries(composed, capsys):
    composed("hydra.verbose=true")
    logging.getLogger("training.engine").debug("fold %d", 3)
    for name in ("numba.core", "matplotlib", "alembic.env", "urllib3.pool", "mlflow", "filelock"):
        logging.getLogger(name).info("%s floods", name)
    logging.getLogger("numba.core").warning("numba warns")
    assert capsys.readouterr().out == "training.engine: fold 3\nnumba warns\n"


def test_a_named_logger_alone_tells_details(composed):
    composed("hydra.verbose=[training.engine,numba]")
    assert says("training.engine", logging.DEBUG)
    assert says("numba.core", logging.DEBUG)
    assert not says("training.walk_forward", logging.DEBUG)
    assert not says("mlflow", logging.INFO)


def test_the_level_is_set_by_its_key(composed):
    composed("hydra.job_logging.root.level=WARNING")
    assert is_in_force()
    assert not says("pipelines.display", logging.INFO)
    assert says("pipelines.display", logging.WARNING)


@pytest.mark.parametrize("name", ["none", "disabled"])
def test_hydras_own_ways_to_be_quiet_still_are(composed, name):
    composed(f"hydra/job_logging={name}")
    assert not is_in_force()
    assert not says("pipelines.display", logging.INFO)


def test_hydras_own_lines_on_stdout_still_are(composed):
    composed("hydra/job_logging=stdout")
    streams = [getattr(one, "stream", None) for one in logging.getLogger().handlers]
    assert sys.stdout in streams
    assert not is_in_force()
    assert says("pipelines.display", logging.INFO)


def test_a_sweep_leaves_it_in_force_too(composed, capsys):
    jobs = composed("-m", "seed=1,2", "hydra.verbose=[training.engine]")
    assert len(jobs) == 2
    logging.getLogger("training.engine").debug("once")
    assert capsys.readouterr().out == "training.engine: once\n"


def test_a_misspelt_way_of_logging_is_told_with_hydras_own(composed):
    with pytest.raises(command.ConfigError, match=r"no such option, did you mean stdout\?$"):
        composed("hydra/job_logging=stdot")


def test_warnings_are_yellow_errors_red_and_markup_is_text(monkeypatch):
    from rich.console import Console

    shown = Console(force_terminal=True, color_system="standard", width=20, record=True)
    monkeypatch.setattr("pipelines.console.console", lambda: shown)
    handler = ConsoleHandler()
    for level, message in ((30, "[red]a warning that is long"), (40, "an error"), (20, "a line")):
        record = logging.LogRecord("ours", level, "", 0, message, None, None)
        handler.handle(record)
    yellow, red, bare = shown.export_text(styles=True).splitlines()
    assert yellow == "\x1b[33m[red]a warning that is long\x1b[0m"
    assert red == "\x1b[31man error\x1b[0m"
    assert bare == "a line"


def test_a_librarys_ill_fitting_arguments_end_nothing(capsys):
    handler = ConsoleHandler()
    handler.handle(logging.LogRecord("theirs", 30, "", 0, "%d rows", ("many",), None))
    said = capsys.readouterr()
    assert said.out == ""
    assert "Logging error" in said.err


def test_a_verbose_run_tells_each_fold_and_logs_to_no_file(tmp_path):
    small = ("debug=smoke", *ONE_MODEL, *REFERENCE, "data.n_bars=2500", "data.cache=null")
    arguments = (*small, "hydra.verbose=true")
    ended = started("train_all", *arguments, *places(tmp_path), cwd=tmp_path)
    folds = [line for line in ended.stdout.splitlines() if "EURUSD XGBoost fold " in line]
    assert [line.split(":")[0] for line in folds] == ["training.engine"] * 6
    loggers = {line.split(":")[0] for line in ended.stdout.splitlines() if ": EURUSD" in line}
    assert loggers == {"training.engine"}
    assert "[2/2] EURUSD MajorityClass: out-of-fold" in ended.stdout
    assert ended.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == {"out", "deploy"}
