"""The OpenAPI page, made from the forms that requests are checked with and what is loaded now.

What a manifest decides (its symbols, how many features a row has) stands in it: the page is that of
the manifest that is served, and changes with it.
"""

from copy import deepcopy
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_json

from exits.feature_table import SCHEMA_DIGEST
from live.service.answer_forms import (
    Alive,
    EntriesAnswer,
    EntryAnswer,
    ExitsAnswer,
    ModelsAnswer,
    ProblemDocument,
    Ready,
)
from live.service.loaded import LoadedManifest
from live.service.problems import MEDIA_TYPE
from live.service.questions import (
    FORMS,
    MOST_SYMBOLS,
    N_EXIT_FEATURES,
    EntryBars,
    EntryRows,
    ExitsQuestion,
    NamedEntryRows,
)

TITLE: Final = "Assay's predictions"
_REFERENCE: Final = "#/components/schemas/{model}"
_KEY: Final = "key"
_SAID: Final = {
    400: "No JSON, or a key twice, NaN, Infinity, too deep.",
    401: "The key is missing or wrong.",
    404: "No such symbol; or no exit model is served.",
    408: "The body did not arrive in time.",
    409: "Well-formed, but not for what is deployed.",
    413: "The body is too large.",
    415: "Not application/json in UTF-8.",
    421: "Asked for another machine.",
    422: "Not as this page says.",
    503: "Nothing is loaded yet, too many wait, or the service is ending: ask again.",
}
_ASKED: Final = tuple(_SAID)


def _version() -> str:
    try:
        return version("assay")
    except PackageNotFoundError:
        return "unknown"


VERSION: Final = _version()


class Pages:
    """The page as bytes, made once for each manifest that is served and once for none.

    Parameters
    ----------
    asks_key : bool
        Without a key nothing in the page speaks of one.
    """

    def __init__(self, *, asks_key: bool) -> None:
        self._asks_key = asks_key
        self._of_none = to_json(page(None, asks_key=asks_key))
        self._last = ("", b"")

    def page(self, loaded: LoadedManifest | None) -> bytes:
        """Return the page of a manifest; of none, what holds whatever is served."""
        if loaded is None:
            return self._of_none
        if self._last[0] != loaded.digest:
            self._last = loaded.digest, to_json(page(loaded, asks_key=self._asks_key))
        return self._last[1]


def page(loaded: LoadedManifest | None, *, asks_key: bool) -> dict[str, Any]:
    """Return the document; without a key nothing in it speaks of one."""
    found = _page(loaded)
    if not asks_key:
        del found["components"]["securitySchemes"]
        for those in found["paths"].values():
            for operation in those.values():
                operation.pop("security", None)
                operation["responses"].pop("401", None)
    return found


def _page(loaded: LoadedManifest | None) -> dict[str, Any]:
    schemas = _schemas()
    _narrow(schemas, loaded)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": "Entries and exits by the models of one deployment manifest.",
        },
        "paths": {
            "/v1/entries/{symbol}": {"post": _entry(loaded)},
            "/v1/entries": {"post": _entries(loaded)},
            "/v1/exits": {"post": _exits()},
            "/v1/models": {
                "get": _get("models", "What is served", "ModelsAnswer", (401, 421, 503))
            },
            "/health": {"get": _get("health", "Whether the process is alive", "Alive", (421,))},
            "/ready": {"get": _get("ready", "Whether it can answer", "Ready", (421, 503))},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                _KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in (
        *(EntryRows, NamedEntryRows, EntryBars, ExitsQuestion, ProblemDocument),
        *(EntryAnswer, EntriesAnswer, ExitsAnswer, ModelsAnswer, Alive, Ready),
    ):
        schema = TypeAdapter(kind).json_schema(ref_template=_REFERENCE)
        found |= schema.pop("$defs", {})
        found[kind.__name__] = schema
    found["EntryBars"]["properties"]["frames"]["additionalProperties"] = False
    # In a batch what does not fit a symbol's model is said of that symbol: no mistake of form.
    for name in FORMS.values():
        found[f"{name.__name__}InBatch"] = deepcopy(found[name.__name__])
    for suffix in ("", "InBatch"):
        forms = [_REFERENCE.format(model=f"{one.__name__}{suffix}") for one in FORMS.values()]
        found[f"EntryQuestion{suffix}"] = {"oneOf": [{"$ref": one} for one in forms]}
    found["EntriesQuestion"] = {
        "type": "object",
        "required": ["entries"],
        "additionalProperties": False,
        "properties": {
            "entries": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MOST_SYMBOLS,
                "additionalProperties": {"$ref": _REFERENCE.format(model="EntryQuestionInBatch")},
            }
        },
    }
    return found


def _narrow(schemas: dict[str, Any], loaded: LoadedManifest | None) -> None:
    """Say how many features a row has, where all models of the manifest read as many."""
    symbols = [] if loaded is None else list(loaded.symbols.values())
    if len({one.names_F for one in symbols}) != 1 or not symbols[0].names_F:
        return
    names_F = symbols[0].names_F
    directions = {one.direction_f for one in symbols}
    direction_f = directions.pop() if len(directions) == 1 else None
    row = schemas["EntryRows"]["properties"]["features"]["items"]
    row |= {"minItems": len(names_F), "maxItems": len(names_F)}
    named = schemas["NamedEntryRows"]["properties"]["named_features"]["items"]
    named["required"] = list(names_F)
    if direction_f is not None:
        sign = {"enum": [1, -1]}
        row["prefixItems"] = [*[row["items"]] * direction_f, sign]
        named["properties"] = {names_F[direction_f]: sign}
    for kind, place, known in (
        ("EntryRows", "context", row),
        ("NamedEntryRows", "named_context", named),
    ):
        some = schemas[kind]["properties"][place]["anyOf"]
        for one in some:
            if "items" in one:
                kept = {"prefixItems", "properties"}
                one["items"] |= {key: value for key, value in known.items() if key not in kept}


def _entry(loaded: LoadedManifest | None) -> dict[str, Any]:
    symbol: dict[str, Any] = {"type": "string"}
    if loaded is not None:
        symbol["enum"] = list(loaded.symbols)
    return {
        **_operation("entries", "What to do, and how sure the model is", "EntryAnswer"),
        "parameters": [{"name": "symbol", "in": "path", "required": True, "schema": symbol}],
        "requestBody": _body("EntryQuestion", _examples(loaded)),
    }


def _entries(loaded: LoadedManifest | None) -> dict[str, Any]:
    examples = {
        name: {"value": {"entries": {symbol: one["value"]}}}
        for name, one in _examples(loaded).items()
        for symbol in [_first(loaded)]
    }
    return {
        **_operation("entries_batch", "The same for several symbols", "EntriesAnswer"),
        "requestBody": _body("EntriesQuestion", examples),
    }


def _exits() -> dict[str, Any]:
    row = [0.0] * N_EXIT_FEATURES
    example = {"schema_digest": SCHEMA_DIGEST, "features": [row], "atr": [0.001]}
    return {
        **_operation("exits", "The 132 exit parameters of each decision", "ExitsAnswer"),
        "requestBody": _body("ExitsQuestion", {"zeros": {"value": example}}),
    }


def _first(loaded: LoadedManifest | None) -> str:
    names = [] if loaded is None else [one.name for one in loaded.symbols.values() if one.model]
    return names[0] if names else "EURUSD"


def _examples(loaded: LoadedManifest | None) -> dict[str, Any]:
    symbol = None if loaded is None else loaded.symbols.get(_first(loaded))
    if symbol is None or not symbol.names_F:
        return {}
    row = [1.0 if f == symbol.direction_f else 0.0 for f in range(len(symbol.names_F))]
    extra: dict[str, Any] = {} if symbol.direction_f is not None else {"directions": [1]}
    before: list[list[float]] = [row] * symbol.lookback_rows
    context = {"context": before} if before else {}
    named = dict(zip(symbol.names_F, row, strict=True))
    named_context = {"named_context": [named] * len(before)} if before else {}
    return {
        "rows": {"value": {"features": [row], **context, **extra}},
        "named": {"value": {"named_features": [named], **named_context, **extra}},
    }


def _operation(name: str, summary: str, answer: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "security": [{_KEY: []}],
        "responses": _responses(answer, _ASKED),
    }


def _get(name: str, summary: str, answer: str, refusals: tuple[int, ...]) -> dict[str, Any]:
    security: dict[str, Any] = {"security": [{_KEY: []}]} if 401 in refusals else {}
    return {
        "operationId": name,
        "summary": summary,
        **security,
        "responses": _responses(answer, refusals),
    }


def _metrics() -> dict[str, Any]:
    found = _get("metrics", "Counters, for Prometheus", "Alive", (401, 421))
    found["responses"]["200"] = {
        "description": "Text that Prometheus reads.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    return found


def _body(model: str, examples: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=model)}}
    if examples:
        content["examples"] = examples
    return {"required": True, "content": {"application/json": content}}


def _responses(answer: str, refusals: tuple[int, ...]) -> dict[str, Any]:
    problem = {"$ref": _REFERENCE.format(model="ProblemDocument")}
    found: dict[str, Any] = {
        "200": {
            "description": "The answer.",
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=answer)}}},
        }
    }
    for status in refusals:
        found[str(status)] = {
            "description": _SAID[status],
            "content": {MEDIA_TYPE: {"schema": problem}},
        }
    return found
