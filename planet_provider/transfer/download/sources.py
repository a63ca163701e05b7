"""Where files come from: links that expire, and how new ones are had."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from planet_provider.builders.delivery import delivered_to
from planet_provider.client.api import data, orders
from planet_provider.client.states import AssetStatus, asset_status, order_state
from planet_provider.exceptions import (
    AssetError,
    AssetUnavailableError,
    OrderCancelledError,
    OrderError,
    OrderFailedError,
    TransferError,
    UnexpectedResponseError,
    UnknownStateError,
)
from planet_provider.redact import redact_text
from planet_provider.transfer.manifest import MANIFEST
from planet_provider.transfer.names import check_component, check_name, check_places
from planet_provider.wording import MAX_TEXT, and_more, grouped

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Link:
    """A download link.

    :param url: Signed: never to be shown.
    :param generation: How often links have been renewed before.
    """

    url: str
    generation: int

    def __repr__(self) -> str:
        return f"Link(generation={self.generation})"


class Source(Protocol):
    """One file at Planet's."""

    @property
    def name(self) -> str:
        """How logs and errors name it."""
        ...

    @property
    def rate_class(self) -> str:
        """Which of Planet's rate limits its link falls under."""
        ...

    def link(self) -> Link:
        """Return the present link."""
        ...

    def renew(self, expired: Link) -> None:
        """Get new links, unless another thread has got them meanwhile."""
        ...


class _Renewable:
    """Links that are renewed together, once for all threads that wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generation = 0

    def renew(self, expired: Link) -> None:
        """Get new links, unless another thread has got them meanwhile."""
        with self._lock:
            if expired.generation == self._generation:
                self._refresh()
                self._generation += 1

    def _refresh(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Result:
    """One of an order's results.

    :param name: As Planet names it, with the order's folder.
    :param delivery: Planet's word for whether it was delivered.
    """

    name: str
    delivery: str


class OrderLinks(_Renewable):
    """The links of one order's results.

    :param session: To get the order again.
    :param order: The order as Planet describes it.
    :raises OrderError: It has no results yet, or will never have any.
    :raises UnsafePathError: A result's name leads out of the order's folder, or two clash.
    """

    def __init__(self, session: PlanetSession, order: Mapping[str, Any]) -> None:
        super().__init__()
        self._session = session
        self.order_id = check_component(order["id"])
        self.results, self._urls = _read(order)

    def link(self, path: str) -> Link:
        """Return the present link of a result.

        :param path: Relative to the order's folder.
        """
        with self._lock:
            url = self._urls.get(path)
            if url is None:
                raise TransferError(f"{path}: order {self.order_id} has no link for it.", file=path)
            return Link(url, self._generation)

    def file(self, path: str) -> OrderFile:
        """Return one result as source."""
        return OrderFile(self, path)

    def _refresh(self) -> None:
        log.info("The download links of order %s have expired; getting the order again.", self.order_id)
        self._urls = _read(self._session.send(orders.get(self.order_id)))[1]


@dataclass(frozen=True)
class OrderFile:
    """One file of an order."""

    links: OrderLinks
    name: str
    rate_class: str = "orders.download"

    def link(self) -> Link:
        """Return the present link."""
        return self.links.link(self.name)

    def renew(self, expired: Link) -> None:
        """Get the order again, unless another thread has meanwhile."""
        self.links.renew(expired)


class AssetSource(_Renewable):
    """One asset of an item, which must be active.

    :raises AssetUnavailableError: The item has no such asset, or it may not be downloaded.
    :raises AssetError: It is not active.
    """

    rate_class = "data.download"

    def __init__(self, session: PlanetSession, item_type: str, item_id: str, asset_type: str) -> None:
        super().__init__()
        self._session = session
        self._ids = {"item_type": item_type, "item_id": item_id, "asset_type": asset_type}
        self.name = f"{item_id} {asset_type}"
        self._refresh()

    @property
    def md5(self) -> str | None:
        """The asset's digest as Planet gives it, unchecked."""
        return self._md5

    def link(self) -> Link:
        """Return the present link."""
        with self._lock:
            return Link(self._url, self._generation)

    def _refresh(self) -> None:
        asset = self._active_asset()
        location = asset.get("location")
        if not isinstance(location, str) or not location:
            raise UnexpectedResponseError(f"{self.name}: the asset is active but has no link.")
        self._url = location
        digest = asset.get("md5_digest")
        self._md5 = digest.lower() if isinstance(digest, str) and digest else None

    def _active_asset(self) -> Mapping[str, Any]:
        item_type, item_id, asset_type = self._ids.values()
        assets = self._session.send(data.assets(item_type, item_id))
        asset = assets.get(asset_type)
        if asset is None:
            known = ", ".join(sorted(assets)) or "none"
            raise AssetUnavailableError(
                f"{item_type} {item_id} has no asset {asset_type}, or the account may not see it; "
                f"it has: {known}.",
                **self._ids,
            )
        if asset.get("_permissions") == []:
            raise AssetUnavailableError(f"{self.name}: the account may not download this asset.", **self._ids)
        status = asset_status(asset.get("status"))
        if status is not AssetStatus.ACTIVE:
            raise AssetError(
                f"{self.name}: the asset is {status}; activate it and wait until it is active.", **self._ids
            )
        return asset


def _read(order: Mapping[str, Any]) -> tuple[dict[str, Result], dict[str, str]]:
    """Read an order's results and links by path relative to the order's folder."""
    order_id = order["id"]
    entries = (order.get("_links") or {}).get("results")
    if not entries:
        raise _no_results(order)
    results: list[tuple[str, Result]] = []
    urls: dict[str, str] = {}
    for entry in entries:
        path, result, url = _read_entry(order_id, entry)
        results.append((path, result))
        if url is not None:
            urls[path] = url
    check_places(path for path, _ in results)
    cloud = delivered_to(order)
    if cloud is not None and not urls.keys() - {MANIFEST}:
        raise _delivered_elsewhere(order, cloud)
    return dict(results), urls


def _read_entry(order_id: str, entry: Any) -> tuple[str, Result, str | None]:
    if not isinstance(entry, Mapping):
        raise UnexpectedResponseError(f"Order {order_id}: a result is no object.")
    name = check_name(entry.get("name"))
    location = entry.get("location")
    path = name.removeprefix(f"{order_id}/")
    url = location if isinstance(location, str) and location else None
    return path, Result(name, str(entry.get("delivery", "success"))), url


def _no_results(order: Mapping[str, Any]) -> OrderError:
    order_id, state = order["id"], order_state(order["state"])
    cloud = delivered_to(order)
    if cloud is not None and state.is_final and not state.is_lost:
        return _delivered_elsewhere(order, cloud)
    hints = grouped(redact_text(str(hint), MAX_TEXT) for hint in order.get("error_hints") or ())
    if not state.is_final:
        text, kind = "has no results yet; wait until it has ended", OrderError
    elif state.is_lost:
        kind = OrderFailedError if str(state) == "failed" else OrderCancelledError
        text = "has no results and will have none" + (f" ({'; '.join(hints)})" if hints else "")
    else:
        text, kind = "lists no results: were they delivered to a cloud store?", OrderError
    return kind(
        f"Order {order_id} is {state} and {text}.",
        order_id=order_id,
        state=str(state),
        hints=hints,
        final=state.is_final,
    )


def _delivered_elsewhere(order: Mapping[str, Any], cloud: str) -> OrderError:
    return OrderError(
        f"Order {order['id']}: Planet delivered its files to {cloud}, so there is nothing to download. "
        "Read them there.",
        order_id=order["id"],
        state=str(order["state"]),
        final=True,
    )


def check_delivery(order_id: str, results: Mapping[str, Result]) -> None:
    """Check that Planet has delivered all of some results.

    :raises TransferError: One is pending or has failed.
    :raises UnknownStateError: Planet says something else of one.
    """
    for path, result in results.items():
        if result.delivery == "success":
            continue
        if result.delivery not in {"pending", "failed"}:
            raise UnknownStateError(f"Order {order_id}: {path}: unknown delivery {result.delivery!r}.")
    late = [path for path, result in results.items() if result.delivery == "pending"]
    lost = [path for path, result in results.items() if result.delivery == "failed"]
    if lost:
        raise TransferError(
            f"Order {order_id}: Planet failed to deliver {and_more(lost[:5], len(lost))}. "
            "Leave them out by exclude, or order again.",
            file=lost[0],
        )
    if late:
        raise TransferError(
            f"Order {order_id}: {and_more(late[:5], len(late))} not delivered yet; try again later.",
            file=late[0],
        )
