"""The HTTP application: endpoints, the page's files, and errors that clients can read."""

from __future__ import annotations

import mimetypes
from collections.abc import Collection
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp

from ultraedit import __version__
from ultraedit.serving import editing, openai, operating
from ultraedit.serving.guard import Guard
from ultraedit.serving.keys import Keys
from ultraedit.serving.metrics import Metrics
from ultraedit.serving.refusals import KINDS, Refusal
from ultraedit.serving.service import Service

MOST_ERRORS = 10
"""What is wrong with a body is told up to here: the answer stays small whatever was sent."""

NOT_SERVED = {
    "best_of",
    "frequency_penalty",
    "logit_bias",
    "modalities[0]",
    "presence_penalty",
    "response_format.type",
    "suffix",
    "tool_choice",
    "tools",
}
"""OpenAI's fields of which only the value that changes nothing is taken."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads its own files and talks to its own server."""


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: int
    rows: list[dict[str, Any]] | None = None


class ErrorBody(BaseModel):
    """Every answer that is no success."""

    error: ErrorDetail


def build(
    service: Service,
    keys: Keys,
    *,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
) -> ASGIApp:
    """The application around a service.

    Args:
        service: What answers; it may still be loading.
        keys: Who may do what.
        hosts: Names by which the server may be called, beside addresses and localhost.
        origins: Web pages of other origins that may call it.

    Returns:
        An ASGI application.
    """
    app = FastAPI(
        title="ultraedit",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses={
            status: {"model": ErrorBody, "description": KINDS[status]}
            for status in (400, 401, 403, 404, 405, 409, 412, 413, 421, 422, 429, 500, 503)
        },
    )
    app.state.service = service
    metrics = Metrics(service)
    app.include_router(openai.routes(service, metrics))
    app.include_router(editing.routes(service))
    app.include_router(operating.routes(service, metrics))
    page = _page(app)
    _say_errors(app)
    guarded: ASGIApp = Guard(app, keys=keys, hosts=hosts, open_paths=page, metrics=metrics)
    if origins:
        guarded = CORSMiddleware(
            guarded,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "If-Match",
                "Idempotency-Key",
                "Prefer",
            ],
            expose_headers=["X-Weight-Version", "X-Request-Id", "ETag", "Location", "Retry-After"],
        )
    return guarded


def _page(app: FastAPI) -> set[str]:
    """Serve the page's files, which are read once; returns their paths."""
    folder = files("ultraedit.serving") / "page"
    paths: set[str] = set()
    if not folder.is_dir():
        return paths
    for file in folder.iterdir():
        if not file.is_file() or file.name.startswith(("_", ".")):
            continue
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if file.name.endswith(".js"):
            kind = "text/javascript"
        path = "/" if file.name == "index.html" else f"/{file.name}"
        _serve_file(app, path, file.read_bytes(), kind)
        paths.add(path)
    return paths


def _serve_file(app: FastAPI, path: str, content: bytes, kind: str) -> None:
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def file() -> Response:
        return Response(content, media_type=kind, headers=headers)

    app.add_api_route(path, file, methods=["GET"], include_in_schema=False, response_class=Response)


def _say_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return JSONResponse(_plain(error.body()), error.status, headers=error.headers())

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await refused(request, _invalid(request.url.path, error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        message = {
            404: f'there is nothing at "{request.url.path[:200]}"; /openapi.json lists what there is.',
            405: f"{request.method} is not for this address; /openapi.json lists what there is.",
        }.get(error.status_code, f"{error.detail}.")
        response = await refused(request, Refusal(error.status_code, message))
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(_methods(app, request.url.path))
        return response

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return await refused(
            request, Refusal(500, f"something in the server broke ({type(error).__name__}).")
        )


def _methods(app: FastAPI, path: str) -> list[str]:
    """What may be done at an address, by all of its endpoints together."""
    found = {
        method.upper()
        for template, methods in app.openapi()["paths"].items()
        if compile_path(template)[0].fullmatch(path)
        for method in methods
    }
    return sorted(found) or ["GET"]  # the page's files are not in the schema


def _invalid(path: str, error: RequestValidationError) -> Refusal:
    """What is wrong with a request, in a bounded answer that does not repeat what was sent."""
    found = error.errors()
    listed: list[str] = []
    params: list[str] = []
    for one in found[:MOST_ERRORS]:
        # the first says where in the request: body, query, path or header
        where = [str(part) for part in one["loc"][1:]]
        # the branches of a union are not fields: they name types
        fields = [part for part in where if part.isidentifier() or part.isdigit()]
        name = _field(fields)[:100]
        if one["type"] == "extra_forbidden" or name in NOT_SERVED:
            sentence = f"{name}: this server does not serve it; leave it out"
        elif one["type"] == "json_invalid":
            name, sentence = "", "the body is not JSON"
        else:
            sentence = f"{name}: {one['msg'][:200]}" if name else one["msg"][:200]
        if sentence not in listed:
            listed.append(sentence)
            params.append(name)
    more = f" (and {len(found) - MOST_ERRORS} more)" if len(found) > MOST_ERRORS else ""
    if path == "/edits":
        rows = [
            {"row": int(loc[2]), "field": str(loc[3])[:100], "message": one["msg"][:200]}
            for one in found[:MOST_ERRORS]
            if (loc := one["loc"])[:2] == ("body", "edits")
            and len(loc) > 3
            and isinstance(loc[2], int)
        ]
        return Refusal(
            422, f"{'; '.join(listed)}{more}.", param=params[0] or None, rows=rows or None
        )
    return Refusal(400, f"{'; '.join(listed)}{more}.", param=params[0] or None)


def _field(parts: list[str]) -> str:
    """("edits", "3", "prompt") is "edits[3].prompt"."""
    text = ""
    for part in parts:
        text += f"[{part}]" if part.isdigit() else f".{part}" if text else part
    return text


def _plain(value: Any) -> Any:
    """With no half of a character, which no encoding could write."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value
