"""Placing an order."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseHook

from planet_provider.builders import checks, order_request
from planet_provider.client.api.links import order_page
from planet_provider.exceptions import (
    InvalidInputError,
    OrderConcurrencyError,
    OrderTimeoutError,
    RateLimitQueueError,
    TriggerEventError,
)
from planet_provider.hooks.task_errors import task_errors

# Not when the task is killed: a signal may come in the midst of another import.
from planet_provider.hooks.task_state import has_ended
from planet_provider.hooks.templates import text_name
from planet_provider.links.order import LinksToOrder, PlanetOrderLink
from planet_provider.operators.base import PlanetOperator
from planet_provider.operators.delivery_field import (
    MaskedField,
    keep_placeholders,
    mask_credentials,
    mask_webhook,
)
from planet_provider.ordering import LIST_CONSISTENCY_SECONDS
from planet_provider.triggers.deferral import deferral_timeout, is_deferrable, log_deferral
from planet_provider.wording import counted

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from planet_provider.client.config import PlanetConfig
    from planet_provider.client.http.session import PlanetSession
    from planet_provider.ordering.estimate import Estimate
    from planet_provider.ordering.place import PlacedOrder
    from planet_provider.triggers.base import PlanetTrigger


#: Seconds to wait for an order by default. Planet aims at less than 24 hours.
DEFAULT_TIMEOUT_SECONDS = 24 * 60 * 60.0

#: Seconds to wait where the deadline is over already: one look is due.
_LEAST_SECONDS = 0.001


class PlanetCreateOrderOperator(LinksToOrder, PlanetOperator):
    """Place an order, once: a retry, a clear or a backfill finds the order again instead of buying it twice.

    The request's digest goes into the order's name, ``<name> [<12 hex>]``, by which it is found. Tasks that
    want the same order at the same time get the same one: they are kept apart by a lock in the connection's
    ``coordination_store``, so for several machines that has to be a ``redis://``.

    :param name: Name of the order. (templated)
    :param products: Products in Planet's own form; or else ``items`` and ``product_bundle``. (templated)
    :param items: A batch of :class:`~planet_provider.operators.search.PlanetSearchOperator`,
        ``{"item_type": ..., "item_ids": [...]}``. (templated)
    :param product_bundle: e.g. ``analytic_udm2``. (templated)
    :param fallback_bundles: Bundles to take, in this order, where an item lacks the first. (templated)
    :param tools: As :mod:`planet_provider.builders.tools` builds them. (templated)
    :param delivery: As :func:`planet_provider.builders.delivery.delivery` builds it. (templated)
    :param delivery_conn_id: Airflow connection that holds the credentials of the delivery's destination, which
        then has none itself: ``delivery={"amazon_s3": {"bucket": "imagery"}}``. They go into the request
        alone. See :func:`planet_provider.hooks.delivery.with_credentials` for the kinds. (templated)
    :param notifications: Webhook or e-mail. (templated)
    :param order_type: ``full`` (Planet's default: one failing item fails all) or ``partial``. (templated)
    :param stac: True for STAC metadata beside the files. (templated)
    :param hosting: e.g. ``sentinel_hub`` with a collection. (templated)
    :param source_type: ``scenes``, Planet's default, or ``basemaps``, whose ``products`` name a mosaic.
        (templated)
    :param subscription_id: Planet subscription to charge.
    :param reuse: ``content``: an earlier order of the same content, from any run, is reused. ``run``: only
        one of this DAG run. (templated)
    :param reuse_max_age: How old an order of another run may be, when the DAG run begins, to be reused; by default
        any age. Planet keeps them 90 days. The run's own order may have any age.
    :param max_items: Refuse to place an order of more scenes.
    :param max_area_km2: Refuse to place an order of more square kilometres: the geodesic area of the items'
        footprints within the clip's area.
    :param wait_for_completion: Wait until the order has ended, and fail where it has not succeeded. (templated)
    :param deferrable: Wait in the triggerer, without a worker slot: for the order to end, and for a place
        where Planet takes no more orders at the moment, or the rate limit's queue is too long. By default
        what Airflow's setting ``[operators] default_deferrable`` says. (templated)
    :param allow_partial: Whether ``partial`` is as good as ``success`` when waiting. What is missing is in
        the XCom ``order`` under ``missing``, as batches that ``items`` takes. (templated)
    :param cancel_on_kill: Cancel the order where this task is killed while it waits, unless a new try goes
        on with it. Only queued orders can be cancelled. Airflow tells of no kill between the task's deferral and
        the start of its trigger. (templated)
    :param list_consistency_timeout: Longest time, in seconds, by which Planet's list of orders lags behind. After
        an answer that was not clear, the order is looked for during this time before it is sent again.
    :param poke_interval: Seconds between two looks when waiting, or a timedelta.
    :param timeout: Seconds to wait in all, or a timedelta.
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``return_value``: the order's id. XCom ``order``: its summary, without links, with
        ``results``, the number of files (may be ``None`` after a deferred wait, unless it is partial), ``reused``,
        ``digest`` and, where this task placed it, ``estimate``
        (``{scenes, area_km2, clipped, unknown_items}``).
    :raises OverQuotaError: The account's quota is used up; not retried.
    :raises OrderTooLargeError: It exceeds ``max_items`` or ``max_area_km2``; not placed, not retried.
    :raises OrderConcurrencyError: Planet takes no more orders at the moment, and the task is not deferrable.
    :raises OrderUncertainError: Whether the order was placed could not be found out.
    """

    template_fields: Sequence[str] = (
        "name",
        "products",
        "items",
        "product_bundle",
        "fallback_bundles",
        "tools",
        "delivery",
        "delivery_conn_id",
        "notifications",
        "order_type",
        "stac",
        "hosting",
        "source_type",
        "reuse",
        "wait_for_completion",
        "deferrable",
        "allow_partial",
        "cancel_on_kill",
        "planet_conn_id",
    )
    template_fields_renderers = dict.fromkeys(
        ("products", "items", "tools", "delivery", "notifications", "stac", "hosting"), "json"
    )

    delivery = MaskedField(mask_credentials)
    notifications = MaskedField(mask_webhook)

    def __init__(
        self,
        *,
        name: str,
        products: Sequence[Mapping[str, Any]] | None = None,
        items: Mapping[str, Any] | None = None,
        product_bundle: str | None = None,
        fallback_bundles: Sequence[str] | str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        delivery: Mapping[str, Any] | None = None,
        delivery_conn_id: str | None = None,
        notifications: Mapping[str, Any] | None = None,
        order_type: str | None = None,
        stac: bool | Mapping[str, Any] | None = None,
        hosting: Mapping[str, Any] | str | None = None,
        source_type: Literal["scenes", "basemaps"] | None = None,
        subscription_id: int | None = None,
        reuse: Literal["content", "run"] = "content",
        reuse_max_age: timedelta | None = None,
        max_items: int | None = None,
        max_area_km2: float | None = None,
        wait_for_completion: bool = False,
        deferrable: bool | None = None,
        allow_partial: bool = False,
        cancel_on_kill: bool = False,
        list_consistency_timeout: float = LIST_CONSISTENCY_SECONDS,
        poke_interval: float | timedelta = 30.0,
        timeout: float | timedelta = DEFAULT_TIMEOUT_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.products = products
        self.items = items
        self.product_bundle = product_bundle
        self.fallback_bundles = fallback_bundles
        self.tools = tools
        self.delivery = keep_placeholders(delivery)
        self.delivery_conn_id = delivery_conn_id
        self.notifications = notifications
        self.order_type = order_type
        self.stac = stac
        self.hosting = hosting
        self.source_type = source_type
        self.subscription_id = subscription_id
        self.reuse = reuse
        self.reuse_max_age = reuse_max_age
        self.max_items = max_items
        self.max_area_km2 = max_area_km2
        self.wait_for_completion = wait_for_completion
        self.deferrable = is_deferrable(deferrable)
        self.allow_partial = allow_partial
        self.cancel_on_kill = cancel_on_kill
        self.list_consistency_timeout = list_consistency_timeout
        self.poke_interval = _seconds(poke_interval)
        self.timeout = _seconds(timeout)
        self._estimate: Estimate | None = None
        self._waiting: tuple[Any, str] | None = None
        self._products: list[dict[str, Any]] | None = None
        self._order_id: str | None = None

    @property
    def map_name(self) -> str | None:
        """The order's name, and which batch it orders."""
        items = checks.read_text(self.items)
        ids = checks.read_text(items.get("item_ids")) if isinstance(items, Mapping) else None
        if not isinstance(ids, list) or not ids:
            return text_name(self.name)
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        return f"{self.name}: {ids[0]}{more}"

    @task_errors()
    def execute(self, context: Context) -> str:
        """Find the order or place it, and wait where asked to."""
        self.check_flags()
        return self._order(context, time.time() + checks.seconds(self.timeout, "timeout"))

    @task_errors()
    def execute_after_capacity(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Take over from the trigger that waited for a place."""

        from planet_provider.triggers.events import read_event

        place = read_event(event, "capacity")
        if place is None:
            raise OrderTimeoutError(
                f"Planet took no more orders for timeout={self.timeout:g} s: too many of the account's are queued "
                "or running. Nothing was placed."
            )
        deadline = place.get("deadline")
        if not isinstance(deadline, int | float) or not abs(deadline) <= sys.float_info.max:
            raise TriggerEventError(f"The trigger tells no deadline: {place!r}.")
        return self._order(context, float(deadline))

    @task_errors()
    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Take over from the trigger that waited for the order."""

        from planet_provider.client.states import order_state
        from planet_provider.ordering.outcome import is_reached, is_summary, with_missing_items
        from planet_provider.triggers.events import last_seen, read_event

        order = read_event(event, "order")
        if order is None:
            raise self._timed_out(str((event or {}).get("order_id")), last_seen(event))
        if not is_summary(order):
            raise TriggerEventError(f"The trigger tells of no order: {order!r}.")
        if not is_reached(order_state(order.get("state")), None):
            raise TriggerEventError(f"The trigger ended before the order did: {order!r}.")
        with self.hook.session() as session:
            return self._ended(context, with_missing_items(session, order), session.config.base_url)

    def on_kill(self) -> None:
        """Cancel the order where asked to, unless a new try goes on with it."""

        from planet_provider.client.api.cancelling import cancel_for_killed_task

        if not self.cancel_on_kill or self._waiting is None:
            return
        ti, order_id = self._waiting
        if not has_ended(ti):
            self.log.info(
                "Order %s is not cancelled: this task has not ended, so a new try goes on.", order_id
            )
            return
        cancel_for_killed_task(self.hook.session, order_id, self.log)

    def _order(self, context: Context, deadline: float) -> str:
        from planet_provider.client.states import order_state
        from planet_provider.ordering.outcome import summary

        with self.hook.session() as session:
            request = self._request(session.config)
            self._products = request["products"]
            try:
                placed = self._place(context, session, request)
            except (OrderConcurrencyError, RateLimitQueueError) as error:
                if not self.deferrable:
                    raise
                self.log.info("%s", error)
                queue_seconds = error.wait_seconds if isinstance(error, RateLimitQueueError) else None
                self._defer(
                    self._capacity_trigger(deadline, queue_seconds), "execute_after_capacity", deadline
                )
            order = summary(placed.order) | self._facts(placed)
            self.log.info(
                "Order %s is %s: %s",
                placed.order_id,
                order["state"],
                order_page(placed.order_id, session.config.base_url),
            )
            # Before any waiting, so that a user who kills the wait can find the order.
            self._push(context, order, session.config.base_url)
            if not self.wait_for_completion:
                return self._done(context, order)
            if self.deferrable and not order_state(order["state"]).is_final:
                self._defer(self._order_trigger(placed, deadline), "execute_complete", deadline)
            self._waiting = context["ti"], placed.order_id
            ended = self._wait(session, placed.order_id, deadline)
            self._waiting = None
        return self._ended(context, ended | self._facts(placed), session.config.base_url)

    def _place(self, context: Context, session: PlanetSession, request: dict[str, Any]) -> PlacedOrder:
        from planet_provider.ordering.estimate import checked_estimate
        from planet_provider.ordering.place import place_order

        def before_placing(wanted: Mapping[str, Any]) -> None:
            self._estimate = checked_estimate(
                session, wanted, max_items=self.max_items, max_area_km2=self.max_area_km2
            )

        ti: Any = context["ti"]
        dag_run: Any = context.get("dag_run")
        run = f"{ti.dag_id}/{ti.run_id}"
        by_run = self.reuse == "run"
        return place_order(
            session,
            request,
            salt=run if by_run else "",
            reuse_max_age=None if by_run else self.reuse_max_age,
            asked_at=getattr(dag_run, "start_date", None),
            list_consistency_timeout=self.list_consistency_timeout,
            task_store=context.get("task_state_store"),  # Airflow 3.3
            retried=ti.try_number > 1,
            before_placing=before_placing,
            run=run,
        )

    def _facts(self, placed: PlacedOrder) -> dict[str, Any]:
        return {
            "reused": placed.reused,
            "digest": placed.digest,
            "estimate": None if self._estimate is None else self._estimate.as_dict(),
        }

    def _request(self, config: PlanetConfig) -> dict[str, Any]:
        """Build and check the request; nothing is sent before."""

        from planet_provider.operators.batches import read_batch

        checks.choice(self.reuse, ("content", "run"), "reuse")
        for name in ("list_consistency_timeout", "poke_interval", "timeout"):
            checks.seconds(getattr(self, name), name)
        if self.max_area_km2 is not None:
            checks.number(self.max_area_km2, "max_area_km2", above=0)
        checks.limit(self.max_items, "max_items")
        if self.reuse_max_age is not None and (
            not isinstance(self.reuse_max_age, timedelta) or self.reuse_max_age <= timedelta(0)
        ):
            raise InvalidInputError(
                "reuse_max_age", self.reuse_max_age, "must be a timedelta greater than 0."
            )
        return order_request.build(
            self.name,
            products=self.products,
            items=read_batch(self.items),
            product_bundle=self.product_bundle,
            fallback_bundles=self.fallback_bundles,
            tools=self.tools,
            delivery=self._complete_delivery(),
            notifications=self.notifications,
            order_type=self.order_type,
            stac=self.stac,
            hosting=self.hosting,
            source_type=self.source_type,
            subscription_id=self.subscription_id,
            max_items=config.max_order_items,
            max_vertices=config.max_vertices,
        )

    def _complete_delivery(self) -> Any:
        """Add the credentials; the task's own attributes never hold them."""

        from planet_provider.hooks.delivery import with_credentials

        delivery = checks.from_text(self.delivery, "delivery")
        if self.delivery_conn_id is None:
            return delivery
        conn_id = checks.text(self.delivery_conn_id, "delivery_conn_id")
        complete = with_credentials(delivery, BaseHook.get_connection(conn_id))
        mask_credentials(complete)
        return complete

    def _push(self, context: Context, order: dict[str, Any], base_url: str) -> None:
        context["ti"].xcom_push(key="order", value=order)
        PlanetOrderLink().persist(self, context, order["order_id"], base_url)

    def _capacity_trigger(self, deadline: float, queue_seconds: float | None) -> PlanetTrigger:
        from planet_provider.triggers.capacity import PlanetOrderCapacityTrigger

        return PlanetOrderCapacityTrigger(
            planet_conn_id=self.planet_conn_id,
            poke_interval=self.poke_interval,
            deadline=deadline,
            not_before=None if queue_seconds is None else time.time() + queue_seconds,
        )

    def _order_trigger(self, placed: PlacedOrder, deadline: float) -> PlanetTrigger:
        from planet_provider.triggers.orders import PlanetOrderTrigger

        return PlanetOrderTrigger(
            order_id=placed.order_id,
            planet_conn_id=self.planet_conn_id,
            poke_interval=self.poke_interval,
            deadline=deadline,
            cancel_on_kill=self.cancel_on_kill,
            note=self._facts(placed),
        )

    def _defer(self, trigger: PlanetTrigger, method_name: str, deadline: float) -> None:
        log_deferral(self.log, deadline)
        self.defer(trigger=trigger, method_name=method_name, timeout=deferral_timeout(deadline))

    def _wait(self, session: PlanetSession, order_id: str, deadline: float) -> dict[str, Any]:
        from planet_provider.ordering.outcome import described
        from planet_provider.ordering.wait import until_reached

        said = ""

        def tell(order: dict[str, Any]) -> None:
            nonlocal said
            said = f"Order {order_id} is {described(order)}."
            self.log.info("%s", said)

        left = max(_LEAST_SECONDS, deadline - time.time())
        ended = until_reached(
            session, order_id, None, callback=tell, poll_interval=self.poke_interval, timeout=left
        )
        if ended is None:
            raise self._timed_out(
                order_id, f"{said} {order_page(order_id, session.config.base_url)}".lstrip()
            )
        return ended

    def _ended(self, context: Context, order: dict[str, Any], base_url: str) -> str:
        from planet_provider.ordering.outcome import check_outcome

        self._push(context, order, base_url)
        check_outcome(order, base_url, allow_partial=self.allow_partial)
        self.log.info("Order %s has ended: %s.", order["order_id"], order["state"])
        for batch in order.get("missing") or ():
            self.log.warning(
                "%s not delivered: %s",
                counted(len(batch["item_ids"]), f"{batch['item_type']} item"),
                ", ".join(batch["item_ids"]),
            )
        return self._done(context, order)

    def _done(self, context: Context, order: Mapping[str, Any]) -> str:
        from planet_provider.operators.asset_events import area_km2, tell_outlets

        size = order.get("estimate")
        if not size and self.outlets:  # an order that was found again: nothing was estimated
            with self.hook.session() as session:
                size = {"area_km2": area_km2(session, str(order["order_id"]))}
        facts = {key: order.get(key) for key in ("order_id", "name", "state", "digest", "reused")}
        facts |= {"scenes": order.get("items"), "area_km2": (size or {}).get("area_km2")}
        tell_outlets(context, self.outlets, facts)
        self._order_id = str(order["order_id"])
        return self._order_id

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage of the items and the order."""

        from planet_provider.operators import lineage
        from planet_provider.operators.batches import read_batch

        if self._order_id is None:
            return None
        # After a deferred wait this is another process, which has not built the request. It was checked when it
        # was placed, and the delivery's credentials are no affair of lineage.
        products = self._products or self.products or [read_batch(self.items)]
        return lineage.placed(self._order_id, products)

    def _timed_out(self, order_id: str, last: str) -> OrderTimeoutError:
        last = last or order_page(order_id, self.hook.config().base_url)
        return OrderTimeoutError(
            f"Order {order_id} did not end within timeout={self.timeout:g} s. {last} It goes on at Planet's; "
            "running this task again finds it and waits on.",
            order_id=order_id,
        )


def _seconds(span: float | timedelta) -> float:
    """Return a span in seconds; what is neither is refused when the task runs, with the parameter's name."""
    return span.total_seconds() if isinstance(span, timedelta) else span
