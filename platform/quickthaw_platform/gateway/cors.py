"""Calls from web pages of other origins: which ones the setting `cors_origins` lets browsers make.

Before a page may send an API key, its browser asks (a preflight: OPTIONS, without a key), and it shows an answer, an
error as well, only to a page that the answer names. https://fetch.spec.whatwg.org/#http-cors-protocol
What a browser sends for a page without asking carries no key: it is refused, whatever its method, unless it is a link
that somebody follows. https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

from flask import Flask, Response, request

from quickthaw_platform.errors import PermissionDenied
from quickthaw_platform.gateway.auth import carries_key
from quickthaw_platform.setting_values.origins import ANY
from quickthaw_platform.settings import Settings

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
PREFLIGHT_SECONDS = 600
EXPOSED = ", ".join(
    (
        "x-request-id", "request-id", "x-invocation-id", "Retry-After", "x-should-retry", "Location", "Allow",
        *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    )
)  # fmt: skip
"""Headers of answers that pages may read."""

_OTHER_ORIGINS = ("cross-site", "same-site")
_FOLLOWED_LINK = ("navigate", "document")


def register(app: Flask, settings: Settings) -> None:
    """Answer preflights before anything asks for a key, and name the page in every answer to one that is allowed."""
    allowed = frozenset(settings.cors_origins)

    @app.before_request
    def check() -> Response | None:
        origin = request.headers.get("Origin")
        if ANY in allowed or (origin is not None and origin in allowed):
            return _preflight() if _is_preflight() else None
        if _is_preflight() or (_is_foreign(origin) and not carries_key()):
            raise PermissionDenied(
                f"this comes from a web page of the origin {(origin or 'that is not told')[:200]!r}, which the setting "
                "cors_origins of this platform does not list; whoever runs the platform can add it"
            )
        return None

    @app.after_request
    def name(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if allowed and ANY not in allowed:
            response.vary.add("Origin")  # a cache must not show one page the answer to another
        if origin is not None and (origin in allowed or ANY in allowed):
            response.headers["Access-Control-Allow-Origin"] = ANY if ANY in allowed else origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        return response


def _is_preflight() -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _is_foreign(origin: str | None) -> bool:
    """Whether a browser sends this for a page that did not come from this gateway itself, as /docs/ does."""
    if origin is not None:
        return origin.partition("://")[2] != request.host
    headers = request.headers
    if headers.get("Sec-Fetch-Site") not in _OTHER_ORIGINS:
        return False
    followed = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")) == _FOLLOWED_LINK
    return not (followed and request.method == "GET")


def _preflight() -> Response:
    """Allow what is asked for: what a call may do is decided when it comes, by its key."""
    headers = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", ""),
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        "Vary": "Access-Control-Request-Headers, Access-Control-Request-Private-Network",
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Response(status=204, headers=headers)
