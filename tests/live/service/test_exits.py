"""The exits that are served, asked by the rung of the ladder that asks for them."""

import hashlib

import numpy as np
import pytest

from exits.exit_model import save_exit_model
from exits.exit_model_file import DESCRIPTION
from exits.feature_table import SCHEMA_DIGEST
from exits.ladder import CannotAnswer, Ladder, TableDefaults
from exits.remote_service import RemoteService
from live.service.loaded import load_exits
from tests.exits.exit_models import model, rows
from tests.exits.test_ladder import asked
from tests.live.service.served import served
from tests.servers import until

MODEL = model()
TIME_S = 30.0


def question(x_KF, atr_K):
    return {"schema_digest": SCHEMA_DIGEST, "features": x_KF.tolist(), "atr": atr_K.tolist()}


@pytest.mark.parametrize("n_rows", [1, 7, 150])
def test_exits_are_to_the_bit_those_of_the_model_in_this_process(server, n_rows):
    x_KF, atr_K = rows(n_rows), np.geomspace(1e-4, 50.0, n_rows)
    status, answer = server.ask("/v1/exits", question(x_KF, atr_K))
    assert (status, answer["model_digest"]) == (200, MODEL.digest)
    assert np.array(answer["parameters"]).tobytes() == MODEL.decide(x_KF, atr_K).tobytes()


def test_the_ladder_is_answered_by_the_service_as_by_the_model_itself(server):
    remote = RemoteService(f"{server.url}/v1/exits", api_key="secret", timeout_s=TIME_S)
    askings = asked(12)
    decided = Ladder([remote, TableDefaults()]).decide(askings)
    remote.close()
    expected_KP = MODEL.decide(
        np.array([one.state_F for one in askings]), np.array([one.atr for one in askings])
    )
    assert decided.sources == ("remote_service",) * 12
    assert decided.values_KP.tobytes() == expected_KP.tobytes()
    assert remote.model_digest == MODEL.digest


def test_with_a_wrong_key_the_ladder_falls_to_the_next_rung(server):
    remote = RemoteService(f"{server.url}/v1/exits", api_key="wrong", timeout_s=TIME_S)
    with pytest.raises(CannotAnswer, match="status 401"):
        remote.answer(asked(1))
    assert Ladder([remote, TableDefaults()]).decide(asked(1)).sources == ("defaults",)
    remote.close()


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"schema_digest": "0" * 64}, 409, "schema_digest"),
        ({"schema_digest": 7}, 422, "schema_digest"),
        ({"atr": [0.0]}, 422, "atr.0"),
        ({"atr": [1.0, 1.0]}, 409, "atr"),
        ({"atr": [1e308]}, 409, "atr.0"),
        ({"features": [[1.0] * 207]}, 422, "features.0"),
        ({"features": [["1"] * 208]}, 422, "features.0.0"),
        ({"features": []}, 422, "features"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_what_cannot_be_decided_is_refused_by_the_field(server, changed, status, field):
    asking = question(rows(1), np.ones(1)) | changed
    found, answer = server.ask("/v1/exits", asking)
    assert (found, answer["field"]) == (status, field)


def test_without_an_exit_model_the_path_says_how_to_get_one(councils):
    with served(councils / "manifest.json") as server:
        status, answer = server.ready().ask("/v1/exits", question(rows(1), np.ones(1)))
    assert status == 404
    assert "exit_model=FOLDER" in answer["detail"]


def test_a_new_exit_model_takes_over_and_a_broken_one_does_not(councils, tmp_path):
    folder = tmp_path / "exits"
    save_exit_model(folder, MODEL)
    asking = question(rows(1), np.ones(1))
    with served(councils / "manifest.json", f"exit_model={folder}") as server:
        server.ready()
        save_exit_model(folder, model(3))
        digest = model(3).digest
        until(
            lambda: server.ask("/v1/exits", asking)[1]["model_digest"] == digest,
            "the new model",
        )
        save_exit_model(folder, model(4, hindsight=True))
        until(lambda: any("hindsight" in line for line in server.lines), "the refusal")
        assert server.ask("/v1/exits", asking)[1]["model_digest"] == digest
        assert server.http.get("/ready").status_code == 200


def test_what_is_loaded_names_the_file_that_it_is_of(exit_model):
    loaded = load_exits(exit_model)
    assert loaded.model.digest == MODEL.digest
    described = (exit_model / DESCRIPTION).read_bytes()
    assert loaded.digest == hashlib.sha256(described).hexdigest()
