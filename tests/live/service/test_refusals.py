"""Whatever is sent, the answer is one clear refusal that names the field, and never a fault."""

import http.client
import json
import socket

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live.service.body import document_of
from live.service.problems import Problem
from live.service.questions import entry_question, frame_name, frame_seconds
from selection.strict_json import strict_json
from tests.live.service.served import frame, market

PATH = "/v1/entries/EURUSD"
JSON = {"Content-Type": "application/json"}
KEYS = {"type", "title", "status", "detail", "field"}


def sent(server, content, path=PATH, **headers):
    given_headers = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return server.http.post(path, content=content, headers=given_headers)


def refused(answer):
    """Return status and field of a refusal, which has the one form that all have."""
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(document) == KEYS
    assert document["status"] == answer.status_code
    assert "\n" not in document["detail"]
    return answer.status_code, document["field"], document["detail"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"features": [[NaN]]}', "is not JSON"),
        (b'{"features": [[-Infinity]]}', "is not JSON"),
        (b'{"features": [[1]], "features": [[2]]}', "the key features twice"),
        (b'{"frames": {"1h": {"time": [1]}, "1h": {"time": [2]}}}', "the key 1h twice"),
        (b'{"named_features": [{"a": 1, "a": 2}]}', "the key a twice"),
        (b'[1, {"a:": 1, "a:": 2}]', "twice"),
        (b"[" * 50_000, "recursion"),
        (b'{"a":' * 500, "recursion"),
    ],
)
def test_what_is_no_json_is_a_400(server, content, said):
    status, field, detail = refused(sent(server, content))
    assert (status, field) == (400, None)
    assert said in detail


ROW = [1.0] * 57


@pytest.mark.parametrize("given", [{"features": [ROW[:56]]}, {"features": [[0.0] * 57]}])
def test_rows_that_no_model_could_read_are_refused_of_a_symbol_without_one_too(server, given):
    assert refused(server.http.post("/v1/entries/GBPUSD", json=given))[0] == 409
    fine = server.http.post("/v1/entries/GBPUSD", json={"features": [ROW]})
    assert fine.json()["signals"][0]["action"] == "HOLD"


@pytest.mark.parametrize(
    ("document", "status", "field", "said"),
    [
        ([], 422, None, "expected an object"),
        ({}, 422, None, "exactly one of features, named_features, frames"),
        ({"features": [ROW], "frames": {}}, 422, None, "exactly one"),
        ({"features": [ROW], "colour": 1}, 422, "colour", "unknown key"),
        ({"features": [ROW, [*ROW[:56], "1.0"]]}, 422, "features.1.56", "number, was '1.0'"),
        ({"features": [[*ROW[:56], True]]}, 422, "features.0.56", "number, was True"),
        ({"features": [[*ROW[:56], None]]}, 422, "features.0.56", "number, was None"),
        ({"features": [ROW[:56]]}, 409, "features.0", "56 features, EURUSD takes 57"),
        ({"features": [[0.0] * 57]}, 409, "features.0.46", "TBM_Entry"),
        ({"features": [ROW] * 1001}, 422, "features", "at most 1000 items"),
        ({"features": [ROW], "directions": [-1]}, 409, "features.0.46", "expected -1"),
        ({"features": [ROW], "directions": [True]}, 422, "directions.0", "1 or -1, was True"),
        ({"features": [ROW], "directions": [1, 1]}, 409, "directions", "one each"),
        ({"named_features": [{"atr": 1.0}]}, 409, "named_features.0", "missing"),
        ({"named_features": [{"atr": "1"}]}, 422, "named_features.0.atr", "number"),
        ({"frames": {}}, 422, "frames", "at least 1 item"),
        ({"frames": {"hour": {}}}, 422, "frames.hour", "pattern"),
        ({"frames": {"1h": {"time": [1]}}}, 422, "frames.1h.open", "is missing"),
    ],
)
def test_what_is_wrong_in_a_question_is_named(server, document, status, field, said):
    found = refused(server.http.post(PATH, json=document))
    assert found[:2] == (status, field)
    assert said in found[2]


def changed_bars(**columns):
    return {"frames": {"1h": frame(market().until(1500)) | columns}}


@pytest.mark.parametrize(
    ("document", "status", "field"),
    [
        ({"frames": {"5m": frame(market().until(1500))}}, 409, "frames.1h"),
        ({"frames": {"1h": frame(market().until(20))}}, 409, "frames.1h"),
        (changed_bars(time=[3600 * k for k in range(1500, 0, -1)]), 422, "frames.1h.time.1"),
        (changed_bars(open=[1.0] * 1499), 422, "frames.1h.open"),
        (changed_bars(low=[0.0] * 1500), 422, "frames.1h.low.0"),
        (changed_bars(open=[5e-324] * 1500), 422, "frames.1h.open.0"),
        (changed_bars(high=[1e101] * 1500), 422, "frames.1h.high.0"),
        (changed_bars(volume=[1e101] * 1500), 422, "frames.1h.volume.0"),
        (changed_bars(high=[0.001] * 1500), 409, "frames.1h"),
        (changed_bars(time=["2020"] * 1500), 422, "frames.1h.time.0"),
        ({"frames": {name: frame(market().until(1500)) for name in ("1h", "60m")}}, 409, "frames"),
    ],
)
def test_bars_that_cannot_be_used_are_named(server, document, status, field):
    assert refused(server.http.post(PATH, json=document))[:2] == (status, field)


def test_a_price_that_is_none_is_told_what_one_may_be(server):
    answer = server.http.post(PATH, json=changed_bars(low=[1e-300] * 1500))
    assert refused(answer)[2] == "input should be at least 1e-100, was 1e-300"


def in_steps(*seconds):
    return (1_200_000_000 + np.cumsum(np.repeat(seconds, 1500 // len(seconds)))).tolist()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed_bars() | {"now": 1_265_000_000}, "is in the future"),
        (changed_bars(time=in_steps(300)), "bars come every 5min; bars are not resampled"),
        (changed_bars(time=in_steps(3600, 3600, 1800)), "more than one length"),
        (changed_bars(high=[0.5] * 1500, low=[2.0] * 1500), "give them the other way round"),
        (changed_bars(high=[9.0] * 1499 + [0.5]), "1 of 1,500 rows are bad: mend them"),
    ],
)
def test_bars_are_refused_without_a_word_of_settings_that_the_asker_has_not(server, document, said):
    status, field, detail = refused(server.http.post(PATH, json=document))
    assert (status, field) == (409, "frames.1h")
    assert said in detail
    assert "data." not in detail


def test_an_unknown_symbol_is_told_its_nearest(server):
    status, _, detail = refused(server.http.post("/v1/entries/eurusd", json={"features": [ROW]}))
    assert status == 404
    assert "did you mean EURUSD?" in detail


def test_other_paths_and_methods_are_refused_in_the_same_form(server):
    assert refused(server.http.get("/v1/nothing"))[0] == 404
    assert refused(server.http.post("/v1/exits/", json={}))[0] == 404
    answer = server.http.put("/v1/exits")
    assert refused(answer)[0] == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json; charset=latin-1"])
def test_another_content_than_json_is_a_415(server, kind):
    assert refused(sent(server, b"{}", Content_Type=kind))[:2] == (415, "Content-Type")


def test_a_compressed_body_is_a_415(server):
    answer = sent(server, b"{}", Content_Encoding="gzip")
    assert refused(answer)[:2] == (415, "Content-Encoding")


@pytest.mark.parametrize("key", [None, "", "wrong", "secret1", "secre", "\xe9"])
def test_without_the_key_nothing_is_answered_but_health(server, key):
    headers = {} if key is None else {"X-API-Key": key.encode("latin-1")}
    for path in ("/v1/models", "/metrics"):
        answer = httpx.get(server.url + path, headers=headers)
        assert refused(answer)[:2] == (401, "X-API-Key")
    assert httpx.get(server.url + "/health").json() == {"status": "alive"}
    assert httpx.get(server.url + "/ready").status_code == 200


def test_a_body_that_is_too_large_is_refused_while_it_arrives(server):
    def chunks():
        for _ in range(40):
            yield b" " * 100_000

    whole = sent(server, b" " * 2_000_001)
    chunked = sent(server, chunks())
    assert refused(whole)[0] == refused(chunked)[0] == 413
    assert sent(server, b" " * 1_999_990 + b"{}").status_code == 422


def raw(server, lines, body=b""):
    """Send bytes as they are; return the status of what comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        head = [f"POST {PATH} HTTP/1.1", "Host: x", "X-API-Key: secret", *lines]
        line.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return answer.status


def test_a_body_that_is_shorter_than_it_says_is_given_up_on(server):
    lines = ["Content-Type: application/json", "Content-Length: 100"]
    assert raw(server, lines, b"{}") == 408


def test_a_length_that_lies_is_no_way_past_the_limit(server):
    kind = "Content-Type: application/json"
    assert raw(server, [kind, "Content-Length: 99999999999", "Expect: 100-continue"]) in (408, 413)
    assert raw(server, [kind, "Content-Length: -5"]) == 400
    assert raw(server, [kind, "Content-Length: 2", "Content-Length: 3"], b"{}") == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(json_values)
def test_the_quick_reader_takes_and_refuses_what_the_strict_one_does(document):
    content = json.dumps(document).encode()
    try:
        expected = strict_json(content)
    except ValueError:
        with pytest.raises(Problem):
            document_of(content)
    else:
        assert repr(document_of(content)) == repr(expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("features", "context", "frames", "now"), json_values)
    )
)
def test_a_question_of_any_form_is_taken_or_refused_and_never_a_fault(document):
    found = None
    try:
        entry_question(document)
    except Problem as problem:
        found = problem
    assert found is None or (found.status == 422 and "\n" not in found.detail)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_arrives_to_the_bit(number):
    found = document_of(json.dumps([number]).encode())[0]
    assert (found, str(found)) == (number, str(number))


@pytest.mark.parametrize(("name", "seconds"), [("5m", 300), ("60m", 3600), ("4h", 14400)])
def test_a_frame_is_known_by_its_length(name, seconds):
    assert frame_seconds(name) == seconds
    assert frame_seconds(frame_name(seconds)) == seconds
