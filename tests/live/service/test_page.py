"""The OpenAPI page holds what it says: schemathesis asks, by it, for all that it can think of."""

from dataclasses import replace

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode

from live.service import openapi
from live.service.loaded import load_manifest

EXAMPLES = 8
KEY = {"X-API-Key": "secret"}


@pytest.fixture(scope="module")
def page(server):
    found = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=KEY)
    found.config.generation.update(modes=list(GenerationMode))
    # Too many rows may be too many bytes before they are counted.
    refusals = found.config.checks.negative_data_rejection.expected_statuses
    found.config.checks.negative_data_rejection.expected_statuses = [*refusals, "413"]
    return found


OPERATIONS = [
    ("/v1/entries/{symbol}", "POST"),
    ("/v1/entries", "POST"),
    ("/v1/exits", "POST"),
    ("/v1/models", "GET"),
    ("/health", "GET"),
    ("/ready", "GET"),
    ("/metrics", "GET"),
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_the_page_allows_is_answered_and_all_else_refused(page, path, method, mode):
    operation = page[path][method]

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def asked(case):
        case.call_and_validate(headers=KEY)

    try:
        asked()
    except hypothesis.errors.Unsatisfiable:
        # Nothing can be wrong where nothing is sent.
        assert method == "GET"


def test_the_examples_of_the_page_are_answered(server):
    found = server.http.get("/openapi.json").json()
    for path, method in OPERATIONS[:3]:
        content = found["paths"][path][method.lower()]["requestBody"]["content"]
        for example in content["application/json"]["examples"].values():
            where = path.format(symbol="EURUSD")
            assert server.ask(where, example["value"])[0] == 200


def test_the_page_speaks_of_the_symbols_and_features_that_are_served(server):
    found = server.http.get("/openapi.json").json()
    symbol = found["paths"]["/v1/entries/{symbol}"]["post"]["parameters"][0]["schema"]
    row = found["components"]["schemas"]["EntryRows"]["properties"]["features"]["items"]
    assert symbol["enum"] == ["EURUSD", "GBPUSD"]
    assert row["minItems"] == row["maxItems"] == 57
    assert row["prefixItems"][46] == {"enum": [1, -1]}
    assert server.http.get("/docs").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}])
def test_without_the_key_the_page_names_no_symbol_and_no_feature(server, headers):
    found = httpx.get(f"{server.url}/openapi.json", headers=headers)
    assert found.json()["paths"].keys() >= {path for path, _ in OPERATIONS}
    assert "EURUSD" not in found.text
    assert "TBM_Entry" not in found.text


def test_the_page_is_made_once_for_each_manifest(monkeypatch, councils):
    loaded, made = load_manifest(councils / "manifest.json"), []
    monkeypatch.setattr(openapi, "page", lambda one, **_: made.append(one) or {"n": len(made)})
    pages = openapi.Pages(asks_key=True)
    other = replace(loaded, digest="other")
    found = [pages.page(one) for one in (loaded, loaded, None, other, None, other, loaded)]
    assert made == [None, loaded, other, loaded]
    assert found[0] == found[1] != found[3] == found[5]
    assert found[2] == found[4]
