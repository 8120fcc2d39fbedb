"""Configurations, folders and manifests that no command can work with."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.broken_inputs.packed_cases import archive
from tests.broken_inputs.rows import text

NONE_CHOSEN = {"selected_model": None, "reason": "No signal", "action": "MANUAL_REVIEW_REQUIRED"}
LEVELS = 100_000


@dataclass(frozen=True, slots=True)
class CommandCase:
    """A command that must refuse what it is given in one line.

    Attributes
    ----------
    name : str
        A word that no other case has.
    given : str
        What is wrong, in words.
    command : str
        One of ``train_all``, ``predict``, ``features`` and ``data``.
    arguments : tuple of str
        Relative paths lie in the folder that ``write`` is given.
    says : tuple of str
    write : function of a folder, or None
        Puts there what the arguments speak of.
    """

    name: str
    given: str
    command: str
    arguments: tuple[str, ...]
    says: tuple[str, ...]
    write: Callable[[Path], object] | None = None


def holding(name, content=b""):
    """Return what makes a folder ``in`` with one file."""

    def write(folder):
        (folder / "in").mkdir()
        (folder / "in" / name).write_bytes(content)

    return write


def pipe(name):
    return lambda folder: os.mkfifo(folder / name)


def document(**changes):
    """Return a manifest that could be read but for ``changes``."""
    return {
        "schema_version": 1,
        "timestamp": "2024-01-02T12:00:00+00:00",
        "previous_manifest_sha256": None,
        "provenance": {"run_id": "r1", "simulated": False, "seed": 7},
        "selection_criteria": {
            "max_train_val_gap": 0.2,
            "min_test_accuracy": 0.5,
            "max_val_test_diff": 0.1,
        },
        "selections": {"EURUSD": NONE_CHOSEN},
        "summary": {"total_symbols": 1, "models_selected": 0, "manual_review_needed": 1},
    } | changes


def manifest(name, given, content, *says):
    """Return the case of a manifest; bars to predict on lie beside it."""

    def write(folder):
        holding("EURUSD.csv", text().encode())(folder)
        made = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / "manifest.json").write_bytes(made)

    return predicting(name, given, write, *says)


def predicting(name, given, write, *says):
    arguments = ("manifest=manifest.json", "data.dir=in")
    return CommandCase(name, given, "predict", arguments, ("manifest: manifest.json", *says), write)


def with_bars(act):
    def write(folder):
        holding("EURUSD.csv", text().encode())(folder)
        act(folder / "manifest.json")

    return write


def as_long_file(path):
    """Make a file of 300 MB that takes no room."""
    with path.open("wb") as file:
        file.truncate(300 * 2**20)


def train(name, given, *arguments, says, write=None):
    return CommandCase(name, given, "train_all", arguments, says, write)


def yaml_file(content):
    def write(folder):
        (folder / "own" / "experiment").mkdir(parents=True)
        (folder / "own" / "experiment" / "mine.yaml").write_text(content)

    return write


def unread_yaml(folder):
    yaml_file("")(folder)
    (folder / "own" / "experiment" / "mine.yaml").unlink()
    (folder / "own" / "experiment" / "mine.yaml").symlink_to("/proc/self/mem")


OWN = ("--config-dir=own", "experiment=mine")
BOMB = "# @package _global_\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
BARS = ("data=bars", "data.dir=in")
ONE_BAR = holding("EURUSD.csv", text().encode())

SETTINGS = [
    train("unknown_key", "an unknown key", "models.xgboost.max_dept=3",
          says=("models.xgboost.max_dept", "did you mean models.xgboost.max_depth?")),
    train("unknown_choice", "an unknown choice", "data=barz", says=("data=barz", "bars")),
    train("word_for_number", "a word for a number", "seed=seven",
          says=("seed must be a whole number, was 'seven'",)),
    train("text_for_list", "a text for a list", "symbols=EURUSD", says=("symbols must be a list",)),
    train("nan", "NaN for a number", "training.max_feature_auc=nan",
          says=("training.max_feature_auc must be", "was nan")),
    train("out_of_range", "a share above 1", *BARS, "data.max_dropped=2",
          says=("data.max_dropped must be from 0 to 1, was 2",), write=ONE_BAR),
    train("negative_seed", "a negative seed", "seed=-1", says=("seed must be at least 0, was -1",)),
    train("loop", "a key that refers to itself", "name=${name}",
          says=("Recursive interpolation", "--help")),
    train("loop_of_two", "two keys that refer to each other", "name=${output_dir}",
          "output_dir=${name}", says=("Recursive interpolation", "--help")),
    train("no_such_key", "a reference to nothing", "name=${nix}", says=("nix", "--help")),
    train("no_such_resolver", "a reference to no resolver", "name=${shell:ls}",
          says=("shell", "--help")),
    train("unreadable", "an argument that is none", "symbols=[EURUSD", says=("key=value",)),
    train("brackets", "a value of 3,000 brackets", "symbols=" + "[" * 3000 + "]" * 3000,
          says=("too many brackets", "--help")),
    train("unclosed_yaml", "a file of settings that is no YAML", *OWN,
          says=("mine.yaml, line", "cannot be read as YAML"),
          write=yaml_file("seed: [1, 2\nname: x\n")),
    train("yaml_code", "a file of settings that would run code", *OWN,
          says=("mine.yaml, line 1", "could not determine a constructor"),
          write=yaml_file("seed: !!python/object/apply:os.system ['touch ran']\n")),
    train("yaml_twice", "a file of settings with a key twice", *OWN,
          says=("mine.yaml, line 3", "duplicate key seed"),
          write=yaml_file("# @package _global_\nseed: 1\nseed: 2\n")),
    train("yaml_bomb", "a YAML bomb for a file of settings", *OWN,
          says=("mine.yaml", "values once its aliases"), write=yaml_file(BOMB)),
    train("yaml_self", "a list in a file of settings that holds itself", *OWN,
          says=("mine.yaml", "values once its aliases"),
          write=yaml_file("# @package _global_\nsymbols: &a [*a]\n")),
    train("yaml_unread", "a file of settings that the disk does not give", *OWN,
          says=("mine.yaml: cannot be read: Input/output error", "look at its disk"),
          write=unread_yaml),
    train("zone", "a clock that nobody knows", *BARS, "data.time_zone=Mars/Base", write=ONE_BAR,
          says=("data.time_zone must be such as", "'Mars/Base'")),
    train("pattern", "a pattern that is none", *BARS, "data.name_pattern='('", write=ONE_BAR,
          says=("data.name_pattern '('", "no regular expression")),
    train("no_folder", "a folder that is not there", "data=bars", "data.dir=nowhere",
          says=("data.dir: nowhere: no such folder",)),
    train("nothing_said", "no folder", "data=bars", says=("data.dir", "give data.dir=")),
    train("empty_folder", "an empty folder", *BARS, says=("no .parquet or .csv file",),
          write=lambda folder: (folder / "in").mkdir()),
    train("archive_only", "a folder with an archive", *BARS,
          write=holding("all.zip", archive("EURUSD.csv", b"x")), says=("unpack all.zip first",)),
    train("workbook_only", "a folder with a workbook", *BARS, write=holding("EURUSD.xlsx"),
          says=("save EURUSD.xlsx as CSV first",)),
    train("pipe_for_table", "a pipe for a folder of tables", "data=table", "data.dir=in",
          write=pipe("in"), says=("data.dir: in: no such folder",)),
    train("file_for_table", "a file for a folder of tables", "data=table", "data.dir=in/EURUSD.csv",
          write=ONE_BAR, says=("data.dir: in/EURUSD.csv: no such folder",)),
    train("climbing_symbol", "a symbol that climbs out of its folder", *BARS,
          "symbols=['../../etc/passwd']", write=ONE_BAR,
          says=("symbols: ../../etc/passwd is not in the data",)),
    train("file_for_output", "a file where the results should go", *BARS,
          "output_dir=in/EURUSD.csv", write=ONE_BAR, says=("output_dir", "EURUSD.csv")),
    CommandCase("inspect_key", "an unknown key for inspect", "data",
                ("data.dir=in", "data.timezone=UTC"), ("did you mean data.time_zone?",), ONE_BAR),
    CommandCase("features_of_table", "a table where bars are wanted", "features",
                ("data=table", "data.dir=in", "features_dir=made"), ("data=table",), ONE_BAR),
]  # fmt: skip

MANIFESTS = [
    predicting("m_missing", "no manifest", ONE_BAR, "no such manifest", "train first"),
    predicting("m_folder", "a folder for a manifest", with_bars(Path.mkdir), "folder"),
    predicting("m_pipe", "a pipe for a manifest", with_bars(os.mkfifo), "not a plain file"),
    predicting("m_device", "a link to /dev/zero for a manifest",
               with_bars(lambda path: path.symlink_to("/dev/zero")), "file"),
    predicting("m_huge", "a manifest of 300 MB", with_bars(as_long_file), "314572800 bytes"),
    manifest("m_empty", "a manifest of 0 bytes", b"", "is not JSON"),
    manifest("m_cut", "a manifest cut short", json.dumps(document()).encode()[:-40], "is not JSON"),
    manifest("m_nul", "a manifest of NULs, as a crash leaves it", bytes(400), "is not JSON"),
    manifest("m_utf16", "a manifest in UTF-16", json.dumps(document()).encode("utf-16"),
             "is not JSON"),
    manifest("m_pickle", "a pickle for a manifest", b"\x80\x04\x95\x05\x00\x00\x00]\x94K\x01a.",
             "is not JSON"),
    manifest("m_bomb", "a JSON bomb: 100,000 levels", b"[" * LEVELS + b"]" * LEVELS, "nested"),
    manifest("m_bomb_in", "a bomb within a manifest", json.dumps(document()).replace(
        '"r1"', '{"a":' * 5000 + "1" + "}" * 5000).encode(), "nested"),
    manifest("m_values", "a JSON bomb: three million values", b"[" + b"0," * 3_000_000 + b"0]",
             "values"),
    manifest("m_digits", "a number of a million digits",
             json.dumps(document()).replace("7", "7" * 1_000_000, 1).encode(), "digits"),
    manifest("m_exponent", "a number beyond any", json.dumps(document()).replace(
        "0.5", "1e999").encode(), "finite"),
    manifest("m_nan", "NaN for a criterion", json.dumps(document()).replace(
        "0.5", "NaN").encode(), "NaN", "finite"),
    manifest("m_twice", "a key twice", json.dumps(document()).replace(
        '"schema_version": 1', '"schema_version": 1, "schema_version": 2').encode(),
        "schema_version", "twice"),
    manifest("m_list", "a list for a manifest", [1, 2], "object"),
    manifest("m_version", "a manifest of a later version", document(schema_version=2),
             "schema_version"),
    manifest("m_type", "a text for the selections", document(selections="EURUSD"), "selections"),
    manifest("m_missing_key", "no selections", {k: v for k, v in document().items()
                                                if k != "selections"}, "selections"),
    manifest("m_control", "a symbol that clears the screen",
             document(selections={"EUR\x1b[2J": NONE_CHOSEN}), "EUR"),
]  # fmt: skip
CASES = [*SETTINGS, *MANIFESTS]
