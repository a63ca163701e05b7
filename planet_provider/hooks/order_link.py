"""A task's button that leads to its order in Planet's account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from planet_provider.client.links import order_page

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanetOrderLink(BaseOperatorLink):
    """Lead to an order in Planet's account; from when the order's id is known, so while waiting too."""

    name = "Order at Planet"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the order's page; empty where the task has no order yet.

        :param operator: The task's operator.
        :param ti_key: The task instance.
        """
        return str(XCom.get_value(ti_key=ti_key, key=self.xcom_key) or "")

    def persist(self, context: Context, order_id: str) -> None:
        """Show the button from now on.

        :param context: The task's.
        :param order_id: Planet order UUID.
        """
        context["ti"].xcom_push(key=self.xcom_key, value=order_page(order_id))
