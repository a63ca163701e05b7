"""A request to Planet, as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from planet_provider.known_secrets import without_known

#: Characters of a path that messages show; Planet's have some hundred.
_SHOWN_PATH = 300

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T_co]):
    """One request: what to send, at which rate, whether it may be repeated, how to read the answer.

    :param method: HTTP method.
    :param path: Path on the API's origin, e.g. ``/compute/ops/orders/v2``, or a whole URL that Planet gave
        and that leads there.
    :param rate_class: The class of requests whose rate limit applies, e.g. ``orders.create``.
    :param parse: Turns the decoded JSON body (``None`` where the answer has none) into the result;
        a ``KeyError``, ``TypeError`` or ``ValueError`` from it means that the answer is malformed.
    :param params: Query parameters, in order; a name may stand more than once.
    :param json: JSON body. Not shown, because an order's delivery may hold cloud credentials.
    :param repeatable: Whether sending it twice does no harm. Where it does, it is only sent again
        when Planet surely has not accepted it.
    :param not_found_is_success: Whether "not found", where an earlier attempt's answer was lost, means that it was
        carried out: so it is with deleting.
    :param secrets: What of the request no message may repeat.
    :param next_page: Finds the next page's URL in the decoded body; ``None`` for calls without pages.
    """

    method: str
    path: str
    rate_class: str
    parse: Callable[[Any], T_co]
    params: tuple[tuple[str, str], ...] = ()
    json: Any = field(default=None, repr=False)
    repeatable: bool = True
    not_found_is_success: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    next_page: Callable[[Any], str | None] | None = None

    @property
    def label(self) -> str:
        """Method and path, for messages; a link's query is left out, because it may carry a token."""
        try:
            path = without_known(urlsplit(self.path).path)
        except ValueError:
            path = ""
        return (
            f"{self.method} {path[:_SHOWN_PATH]}"
            if path.isprintable() and path
            else f"{self.method} (malformed link)"
        )
