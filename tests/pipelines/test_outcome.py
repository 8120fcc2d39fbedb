"""What is read at the end of a run: tables that fit a terminal, and lines nobody may overlook."""

import io

import pytest
from rich.console import Console

from pipelines import outcome

MODELS = ("RandomForest", "XGBoost", "MLP", "LSTM", "Council", "MajorityClass")
ONCE = {"n_openings": 1, "n_configurations": 1, "in_words": "opened once"}
REPEATED = {"n_openings": 2, "n_configurations": 1, "in_words": "opened 2 times, by one ..."}
KNOWN = {
    "n_openings": 3,
    "n_configurations": 2,
    "in_words": "opened 3 times since 2026-11-21, by 2 configurations: its figures are ...",
}


def result(model, gain_nats=-0.1234):
    scores = {"accuracy": 0.56, "log_loss": 0.69 - gain_nats, "n": 12_345}
    return {
        "symbol": "EURUSD",
        "model_name": model,
        "out_of_fold": scores,
        "test_metrics": scores,
        "no_skill": {part: {"accuracy": 0.4, "log_loss": 0.69} for part in ("out_of_fold", "test")},
        "history": {"oof_gap": 0.1, "train_val_gap": 0.2},
        "expectancy": {"out_of_fold": {"expectancy_r": -0.123, "trades": 12_345}},
        "augmentation_failures": [],
    }


def selection(**changes):
    return {
        "selected_model": "Council",
        "reason": "Signal: p = 2e-05",
        "evidence": {"p_adjusted": 2e-05},
        "holdout": "awaiting live data",
        "expectancy": {"expectancy_r": 0.1, "trades": 20},
        "warnings": [],
        "data_warnings": [],
        **changes,
    }


def opened(openings):
    scores = {"accuracy": 0.6, "log_loss": 0.68, "openings": openings}
    return {**scores, "no_skill": {"accuracy": 0.5, "log_loss": 0.69}}


def screen(chosen, width=80, *, styles=False):
    """Return what is printed of one symbol whose every model is there."""
    models = {name: result(name) for name in (*MODELS, "LogisticRegression")}
    shown = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=width, record=True
    )
    outcome.show(shown, {"EURUSD": models}, {"EURUSD": chosen}, simulated=True)
    return shown.export_text(styles=styles)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("openings", [ONCE, KNOWN])
def test_nothing_is_cut_off_and_no_table_is_wider_than_the_terminal(width, openings):
    said = screen(selection(holdout=opened(openings)), width)
    tables = said.partition("EURUSD: ")[0]
    assert "…" not in said
    assert max(len(line) for line in tables.splitlines()) <= width
    assert tables.count("-123.4") == len(MODELS) + 1
    assert "Council" in tables
    assert "Regression" in tables


def test_a_p_value_stands_under_the_choice_and_under_none():
    assert "\n          p 2e-05 " in screen(selection())
    refused = selection(selected_model=None, evidence={"p_adjusted": 0.314})
    refused |= {"reason": "Refused: no effect seen", "closest": {"model": "Council"}}
    said = screen(refused)
    assert "EURUSD   none " in said
    assert " p 0.31 " in said
    assert said.endswith("EURUSD: Refused: no effect seen\n")


def test_without_evidence_no_p_value_is_shown():
    assert " p " not in screen(selection(evidence=None)).partition("First line: accuracy")[0]


def test_a_holdout_opened_once_is_nothing_to_speak_of():
    assert "opened" not in screen(selection(holdout=opened(ONCE)))


def test_a_repeated_look_is_counted_and_another_configurations_is_a_warning():
    repeated = screen(selection(holdout=opened(REPEATED)), styles=True)
    assert "\x1b[33mopened 2 times\x1b[0m" in repeated
    assert "its holdout was" not in repeated
    known = selection(holdout=opened(KNOWN))
    assert "\x1b[31mopened 3 times\x1b[0m" in screen(known, styles=True)
    assert f"EURUSD: its holdout was {KNOWN['in_words']}\n" in screen(known, width=120)


def test_a_sealed_or_missing_holdout_says_so():
    refused = {"selected_model": None, "closest": {"model": "Council"}, "holdout": "sealed"}
    assert " sealed " in screen(selection(**refused))
    assert "awaiting" in screen(selection())
