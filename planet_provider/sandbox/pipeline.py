"""What every request of an origin passes: recorded, faulted, answered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from planet_provider.sandbox import body
from planet_provider.sandbox.auth import Account
from planet_provider.sandbox.body import Faults
from planet_provider.sandbox.errors import ApiError
from planet_provider.sandbox.faults import REFUSALS, Fault, Origin
from planet_provider.sandbox.recorder import RecordedRequest
from planet_provider.sandbox.state import STATE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ErrorForm = Callable[[int, Any, Mapping[str, str]], web.Response]

# Neither recorded nor faulted: the sandbox's own pages are not Planet's.
_OWN_PREFIXES = ("/sandbox/", "/account/")

# Of the request that the current task handles.
_FAULTS: ContextVar[Faults] = ContextVar("faults")


def current_faults() -> Faults:
    """Return the faults that hit the request being handled."""
    return _FAULTS.get({})


def guarded(
    handler: Callable[[web.Request, Account], Awaitable[web.StreamResponse]], rate_class: str
) -> Handler:
    """Return a handler that asks for credentials and keeps to a rate limit."""

    async def guard(request: web.Request) -> web.StreamResponse:
        state = request.app[STATE]
        account = state.auth.account(request)
        state.limiter.check(account.user_id, rate_class)
        return await handler(request, account)

    return guard


def pipeline(origin: Origin, error_form: ErrorForm) -> Any:
    """Return the middleware of an origin.

    :param error_form: Renders an error as the origin does.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/" or request.path.startswith(_OWN_PREFIXES):
            return await _answer(request, handler, error_form)
        state = request.app[STATE]
        faults = state.faults.take(origin, request.method, request.path_qs)
        _FAULTS.set(faults)
        record = state.recorder.add(
            RecordedRequest(
                origin=origin,
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await request.read(),
                faults=tuple(faults),
            )
        )
        if "drop" in faults:
            return _dropped(request)
        if "status" in faults:
            answer: web.StreamResponse = _refusal(faults["status"], error_form)
        else:
            answer = await _answer(request, handler, error_form)
        # By the clock that orders and items are dated by.
        answer.headers.setdefault("Date", format_datetime(state.clock.now(), usegmt=True))
        if "drop_after" in faults:
            return _dropped(request)
        if "delay" in faults:
            await body.pause(request, faults["delay"].seconds)
        record.status = answer.status
        return await body.write(request, answer, {} if faults.keys() & REFUSALS else faults)

    return middleware


async def _answer(request: web.Request, handler: Handler, error_form: ErrorForm) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return error_form(error.status, error.payload, error.headers)
    except web.HTTPError as error:
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return error_form(error.status, {"message": error.reason, "errors": []}, allowed)


def json_error(status: int, payload: Any, headers: Mapping[str, str]) -> web.Response:
    """Render an error of the API origin."""
    return web.json_response(payload, status=status, headers=headers)


def _dropped(request: web.Request) -> web.Response:
    body.close(request)
    return web.Response(status=499)


def _refusal(fault: Fault, error_form: ErrorForm) -> web.Response:
    if fault.body is None:
        reason = web.Response(status=fault.status).reason
        return error_form(fault.status, {"message": reason, "errors": []}, fault.headers)
    return web.Response(status=fault.status, text=fault.body, headers=_typed(fault))


def _typed(fault: Fault) -> dict[str, str]:
    headers = dict(fault.headers)
    if "content-type" not in {name.lower() for name in headers}:
        try:
            json.loads(fault.body or "")
        except ValueError:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        else:
            headers["Content-Type"] = "application/json"
    return headers
