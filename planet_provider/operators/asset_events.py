"""What a task tells those who wait for its assets: scenes, bytes, square kilometres, digests."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

from planet_provider.exceptions import PlanetError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)


def tell_outlets(context: Context, outlets: Sequence[Any], facts: Mapping[str, Any]) -> None:
    """Put facts into the event of each asset that a task has as an outlet.

    :param context: The task's.
    :param outlets: The task's; what is no asset of its own (an alias) is left to the DAG's author.
    :param facts: Plain JSON without links.
    """
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(facts)


def area_km2(session: PlanetSession, order_id: str) -> float | None:
    """Return the square kilometres that an order covers, by its items' footprints and its clip's area.

    :param session: Session with Planet; one request for the order, and one or two a product.
    :return: ``None`` where it can't be told.
    """

    from planet_provider.client.api import orders
    from planet_provider.ordering.estimate import estimate

    try:
        order = session.send(orders.get(order_id))
        if order.get("source_type") == "basemaps":
            return None
        found = estimate(session, order)
    except (PlanetError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        log.warning("How many square kilometres order %s covers can't be told: %s", order_id, error)
        return None
    return None if found.unknown_items else found.area_km2
