"""A task's button that leads to its order in Planet's account."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from planet_provider.client.api.links import order_page

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanetOrderLink(BaseOperatorLink):
    """Lead to an order in Planet's account, as soon as its id is known, so while waiting too."""

    name = "Order at Planet"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the order's page; empty if the task has no order.

        Airflow asks at the end of each try. Asking for an XCom that isn't there ends the task's log with an error,
        so it is read only if another process of this try may have pushed it.

        :param operator: The task's operator.
        :param ti_key: The task instance.
        """
        known = getattr(operator, "order_link", None)
        return known if known is not None else str(XCom.get_value(ti_key=ti_key, key=self.xcom_key) or "")

    def persist(self, operator: LinksToOrder, context: Context, order_id: str, base_url: str) -> None:
        """Show the button from now on.

        :param operator: The task's operator.
        :param context: The task's.
        :param order_id: Planet order UUID.
        :param base_url: The connection's host.
        """
        operator.order_link = order_page(order_id, base_url)
        context["ti"].xcom_push(key=self.xcom_key, value=operator.order_link)


class LinksToOrder:
    """Mixin for operators and sensors whose task has one order."""

    operator_extra_links: Collection[BaseOperatorLink] = (PlanetOrderLink(),)

    #: The order's page as this process pushed it, empty before; ``None`` if an earlier one of this try may have.
    order_link: str | None = ""

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Take over from the triggerer. Tasks defer to ``execute_complete`` only once they have an order."""
        if next_method == "execute_complete":
            self.order_link = None
        return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]
