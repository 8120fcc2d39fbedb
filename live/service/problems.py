"""What the service says when it does not answer: one form for all refusals (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "about:blank"


class Problem(Exception):  # noqa: N818 - a refusal, not a fault
    """A request that is refused, and why.

    Parameters
    ----------
    status : int
        400 no JSON; 401 key; 404 unknown symbol or path; 408 too slow; 409 well-formed, but not for
        what is deployed; 413 too large; 415 another kind of content; 421 another host; 422 not as
        the OpenAPI page says; 431 too large a head; 500 a mistake of ours; 503 not now.
    detail : str
        One line: what was found, what was expected.
    field : str or None
        Where in the document, as ``features.0.3``.
    headers : mapping
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field = status, detail, field
        self.headers = dict(headers or {})

    def under(self, place: str) -> "Problem":
        """Return the same of a part of a document."""
        field = place if self.field is None else f"{place}.{self.field}"
        return Problem(self.status, self.detail, field=field, headers=self.headers)

    def document(self) -> dict[str, Any]:
        """Return what is sent."""
        return {
            "type": _TYPE,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "field": self.field,
        }

    def response(self) -> Response:
        """Return the answer."""
        return Response(
            to_json(self.document()),
            status_code=self.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def not_now(detail: str, *, after_s: int = 1) -> Problem:
    """Return the refusal of what may be asked again soon."""
    return Problem(503, detail, headers={"Retry-After": str(after_s)})
