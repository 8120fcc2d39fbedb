"""The web application: who may ask, what is asked, who answers it, and in which thread."""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from live.alerts import Alert, Alerts
from live.service.body import document_of, read_body
from live.service.entries import entry_answer
from live.service.exit_answers import exits_answer
from live.service.limits import Limits, is_loopback
from live.service.loaded import LoadedExits, LoadedManifest
from live.service.metrics import MEDIA_TYPE, Metrics
from live.service.openapi import TITLE, VERSION, Pages
from live.service.problems import Problem, not_now
from live.service.questions import (
    EntryBars,
    EntryQuestion,
    EntryRows,
    ExitsQuestion,
    entry_question,
    entry_questions,
    exits_question,
)
from live.service.watching import Watched
from market.reading.safe_names import clipped

WITHOUT_MODEL: Final = "symbol_without_model"
_PAGE: Final = "/openapi.json"
# What is longer is read, and more rows are answered, in a thread: others need not wait for it.
_INLINE_BYTES: Final = 16 * 2**10
_INLINE_ROWS: Final = 32

logger = logging.getLogger(__name__)
Answering = Callable[[Request], Awaitable[Response]]


class Service:
    """Answers requests with the manifest and the exit model that are watched.

    Parameters
    ----------
    manifest : Watched
    exits : Watched or None
        None serves no exits.
    metrics : Metrics
    alerts : Alerts
        Closed when the service ends.
    api_key : str or None
        Asked for in ``X-API-Key``; None answers everybody, who must then ask for this machine by
        one of its own names: no page of a browser can pass for it.
    limits : Limits
    """

    def __init__(
        self,
        *,
        manifest: Watched[LoadedManifest],
        exits: Watched[LoadedExits] | None,
        metrics: Metrics,
        alerts: Alerts,
        api_key: str | None,
        limits: Limits,
    ) -> None:
        self.manifest, self.exits = manifest, exits
        self._metrics, self._alerts, self._limits = metrics, alerts, limits
        self._api_key = None if api_key is None else api_key.encode()
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="answers")
        self._waiting = 0
        self._pages = Pages(asks_key=api_key is not None)

    def app(self) -> FastAPI:
        """Return the application."""
        posts = {
            "/v1/entries/{symbol}": ("entries", self._entry),
            "/v1/entries": ("entries_batch", self._entries),
            "/v1/exits": ("exits", self._exits),
        }
        gets = {
            "/v1/models": ("models", self._models),
            "/health": ("health", self._health),
            "/ready": ("ready", self._ready),
            "/metrics": ("metrics", self._page_of_metrics),
            _PAGE: ("page", self._page),
            "/docs": ("docs", self._page_drawn),
        }
        routes = [
            _route(path, method, self._guarded(name, answer))
            for method, those in (("POST", posts), ("GET", gets))
            for path, (name, answer) in those.items()
        ]
        app = FastAPI(
            title=TITLE,
            version=VERSION,
            routes=routes,
            openapi_url=None,
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        app.add_exception_handler(HTTPException, _unknown)
        return app

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        watched = [one for one in (self.manifest, self.exits) if one is not None]
        with ThreadPoolExecutor(1, thread_name_prefix="loads") as loading:
            tasks = [asyncio.create_task(self._watch(one, loading)) for one in watched]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        # Elsewhere: what was given up on is still to be told so.
        ending = partial(self._threads.shutdown, cancel_futures=True)
        await asyncio.to_thread(ending)
        self._alerts.close()

    async def _watch(self, watched: Watched[Any], loading: ThreadPoolExecutor) -> None:
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(loading, watched.look)
            # The one boundary: whoever stopped to look would serve the same for ever, unnoticed.
            except Exception:
                logger.exception("looking for a new %s failed", watched.name)
            await asyncio.sleep(self._limits.poll_s)

    def _guarded(self, operation: str, answer: Answering) -> Answering:
        """Return what answers with a response whatever happens, and counts it."""
        open_to_all = operation in ("health", "ready", "page", "docs")

        async def answered(request: Request) -> Response:
            began_s = time.perf_counter()
            try:
                self._check_sender(request, open_to_all=open_to_all)
                response = await answer(request)
            except Problem as problem:
                response = problem.response()
            # Asked to end, uvicorn cancels what has not been answered within its time.
            except asyncio.CancelledError:
                response = not_now("the service is ending").response()
            except ClientDisconnect:
                response = Problem(400, "the sender has left").response()
            # The one boundary: a mistake of ours costs one request, not the service.
            except Exception:
                logger.exception("%s failed", operation)
                response = _our_mistake().response()
            self._metrics.answered(operation, response.status_code, time.perf_counter() - began_s)
            return response

        return answered

    def _check_sender(self, request: Request, *, open_to_all: bool) -> None:
        headers = request.headers
        if self._api_key is None:
            if not _is_local(headers.get("host", "")):
                raise Problem(421, "ask for this machine by its loopback address", field="Host")
        elif not open_to_all and not self._has_key(request):
            raise Problem(
                401,
                "the key is missing or wrong",
                field="X-API-Key",
                headers={"WWW-Authenticate": "ApiKey"},
            )

    def _has_key(self, request: Request) -> bool:
        if self._api_key is None:
            return True
        given = request.headers.get("x-api-key", "").encode("latin-1", "replace")
        return hmac.compare_digest(given, self._api_key)

    async def _body(self, request: Request) -> bytes:
        limits = self._limits
        return await read_body(
            request, most_bytes=limits.most_body_bytes, timeout_s=limits.body_timeout_s
        )

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        """Answer in a thread; raises Problem with 503 where too many wait for one."""
        if self._waiting >= self._limits.most_waiting:
            raise not_now(f"{self._waiting} requests wait already")
        self._waiting += 1
        self._metrics.waiting(self._waiting)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
            self._metrics.waiting(self._waiting)

    async def _entry(self, request: Request) -> Response:
        body = await self._body(request)
        loaded, name = self._loaded(), request.path_params["symbol"]
        if len(body) > _INLINE_BYTES:
            work = lambda: self._entry_of(loaded, name, entry_question(document_of(body)))  # noqa: E731
            return _json(await self._in_thread(work))
        question = entry_question(document_of(body))
        if _takes_long(question):
            return _json(await self._in_thread(lambda: self._entry_of(loaded, name, question)))
        return _json(self._entry_of(loaded, name, question))

    def _entry_of(self, loaded: LoadedManifest, name: str, question: Any) -> bytes:
        answer = entry_answer(loaded, name, question)
        self._metrics.signals(name, answer["signals"])
        return to_json(answer)

    async def _entries(self, request: Request) -> Response:
        body = await self._body(request)
        loaded = self._loaded()
        return _json(await self._in_thread(lambda: self._entries_of(loaded, body)))

    def _entries_of(self, loaded: LoadedManifest, body: bytes) -> bytes:
        answers: dict[str, Any] = {}
        for name, question in entry_questions(document_of(body)).items():
            try:
                answers[name] = entry_answer(loaded, name, question)
            except Problem as problem:
                answers[name] = {"problem": problem.under(f"entries.{name}").document()}
            # The one boundary: a mistake of ours costs one symbol, not the others.
            except Exception:
                logger.exception("entries of %s failed", clipped(name))
                answers[name] = {"problem": _our_mistake().under(f"entries.{name}").document()}
            else:
                self._metrics.signals(name, answers[name]["signals"])
        return to_json({"manifest_sha256": loaded.digest, "entries": answers})

    async def _exits(self, request: Request) -> Response:
        body = await self._body(request)
        if self.exits is None:
            raise Problem(404, "no exit model is served: start with exit_model=FOLDER")
        loaded = self.exits.current
        if loaded is None:
            raise not_now(f"no exit model is loaded: {self.exits.refusal or 'it is being opened'}")
        if len(body) > _INLINE_BYTES:
            work = lambda: self._exits_of(loaded, exits_question(document_of(body)))  # noqa: E731
            return _json(await self._in_thread(work))
        question = exits_question(document_of(body))
        if _takes_long(question):
            return _json(await self._in_thread(lambda: self._exits_of(loaded, question)))
        return _json(self._exits_of(loaded, question))

    def _exits_of(self, loaded: LoadedExits, question: ExitsQuestion) -> bytes:
        answer = exits_answer(loaded, question)
        self._metrics.decided(len(question.features))
        return to_json(answer)

    async def _models(self, _: Request) -> Response:
        loaded = self._loaded()
        exits = None if self.exits is None else self.exits.current
        return _json(to_json(_models_answer(loaded, exits)))

    async def _health(self, _: Request) -> Response:
        return _json(b'{"status":"alive"}')

    async def _ready(self, _: Request) -> Response:
        loaded = self._loaded()
        if self.exits is not None and self.exits.current is None:
            raise not_now(f"no exit model is loaded: {self.exits.refusal or 'it is being opened'}")
        return _json(to_json({"status": "ready", "manifest_sha256": loaded.digest}))

    async def _page_of_metrics(self, _: Request) -> Response:
        return Response(self._metrics.page(), headers={"Content-Type": MEDIA_TYPE})

    async def _page(self, request: Request) -> Response:
        return _json(self._pages.page(self.manifest.current if self._has_key(request) else None))

    async def _page_drawn(self, _: Request) -> Response:
        return get_swagger_ui_html(openapi_url=_PAGE, title=TITLE)

    def _loaded(self) -> LoadedManifest:
        loaded = self.manifest.current
        if loaded is None:
            why = self.manifest.refusal or "it is being opened"
            raise not_now(f"no manifest is loaded: {why}")
        return loaded


def _route(path: str, method: str, answer: Answering) -> BaseRoute:
    found = Route(path, answer, methods=[method])
    # Starlette answers HEAD wherever there is GET; the page speaks of neither.
    found.methods = {method}
    return found


def tell_of_symbols_without_model(alerts: Alerts) -> Callable[[LoadedManifest], None]:
    """Return what sends an alert for each symbol of a manifest that has no model."""

    def tell(loaded: LoadedManifest) -> None:
        for symbol in loaded.symbols.values():
            if symbol.model is None:
                text = f"{symbol.name} has no model and is answered with HOLD: {symbol.reason}"
                facts = {"manifest": loaded.digest[:12]}
                alerts.send(Alert(WITHOUT_MODEL, text, symbol=symbol.name, facts=facts))

    return tell


def _models_answer(loaded: LoadedManifest, exits: LoadedExits | None) -> dict[str, Any]:
    return {
        "manifest_sha256": loaded.digest,
        "manifest_timestamp": loaded.deployed.manifest["timestamp"],
        "simulated": bool(loaded.deployed.manifest.get("provenance", {}).get("simulated")),
        "symbols": {
            one.name: {
                "model": one.model,
                "model_version": one.version,
                "reason": one.reason,
                "threshold": one.threshold,
                "calibrated": one.calibrated,
                "lookback_rows": one.lookback_rows,
                "features": list(one.names_F),
                "bars": one.bars_read(),
            }
            for one in loaded.symbols.values()
        },
        "exits": None
        if exits is None
        else {
            "model_digest": exits.model.digest,
            "trained_until": f"{exits.model.trained_until}Z",
        },
    }


def _takes_long(question: EntryQuestion | ExitsQuestion) -> bool:
    """Tell whether those who wait would notice an answer."""
    if isinstance(question, EntryBars):
        return True
    if isinstance(question, EntryRows | ExitsQuestion):
        return len(question.features) > _INLINE_ROWS
    return len(question.named_features) > _INLINE_ROWS


def _our_mistake() -> Problem:
    return Problem(500, "a mistake of the service; its log says which")


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _is_local(host: str) -> bool:
    """Tell whether a Host header names this machine by its loopback address."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name.strip("[]"))


async def _unknown(_: Request, error: Exception) -> Response:
    """Answer where no path or method fits, in the form of all refusals."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    return Problem(error.status_code, str(error.detail), headers=error.headers).response()
