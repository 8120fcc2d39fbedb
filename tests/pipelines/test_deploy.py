import copy
import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from pipelines.command import ConfigError
from pipelines.deploy import deploy
from pipelines.deploy_settings import Order, split_arguments
from tests.pipelines.conftest import (
    LENIENT,
    ONE_FOREST,
    TINY,
    _composed,
    command,
    composed,
    environment,
    trained,
)
from tests.pipelines.test_help import HEAVY, LISTS_IMPORTS
from tests.selection.keys import write_pair

FEW = (*TINY, *LENIENT, *ONE_FOREST, "~models.council", "data.n_bars=2500")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A private key; the public one lies beside it."""
    pytest.importorskip("model_signing")
    return write_pair(tmp_path_factory.mktemp("keys"), "signing")


@pytest.fixture(scope="module")
def runs(key, tmp_path_factory):
    """Two runs, tracked in one store and signed: their manifests, and the store's address."""
    folder = tmp_path_factory.mktemp("runs")
    store = f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db"
    signed = ("manifest.sign=true", f"manifest.signing_key={key}")
    made = [
        trained(
            folder / name, *FEW, "tracking=sqlite", store, "tracking.figures=false", *signed, seed
        )
        for name, seed in (("one", "seed=7"), ("two", "seed=8"))
    ]
    return [one.folder / "deploy" / "manifest.json" for one in made], store


@pytest.fixture
def ask(tmp_path, capsys):
    """Run a command of deploy in this process; return exit code, JSON document and errors."""

    def run(name, *words, overrides=()):
        output = tmp_path / "said.json"
        places = (f"manifest={tmp_path}/live/deployment_manifest.json", f"output={output}")
        conf = copy.deepcopy(_composed("deploy", ("tracking=none", *places, *overrides)))
        code = deploy(conf, Order(name, tuple(map(str, words))))
        said = json.loads(output.read_text()) if output.exists() else None
        output.unlink(missing_ok=True)
        return code, said, capsys.readouterr().err

    return run


def champions(store):
    from mlflow import MlflowClient

    client = MlflowClient(store.partition("=")[2])
    return {one.name: str(one.aliases["champion"]) for one in client.search_registered_models()}


def versions(path):
    selections = json.loads(path.read_text())["selections"]
    return {symbol: str(one["model_version"]) for symbol, one in selections.items()}


def test_promoting_and_going_back_move_the_registrys_alias_along(runs, ask):
    (one, two), store = runs
    tracked = ("tracking=sqlite", store)
    assert versions(one) != versions(two) == champions(store)
    for words, more in (
        (("promote", one), ("reason='as it was'",)),
        (("promote", two), ()),
        (("rollback",), ("reason=worse",)),
    ):
        code, said, err = ask(*words, overrides=(*tracked, *more))
        assert (code, err) == (0, "")
        assert said["champions"] == champions(store)
    assert said["champions"] == versions(one)
    deployments = ask("history")[1]["deployments"]
    assert [one["action"] for one in deployments] == ["promote", "promote", "rollback"]
    assert [one["reason"] for one in deployments][::2] == ["as it was", "worse"]


def test_the_key_is_asked_for_at_every_step(runs, ask, key, tmp_path):
    (one, two), _ = runs
    mine = (f"public_key={key.with_suffix('.pub')}",)
    other = (f"public_key={write_pair(tmp_path, 'other').with_suffix('.pub')}",)
    for source in (one, two):
        code, _, err = ask("promote", source, overrides=other)
        assert (code, err.count("\n")) == (1, 1)
        assert "its signature is not by the owner of" in err
        assert ask("promote", source, overrides=mine)[0] == 0
    assert ask("rollback", overrides=other)[0] == 1
    assert ask("rollback", overrides=mine)[0] == 0
    code, said, _ = ask("verify", overrides=mine)
    assert (code, said["signed_by"]) == (0, mine[0].partition("=")[2])
    assert ask("verify", overrides=other)[:2] == (1, None)


def test_verifying_tells_every_symbol_and_the_exit_code_how_many_failed(runs, ask, tmp_path):
    ask("promote", runs[0][0])
    spoilt = sorted((tmp_path / "live" / "artifacts").rglob("*.safetensors"))
    for n_refused, code in ((1, 3), (2, 1)):
        spoilt[n_refused - 1].write_bytes(b"x")
        found, said, err = ask("verify")
        assert found == code
        assert err.count("\n") == n_refused
        verified = [one["verified"] for one in said["symbols"].values()]
        assert verified.count(False) == n_refused
    (tmp_path / "live" / "deployment_manifest.json").write_text("{")
    assert ask("verify")[0] == 1


def test_going_back_to_damaged_predictions_is_done_with_a_warning_on_them(runs, ask, tmp_path):
    one, two = runs[0]
    ask("promote", one)
    ask("promote", two)
    place = json.loads(one.read_text())["selections"]["EURUSD"]["predictions"]["path"]
    (tmp_path / "live" / place).write_bytes(b"x")
    code, said, err = ask("rollback")
    assert (code, said["sha256"]) == (0, hashlib.sha256(one.read_bytes()).hexdigest())
    assert said["notes"][0].startswith(f"EURUSD: {place} has 1 bytes")
    assert "trading live does not need it" in " ".join(err.split())


def test_a_difference_is_shown_between_any_two(runs, ask):
    (one, two), _ = runs
    ask("promote", one)
    ask("promote", two)
    code, said, _ = ask("diff")
    assert code == 0
    assert set(said["symbols"]) == {"EURUSD", "GBPUSD"}
    assert "artifacts" in said["symbols"]["EURUSD"]
    assert ask("diff", "live", two)[1]["symbols"] == {}
    back = ask("diff", "live", one)[1]["symbols"]["EURUSD"]["artifacts"]
    assert back == said["symbols"]["EURUSD"]["artifacts"][::-1]


def test_versions_that_nobody_registered_leave_the_alias_and_say_so(runs, ask, tmp_path):
    (one, _), store = runs
    shutil.copytree(one.parent, tmp_path / "staging")
    manifest = json.loads(one.read_text())
    for selection in manifest["selections"].values():
        selection["model_version"] = None
    (tmp_path / "staging" / "manifest.json").write_text(json.dumps(manifest))
    before = champions(store)
    code, said, err = ask(
        "promote", tmp_path / "staging" / "manifest.json", overrides=("tracking=sqlite", store)
    )
    assert (code, said["champions"], champions(store)) == (3, {}, before)
    assert err.startswith("the manifest names no registered version of EURUSD, GBPUSD")
    assert "could not follow" in err


def test_where_there_never_was_a_registry_going_back_is_done_without_a_word_on_it(
    runs, ask, tmp_path
):
    made, store = runs
    for n, one in enumerate(made):
        staging = tmp_path / f"staging{n}"
        shutil.copytree(one.parent, staging)
        manifest = json.loads(one.read_text())
        for selection in manifest["selections"].values():
            selection["model_version"] = None
        (staging / "manifest.json").write_text(json.dumps(manifest))
        assert ask("promote", staging / "manifest.json")[0] == 0
    code, said, err = ask("rollback", overrides=("tracking=sqlite", store))
    assert (code, said["champions"], said["notes"], err) == (0, {}, [], "")


def test_a_long_reason_is_cut_with_a_sign(runs, ask, tmp_path, capsys):
    (one, _), _ = runs
    ask("promote", one, overrides=(f"reason={'because ' * 30}x",))
    live = tmp_path / "live" / "deployment_manifest.json"
    conf = _composed("deploy", ("tracking=none", f"manifest={live}"))
    deploy(copy.deepcopy(conf), Order("history", ()))
    assert "…" in capsys.readouterr().out


def test_the_alias_of_a_symbol_without_a_model_stays_and_is_named(runs, ask, tmp_path):
    (one, _), store = runs
    tracked = ("tracking=sqlite", store)
    shutil.copytree(one.parent, tmp_path / "staging")
    manifest = json.loads(one.read_text())
    del manifest["selections"]["GBPUSD"]
    manifest["summary"] |= {"total_symbols": 1, "models_selected": 1}
    (tmp_path / "staging" / "manifest.json").write_text(json.dumps(manifest))
    assert ask("promote", one, overrides=tracked)[::2] == (0, "")
    before = champions(store)
    code, said, err = ask("promote", tmp_path / "staging" / "manifest.json", overrides=tracked)
    assert (code, list(said["champions"]), champions(store)) == (0, ["EURUSD"], before)
    assert err.startswith("the manifest has no model of GBPUSD: the registry's alias stays")


def test_what_is_refused_is_one_line_and_changes_nothing(runs, ask, tmp_path):
    live = tmp_path / "live" / "deployment_manifest.json"
    for words, finding in (
        (("promote", tmp_path / "none.json"), "no such manifest"),
        (("promote", tmp_path), "is a folder; give the path of a manifest"),
    ):
        code, said, err = ask(*words)
        assert (code, said, err.count("\n")) == (1, None, 1)
        assert finding in err
    for name in ("verify", "rollback", "diff"):
        with pytest.raises(ConfigError, match=r"^manifest: .*: no such manifest; train first"):
            ask(name)
    assert ask("history")[1] == {"live_sha256": None, "deployments": []}
    assert not live.parent.exists()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("public_key=nowhere.pub",), "public_key: nowhere.pub: no such file"),
        (("format=xml",), "format must be one of table, json, was 'xml'"),
        (("+reson=x",), "reson: unknown key, did you mean reason?"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told_in_one_line(ask, overrides, sentence):
    with pytest.raises(ConfigError) as refused:
        ask("history", overrides=overrides)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("arguments", "order", "keys"),
    [
        (["verify", "--public-key", "a b.pub"], Order("verify", (), "a b.pub"), []),
        (["verify", "--public-key=x"], Order("verify", (), "x"), []),
        (["promote", "a.json", "reason=x"], Order("promote", ("a.json",)), ["reason=x"]),
        (["promote", "reason=x", "a.json"], Order("promote", ("a.json",)), ["reason=x"]),
        (["rollback"], Order("rollback"), []),
        (["diff", "a", "b", "~tracking"], Order("diff", ("a", "b")), ["~tracking"]),
        (["verify", "--cfg", "job"], Order(), ["--cfg", "job"]),
    ],
)
def test_words_come_before_keys(arguments, order, keys):
    assert split_arguments(arguments) == (order, keys)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "expected verify, promote FROM, rollback [TO], diff [A [B]] or history"),
        (["rolback"], "rolback: no such command, did you mean rollback?"),
        (["promote"], "promote: expected verify, promote FROM, "),
        (["history", "x"], "history x: expected verify, "),
        (["verify", "--public-key"], "--public-key: expected the path of a key after it"),
    ],
)
def test_words_that_are_no_command_end_with_code_2(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        split_arguments(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"configuration error: {sentence}")
    assert said.count("\n") == 1


def test_a_process_of_its_own_shows_tables(runs, tmp_path):
    (one, two), _ = runs
    for words, shown in (
        (("promote", one, "tracking=none", "reason='a\x1b[2J reason'"), "live "),
        (("diff", two, "live"), "artifacts"),
        (("history",), "promote"),
        (("verify",), "verified"),
    ):
        ended = command("deploy", *map(str, words), cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert shown in ended.stdout
        assert "\x1b" not in ended.stdout
    assert command("deploy", "verify", "manifest=none.json", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("asked", [["--help"], ["verify", "--help"], ["--cfg", "job"]])
def test_asking_imports_nothing_heavy(asked, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", LISTS_IMPORTS, "deploy", *asked],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.split()[0] == "0"
    assert not (HEAVY | {"model_signing", "cryptography"}) & set(ended.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_cannot_sign_is_told_before_training(tmp_path):
    from pipelines.settings import train_settings

    for overrides, sentence in (
        (["manifest.sign=true"], "manifest.signing_key is missing: sign=true needs the path of a"),
        (["manifest.sign=true", "manifest.signing_key=x"], "manifest.signing_key: x: no such file"),
        (["manifest.sign=1"], "manifest.sign must be true or false, was 1"),
    ):
        with pytest.raises(ConfigError) as refused:
            train_settings(composed(*overrides))
        assert str(refused.value).startswith(sentence)
