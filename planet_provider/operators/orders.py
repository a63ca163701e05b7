"""Placing, cancelling and downloading orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planet_provider.client import checks, orders
from planet_provider.hooks.task_errors import task_errors
from planet_provider.operators.base import PlanetOperator
from planet_provider.operators.create_order import PlanetCreateOrderOperator
from planet_provider.operators.download_order import PlanetDownloadOrderOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["PlanetCancelOrderOperator", "PlanetCreateOrderOperator", "PlanetDownloadOrderOperator"]


class PlanetCancelOrderOperator(PlanetOperator):
    """Cancel queued orders.

    :param order_ids: Planet order UUIDs; one, or a list that is never empty. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``{requested, result}`` with Planet's answer, each key also as an XCom of its own.
    """

    template_fields: Sequence[str] = ("order_ids", "planet_conn_id")

    def __init__(self, *, order_ids: str | Sequence[str], **kwargs: Any) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.order_ids = order_ids

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel them in one request."""
        given = [self.order_ids] if isinstance(self.order_ids, str) else self.order_ids
        order_ids = checks.sequence(given, "order_ids", checks.order_id)
        with self.hook.session() as session:
            result = session.send(orders.bulk_cancel(order_ids))
        self.log.info("Asked to cancel %d orders: %s", len(order_ids), result.get("result", result))
        return {"requested": order_ids, "result": result.get("result", result)}
