"""Cancelling orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError, OrderNotCancellableError
from planet_provider.hooks.task_errors import task_errors
from planet_provider.operators.base import PlanetOperator
from planet_provider.wording import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from planet_provider.client.api.cancelling import Cancellation

#: Orders that an error names.
_SHOWN = 20


class PlanetCancelOrderOperator(PlanetOperator):
    """Cancel queued orders. Planet cancels no others.

    An order that is cancelled already is as good, so a retry does no harm. Whatever Planet did not cancel is
    asked for once more, one request each, so that its state is known.

    :param order_ids: Planet order UUIDs; one, or a list that is never empty. Entries that are ``None``, of tasks
        that placed no order, are named and left out; if all are, that is refused. (templated)
    :param require_all: Fail where one of them was not cancelled; by default that is only told. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``{requested, left_out, result, orders, cancelled, not_cancellable, not_found}``, each key also
        as an XCom of its own: the ids, the positions of entries that are ``None``, Planet's answer, one
        ``{order_id, outcome, state, message}`` an order, and the ids by outcome.
    :raises OrderNotCancellableError: With ``require_all``: the message names the orders that were not.
    """

    template_fields: Sequence[str] = ("order_ids", "require_all", "planet_conn_id")

    def __init__(self, *, order_ids: str | Sequence[str], require_all: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.order_ids = order_ids
        self.require_all = require_all

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel them in one request, and look what came of it."""

        from planet_provider.client.api.cancelling import cancel_orders

        self.check_flags()
        order_ids, left_out = _checked(self.order_ids)
        if left_out:
            self.log.warning(
                "No order's id, so left out: %s. The tasks that they come from placed no order.",
                ", ".join(f"order_ids[{index}]" for index in left_out),
            )
        with self.hook.session() as session:
            answer, orders = cancel_orders(session, order_ids)
        by_outcome = {
            outcome: [order.order_id for order in orders if order.outcome == outcome]
            for outcome in ("cancelled", "not_cancellable", "not_found")
        }
        self.log.info("Cancelled %d of %s.", len(by_outcome["cancelled"]), counted(len(orders), "order"))
        left = [order for order in orders if order.outcome != "cancelled"]
        for order in left:
            self.log.warning("Not cancelled: %s", _described(order))
        if left and self.require_all:
            raise _not_cancelled(left, len(orders))
        return {
            "requested": order_ids,
            "left_out": left_out,
            "result": answer.get("result", answer),
            "orders": [order.as_dict() for order in orders],
            **by_outcome,
        }


def _checked(order_ids: Any) -> tuple[list[str], list[int]]:
    """Return the orders, each once, and the positions of the entries that are None."""
    given = checks.from_text(order_ids, "order_ids")
    several = [given] if isinstance(given, (str, UUID)) else given
    ids = checks.sequence(
        several, "order_ids", lambda one, field: None if one is None else checks.order_id(one, field)
    )
    if not any(ids):
        raise InvalidInputError(
            "order_ids", given, "holds no order's id, only None: no task placed an order."
        )
    return list(dict.fromkeys(one for one in ids if one is not None)), [
        index for index, one in enumerate(ids) if one is None
    ]


def _described(order: Cancellation) -> str:
    what = "there is no such order" if order.state is None else f"it is {order.state}"
    return f"{order.order_id}: {what}" + (f" ({order.message})" if order.message else "")


def _not_cancelled(left: Sequence[Cancellation], total: int) -> OrderNotCancellableError:
    lines = [_described(order) for order in left[:_SHOWN]]
    if len(left) > _SHOWN:
        lines.append(f"and {len(left) - _SHOWN} more")
    return OrderNotCancellableError(
        f"{len(left)} of {counted(total, 'order')} could not be cancelled: {'; '.join(lines)}. "
        "Only queued orders can be.",
        status=409,
        request="POST /compute/ops/bulk/orders/v2/cancel",
        messages=lines,
    )
