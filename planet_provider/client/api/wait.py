"""Waiting in a script or a notebook: look, sleep, look again, until it is so or too late.

In a DAG the sensors wait, without a worker slot.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from planet_provider.builders import checks
from planet_provider.client.api import data
from planet_provider.client.api.assets import activation, asset_reference, is_active
from planet_provider.exceptions import AssetTimeoutError, PlanetError

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two looks at an asset: activation takes seconds to minutes.
ASSET_POLL_SECONDS = 5.0

#: Seconds for which Planet may fail to answer, look after look, before a wait gives up. A session has
#: retried each request by then.
TROUBLE_SECONDS = 3600.0

#: Longest pause after looks that failed, in multiples of ``poll_interval``.
_MAX_BACKOFF = 8

Callback = Callable[[dict[str, Any]], object]


def poll(
    look: Callable[[], T],
    is_over: Callable[[T], bool],
    *,
    poll_interval: float,
    timeout: float | None,
) -> T | None:
    """Look until it is over.

    Errors that waiting may fix are waited out, more and more slowly, for up to :data:`TROUBLE_SECONDS`.

    :param look: Asks Planet once.
    :param is_over: Tells whether what it saw is what is waited for.
    :param poll_interval: Seconds between two looks; > 0.
    :param timeout: Seconds to wait in all; ``None`` for as long as it takes. It looks once in any case.
    :return: What was seen last; ``None`` where the time is over before.
    :raises PlanetError: An error that waiting won't fix, or that stayed.
    """
    interval = checks.seconds(poll_interval, "poll_interval")
    started = time.monotonic()
    deadline = None if timeout is None else started + checks.seconds(timeout, "timeout")
    well, failures = started, 0
    while True:
        try:
            seen = look()
        except PlanetError as error:
            if not error.retryable or time.monotonic() - well >= TROUBLE_SECONDS:
                raise
            failures += 1
            log.warning("Looking again later, because Planet can't be asked now: %s", error)
        else:
            if is_over(seen):
                return seen
            well, failures = time.monotonic(), 0
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return None
        pause = interval * min(2**failures, _MAX_BACKOFF)
        time.sleep(pause if left is None else min(pause, left))


def wait_for_asset(
    session: PlanetSession,
    item_type: str,
    item_id: str,
    asset_type: str,
    *,
    activate: bool = True,
    callback: Callback | None = None,
    poll_interval: float = ASSET_POLL_SECONDS,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Wait until an asset can be downloaded.

    :param session: Session of an account that may download the asset.
    :param item_type: e.g. ``PSScene``.
    :param item_id: Planet item id.
    :param asset_type: e.g. ``ortho_analytic_4b``.
    :param activate: Activate it where nobody has; else somebody must, or the wait lasts for ever.
    :param callback: Called with the asset's reference after each look.
    :param poll_interval: Seconds between two looks; > 0.
    :param timeout: Seconds to wait in all; by default as long as it takes.
    :return: Its reference, ``{item_type, item_id, asset_type, status, md5_digest}``, without links.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    :raises AssetTimeoutError: It was not active in time.
    """
    ids = checks.item_type(item_type), checks.item_id(item_id), checks.asset_type(asset_type)

    def look() -> dict[str, Any]:
        nonlocal activate
        assets = session.send(data.assets(ids[0], ids[1]))
        reference = asset_reference(assets, *ids)
        if activate and not is_active(reference):
            session.send(activation(assets, *ids))
            activate = False
        if callback is not None:
            callback(reference)
        return reference

    found = poll(look, is_active, poll_interval=poll_interval, timeout=timeout)
    if found is None:
        raise AssetTimeoutError(
            f"{ids[2]} of {ids[0]} {ids[1]} was not active within timeout={timeout:g} s. Its activation goes on; "
            "wait for it again, or longer.",
            item_type=ids[0],
            item_id=ids[1],
            asset_type=ids[2],
        )
    return found
