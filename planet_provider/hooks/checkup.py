"""What "Test connection" asks and says: which account it is, and which APIs answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow.sdk.log import mask_secret

from planet_provider.builders import filters
from planet_provider.client.api import data, orders
from planet_provider.client.auth.flows import who_is
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import NotFoundError, PermissionDeniedError, PlanetError
from planet_provider.wording import counted

#: How often, for how many seconds and with what pauses it tries: somebody waits for it.
ATTEMPTS = 2
TIMEOUT_SECONDS = 10.0
BACKOFF_SECONDS = 1.0


def checkup(config: PlanetConfig) -> tuple[bool, str]:
    """Ask the Orders and the Data API for something small.

    :return: Whether at least one of them takes the credential; and who one is and what they answer, or what
        is wrong.
    """
    hasty = replace(
        config,
        max_attempts=min(config.max_attempts, ATTEMPTS),
        timeout=min(config.timeout, TIMEOUT_SECONDS),
        backoff_seconds=min(config.backoff_seconds, BACKOFF_SECONDS),
    )
    said, accepted = [], False
    try:
        who = who_is(hasty)
        with PlanetSession(hasty, on_token=mask_secret) as session:
            for api, ask in _QUESTIONS.items():
                try:
                    said.append(f"{api}: {ask(session)}.")
                    accepted = True
                # The account may be one that has only the other.
                except (PermissionDeniedError, NotFoundError) as error:
                    said.append(f"{api}: {error}")
    except PlanetError as error:
        return False, str(error)
    verdict = "accepts" if accepted else "knows, but has nothing for,"
    return accepted, f"{config.base_url} {verdict} the {who}. {' '.join(said)}"


def _orders(session: PlanetSession) -> str:
    stats = session.send(orders.stats())
    counts: dict[str, Any] = stats.get("user") or stats.get("organization") or {}
    queued, running = counts.get("queued_orders", 0), counts.get("running_orders", 0)
    return f"{counted(queued, 'order')} queued, {running:,} running"


def _data(session: PlanetSession) -> str:
    session.send(data.quick_search(["PSScene"], filters.empty_filter(), page_size=1))
    return "answers"


_QUESTIONS: dict[str, Callable[[PlanetSession], str]] = {"Orders API": _orders, "Data API": _data}
