"""What is seen of a training under way, on a terminal and in a file."""

import io
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from pipelines.console import ConsoleHandler, console
from pipelines.display import Board, TrainingDisplay
from training.engine import Step
from training.task import FitEnded

CANDIDATES = ("RandomForest", "XGBoost", "MLP", "LSTM", "Council")
MODELS = (*CANDIDATES, "MajorityClass", "LogisticRegression")
N_FITS = 7


def step(symbol: str, model: str, n_done: int, *warnings: str) -> Step:
    task: Any = SimpleNamespace(symbol=symbol, model=SimpleNamespace(name=model))
    name = f"fold {n_done}"
    sentences = tuple(f"{name}: {one}" for one in warnings)
    ended = FitEnded(name, 90, 5, 0.6, 0.5, 0.1, sentences, None, None) if n_done else None
    return Step(task, n_done, N_FITS, ended)


def result(symbol: str, model: str, gain_nats: float = 0.0123, seconds: float = 10.0) -> Any:
    return {
        "symbol": symbol,
        "model_name": model,
        "out_of_fold": {"log_loss": 0.69 - gain_nats, "accuracy": 0.56},
        "no_skill": {"out_of_fold": {"log_loss": 0.69, "accuracy": 0.54}},
        "training_duration_seconds": seconds,
        "warnings": ["labels overlap", "fold 2: slow", "fold 3: slower"],
    }


def failed(symbol: str, model: str) -> Any:
    return {"symbol": symbol, "model_name": model, "error": "fold 3: no luck"}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def board(n_symbols: int, n_workers: int = 2, models: tuple[str, ...] = MODELS) -> Board:
    symbols = [f"SYM{k:03d}" for k in range(n_symbols)]
    return Board(symbols, models, n_workers=n_workers, clock=Clock())


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, record=True)


def screen(drawn: Board, width: int = 80, height: int = 24) -> list[str]:
    """Return the lines that would be seen."""
    shown = terminal(width, height)
    shown.print(drawn)
    return [line.rstrip() for line in shown.export_text().splitlines()]


def complete(drawn: Board, symbol: str) -> None:
    for model in MODELS:
        drawn.finished(result(symbol, model))


def test_a_cell_waits_runs_and_ends() -> None:
    drawn = board(3)
    drawn.step(step("SYM000", "XGBoost", 0))
    drawn.step(step("SYM001", "XGBoost", 3))
    drawn.finished(result("SYM000", "LSTM", 0.0123))
    drawn.finished(result("SYM001", "LSTM", -0.0045))
    drawn.finished(failed("SYM002", "LSTM"))
    rows = [line.split() for line in screen(drawn) if line.startswith("SYM")]
    assert rows[0] == ["SYM000", "·", "0/7", "·", "+12.3", "·", "·", "·"]
    assert rows[1] == ["SYM001", "·", "3/7", "·", "-4.5", "·", "·", "·"]
    assert rows[2] == ["SYM002", "·", "·", "·", "failed", "·", "·", "·"]


def test_all_models_of_a_usual_run_have_room_on_80_columns() -> None:
    drawn = board(1)
    drawn.finished(result("SYM000", "Council", 0.1234))
    drawn.finished(result("SYM000", "LSTM", -0.1234))
    lines = screen(drawn, width=80)
    assert lines[1].split()[2:6] == ["XGBoost", "MLP", "LSTM", "Council"]
    assert "…" not in "".join(lines)
    assert lines[3].split() == ["SYM000", "·", "·", "·", "-123.4", "+123.4", "·", "·"]


def test_colours_tell_gain_loss_and_failure() -> None:
    drawn, shown = board(3), terminal()
    drawn.finished(result("SYM000", "LSTM", 0.0123))
    drawn.finished(result("SYM001", "LSTM", -0.0045))
    drawn.finished(failed("SYM002", "LSTM"))
    shown.print(drawn)
    text = shown.export_text(styles=True)
    for colour, cell in ((32, "+12.3"), (31, "-4.5"), (31, "failed")):
        assert re.search(rf"\x1b\[{colour}m\s*(\x1b\[\w+m)*{re.escape(cell)}\x1b", text)


@pytest.mark.parametrize("n_symbols", [1, 12, 100])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 10), (120, 50), (60, 24)])
def test_the_screen_is_never_overrun_nor_wrapped(n_symbols: int, width: int, height: int) -> None:
    drawn = board(n_symbols)
    drawn.step(step("SYM000", "LSTM", 2, *["a very long warning, " * 8] * 3))
    drawn.finished(result("SYM000", "MLP"))
    lines = screen(drawn, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("SYM000 LSTM fold 2: a very long") for line in lines) == 3
    assert sum("training" in line for line in lines) == 1


def test_of_many_symbols_those_in_work_come_first_and_the_rest_is_counted() -> None:
    drawn = board(100)
    for k in (3, 20, 41):
        complete(drawn, f"SYM{k:03d}")
    drawn.finished(result("SYM050", "LSTM"))
    drawn.step(step("SYM099", "LSTM", 1))
    drawn.step(step("SYM077", "LSTM", 0))
    lines = screen(drawn)
    rows = [line.split()[0] for line in lines if line.startswith("SYM")]
    assert rows[:6] == ["SYM099", "SYM077", "SYM050", "SYM041", "SYM020", "SYM003"]
    assert rows[6:9] == ["SYM000", "SYM001", "SYM002"]
    assert len(rows) == len(set(rows)) == 18
    assert f"... {100 - 18} waiting" in lines


def test_what_is_not_shown_is_told_by_kind() -> None:
    drawn = board(100)
    for k in range(40):
        complete(drawn, f"SYM{k:03d}")
    for k in range(60, 80):
        drawn.step(step(f"SYM{k:03d}", "LSTM", 1))
    lines = screen(drawn)
    assert "... 2 in work, 40 waiting, 40 done" in lines


def test_few_symbols_keep_their_order() -> None:
    drawn = board(4)
    drawn.step(step("SYM003", "LSTM", 0))
    complete(drawn, "SYM002")
    lines = screen(drawn)
    rows = [line.split()[0] for line in lines if line.startswith("SYM")]
    assert rows == ["SYM000", "SYM001", "SYM002", "SYM003"]
    assert not any(line.startswith("...") for line in lines)


def test_the_last_warnings_and_failures_are_shown() -> None:
    drawn = board(2)
    drawn.step(step("SYM000", "LSTM", 1, "first", "second"))
    drawn.step(step("SYM000", "LSTM", 2, "third"))
    drawn.finished(failed("SYM001", "MLP"))
    assert screen(drawn)[-3:] == [
        "SYM000 LSTM fold 1: second",
        "SYM000 LSTM fold 2: third",
        "SYM001 MLP: failed: fold 3: no luck",
    ]


def test_nothing_is_said_of_the_time_left_before_something_is_known() -> None:
    drawn = board(4)
    drawn.step(step("SYM000", "LSTM", 3))
    assert drawn.time_left() == ""
    drawn.finished(failed("SYM000", "LSTM"))
    assert drawn.time_left() == ""
    assert screen(drawn)[-2].split()[-2:] == ["1/28", "0:00:00"]


def test_the_time_left_weighs_what_remains_of_each_kind() -> None:
    drawn = board(11, n_workers=2, models=("LSTM", "MLP"))
    drawn.finished(result("SYM000", "LSTM", seconds=60.0))
    # Ten of a minute each for two workers.
    assert drawn.time_left() == "at least 0:05:00 left"
    drawn.finished(result("SYM000", "MLP", seconds=4.0))
    drawn.finished(result("SYM001", "MLP", seconds=8.0))
    assert drawn.time_left() == "about 0:05:27 left"
    drawn.step(step("SYM001", "LSTM", 6))
    assert drawn.time_left() == "about 0:05:01 left"


def test_the_last_task_has_one_worker() -> None:
    drawn = board(2, n_workers=8, models=("LSTM",))
    drawn.finished(result("SYM000", "LSTM", seconds=70.0))
    drawn.step(step("SYM001", "LSTM", 1))
    assert drawn.time_left() == "about 0:01:00 left"
    drawn.finished(result("SYM001", "LSTM"))
    assert drawn.time_left() == ""


def test_a_drawing_looks_only_at_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, asked = board(1000), []
    for k in range(500):
        complete(drawn, f"SYM{k:03d}")
    is_complete = Board._is_complete

    def spy(self: Board, symbol: str) -> bool:
        asked.append(symbol)
        return is_complete(self, symbol)

    monkeypatch.setattr(Board, "_is_complete", spy)
    screen(drawn)
    assert len(asked) < 24


@pytest.fixture
def logged() -> Any:
    """Let log records go where they go in a run."""
    handler, root = ConsoleHandler(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield root
    root.removeHandler(handler)
    root.setLevel(level)


def show(shown: Console) -> None:
    notes = {"EURUSD": ["labels overlap"]}
    with TrainingDisplay(shown, ["EURUSD"], ["XGBoost", "MLP"], n_workers=1, notes=notes) as seen:
        seen.step(step("EURUSD", "XGBoost", 0))
        seen.step(step("EURUSD", "XGBoost", 1, "a warning"))
        seen.finished(result("EURUSD", "XGBoost"))
        seen.finished(failed("EURUSD", "MLP"))


PLAIN = """\
[1/2] EURUSD XGBoost: out-of-fold log-loss 0.6777 (no skill 0.6900), accuracy 0.560 (0.540), 10.0 s
    fold 2: slow (and 1 more in its result file)
[2/2] EURUSD MLP: failed: fold 3: no luck
"""


@pytest.mark.usefixtures("logged")
def test_without_a_terminal_each_end_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(console())
    assert capsys.readouterr().out == PLAIN


def test_the_log_level_silences_the_lines_but_not_the_failures(
    logged: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logged.setLevel(logging.WARNING)
    show(console())
    assert capsys.readouterr().out == PLAIN.splitlines(keepends=True)[2]


@pytest.mark.usefixtures("logged")
def test_a_terminal_shows_the_table_instead_and_clears_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = terminal()
    show(shown)
    assert capsys.readouterr().out == ""
    written = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "failed" in written
    assert re.search(r"\x1b\[1A\x1b\[2K$", written)


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_a_terminal_without_log_lines_stays_quiet(logged: logging.Logger, level: int) -> None:
    shown = terminal()
    if level == logging.INFO:
        logged.handlers = [one for one in logged.handlers if not isinstance(one, ConsoleHandler)]
    logged.setLevel(level)
    show(shown)
    assert shown.file.getvalue() == ""  # type: ignore[attr-defined]
