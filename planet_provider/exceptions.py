"""Everything this package raises.

::

    PlanetError
    ├── InvalidInputError            a parameter was refused before any request (also a ValueError)
    ├── ConfigurationError           the connection, an extra or a setting is wrong (also a ValueError)
    │   └── CredentialsError         no credential was found, or it cannot be read
    ├── TransportError               no answer came: refused, cut, timed out
    │   └── TokenUnavailableError    no access token could be had, so the request was not sent
    ├── RateLimitQueueError          the next free slot of the rate limit is too far away
    ├── CoordinationStoreError          where the rate limit's state lives can't be used, and there is no fallback
    ├── LockTimeoutError             somebody else held a lock for too long
    ├── APIError                     Planet answered with an error status
    │   ├── BadRequestError          400, 422: the request's content is wrong
    │   ├── AuthenticationError      401, or a token was refused: the credential is wrong
    │   ├── PermissionDeniedError    403: the account may not do this
    │   │   └── OverQuotaError       the account's quota is used up (403, or 429 by its message)
    │   ├── NotFoundError            404, 410
    │   ├── ConflictError            409
    │   │   ├── OrderConcurrencyError    too many orders are queued or running
    │   │   └── OrderNotCancellableError the order already runs or has ended
    │   ├── RateLimitError           429 outlasted the retry budget
    │   └── ServerError              5xx outlasted the retry budget
    ├── UnexpectedResponseError      an answer that cannot be understood
    │   ├── PagingCycleError         a page's next link was already followed
    │   └── UnknownStateError        a state or status that Planet has not documented
    ├── TriggerEventError            a deferred wait ended without an event that can be understood
    ├── OrderTooLargeError           an order exceeds max_items or max_area_km2; it was not placed
    ├── OrderError
    │   ├── OrderFailedError         the order ended as failed
    │   ├── OrderCancelledError      the order ended as cancelled
    │   ├── OrderPartialError        the order ended as partial, which was not allowed
    │   ├── OrderUncertainError      whether an order was placed could not be found out
    │   └── OrderTimeoutError        the order did not end in time
    ├── AssetError
    │   ├── AssetUnavailableError    the item has no such asset, or it may not be downloaded
    │   └── AssetTimeoutError        the asset was not active in time
    ├── TransferKilledError          Airflow ended the task in the midst of a transfer
    └── TransferError
        ├── UnsafePathError          a delivered name leads out of its destination, or clashes
        ├── LinkExpiredError         a download link is not valid any more
        ├── IncompleteTransferError  a body ended before its time
        ├── ContentChangedError      the source changed while it was being read
        ├── StorageError             the place that files go to is full, not writable or not readable
        ├── ArchiveError             a zip can't be read, or would unpack to more than it may
        └── ChecksumError            files are missing, short, altered or unreadable

All of them pickle, with their attributes, and none of their messages holds a credential or a signed link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def _restore(cls: type[PlanetError], args: tuple[Any, ...], state: dict[str, Any]) -> PlanetError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class PlanetError(Exception):
    """Base of every error of this package.

    :param message: What happened, to what, and what to do about it.
    """

    #: Whether the same task, run again later, may succeed. Operators fail without retries where it can't.
    retryable: bool = True

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class InvalidInputError(PlanetError, ValueError):
    """A parameter was refused before any request was sent.

    :param field: The parameter's name, with the path inside it where that helps (``products[0].item_ids``).
    :param value: The value that was refused; shown shortened.
    :param remedy: What is wrong with it, and what to pass instead.
    """

    retryable = False

    def __init__(self, field: str, value: object, remedy: str) -> None:
        if hasattr(type(value), "iter_references"):  # Airflow's mapped arguments and tasks' outputs
            remedy = (
                "is known only when the task runs, and this is built before. Pass it to a parameter of the "
                "operator, inside a dict too, such as tools=[{'clip': {'aoi': area}}]; or build this in a task."
            )
        try:
            shown = repr(value)
        except RecursionError:
            shown = f"<a deeply nested {type(value).__name__}>"
        if len(shown) > 120:
            shown = f"{shown[:100]}… ({len(shown)} characters)"
        super().__init__(f"{field}={shown}: {remedy}")
        self.field = field
        self.value = shown
        self.remedy = remedy


class ConfigurationError(PlanetError, ValueError):
    """The connection, one of its extras, or a setting is wrong."""

    retryable = False


class CredentialsError(ConfigurationError):
    """No credential was found, or it cannot be read."""


class TransportError(PlanetError):
    """No answer came: the connection was refused or cut, or the answer took too long.

    :param sent: Whether the request may have reached Planet. Where it may have, it may have been carried out.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class TokenUnavailableError(TransportError):
    """No access token or key could be had: its endpoint doesn't answer, or not with one.

    The request that wanted it was not sent.

    :param retry_after: Seconds that the endpoint asked to wait, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, sent=False)
        self.retry_after = retry_after


class RateLimitQueueError(PlanetError):
    """The next free slot of the rate limit is further away than the queue may be long.

    :param rate_class: The class of requests that is crowded, e.g. ``orders.create``.
    :param wait_seconds: Seconds until the next free slot, or until it is worth trying again.
    """

    def __init__(self, message: str, *, rate_class: str, wait_seconds: float) -> None:
        super().__init__(message)
        self.rate_class = rate_class
        self.wait_seconds = wait_seconds


class CoordinationStoreError(PlanetError):
    """Where the rate limit's state lives can't be used now, and ``coordination_fallback`` is ``fail``."""


class LockTimeoutError(PlanetError):
    """Somebody else held a lock for too long, or a lock was lost while it was needed."""


class APIError(PlanetError):
    """Planet answered with an error status.

    :param status: HTTP status code.
    :param request: Method and path of the request, without its query.
    :param messages: What Planet said, one entry a message, prefixed with the field where it named one.
    :param retry_after: Seconds that Planet asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        request: str,
        messages: Sequence[str] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.request = request
        self.messages = tuple(messages)
        self.retry_after = retry_after


class BadRequestError(APIError):
    """400 or 422: the request's content is wrong."""

    retryable = False


class AuthenticationError(APIError):
    """401, or a token or login was refused: the credential is missing, wrong or revoked."""

    retryable = False


class PermissionDeniedError(APIError):
    """403: the account may not do this."""

    retryable = False


class OverQuotaError(PermissionDeniedError):
    """The account's quota is used up: 403, or 429 told apart by its message."""


class NotFoundError(APIError):
    """404 or 410: there is no such thing, or not for this account."""

    retryable = False


class ConflictError(APIError):
    """409: the thing's present state doesn't allow this."""


class OrderConcurrencyError(ConflictError):
    """Too many orders of the account are queued or running."""


class OrderNotCancellableError(ConflictError):
    """The order already runs or has ended."""

    retryable = False


class RateLimitError(APIError):
    """429 outlasted the retry budget."""


class ServerError(APIError):
    """5xx outlasted the retry budget."""


class UnexpectedResponseError(PlanetError):
    """An answer that cannot be understood."""


class PagingCycleError(UnexpectedResponseError):
    """A page's next link was already followed."""


class UnknownStateError(UnexpectedResponseError):
    """A state or status that Planet has not documented; it is never taken for "still pending"."""

    retryable = False


class TriggerEventError(PlanetError):
    """A deferred wait ended without an event that can be understood; it is never taken for success."""


class OrderTooLargeError(PlanetError):
    """An order exceeds ``max_items`` or ``max_area_km2``; it was not placed."""

    retryable = False


class OrderError(PlanetError):
    """An order did not end as it should.

    :param order_id: Planet order UUID, if known.
    :param state: The order's state, if known.
    :param hints: The order's ``error_hints`` and last message.
    :param final: Whether a retry can't help, whatever the class says.
    """

    def __init__(
        self,
        message: str,
        *,
        order_id: str | None = None,
        state: str | None = None,
        hints: Sequence[str] = (),
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.order_id = order_id
        self.state = state
        self.hints = tuple(hints)
        if final:
            self.retryable = False


class OrderFailedError(OrderError):
    """The order ended as failed."""


class OrderCancelledError(OrderError):
    """The order ended as cancelled."""


class OrderPartialError(OrderError):
    """The order ended as partial, and the task doesn't allow that."""

    retryable = False


class OrderUncertainError(OrderError):
    """Whether an order was placed could not be found out; a retry looks for it first."""


class OrderTimeoutError(OrderError):
    """The order did not end in time. It goes on at Planet's."""


class AssetError(PlanetError):
    """An asset cannot be had.

    :param item_type: e.g. ``PSScene``.
    :param item_id: Planet item id.
    :param asset_type: e.g. ``ortho_analytic_4b``.
    """

    def __init__(self, message: str, *, item_type: str, item_id: str, asset_type: str) -> None:
        super().__init__(message)
        self.item_type = item_type
        self.item_id = item_id
        self.asset_type = asset_type


class AssetUnavailableError(AssetError):
    """The item has no such asset, or the account may not download it."""

    retryable = False


class AssetTimeoutError(AssetError):
    """The asset was not active in time. Its activation goes on at Planet's."""


class TransferKilledError(PlanetError):
    """Airflow ended the task in the midst of a transfer."""


class TransferError(PlanetError):
    """Bytes did not arrive as they should.

    :param file: The delivered file's name, if it is about one.
    """

    def __init__(self, message: str, *, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


class UnsafePathError(TransferError):
    """A delivered name leads out of its destination, or two names meet in one place."""

    retryable = False


class LinkExpiredError(TransferError):
    """A download link is not valid any more (Planet refuses it, or the storage it leads to)."""


class IncompleteTransferError(TransferError):
    """A body ended before its time, and going on from there failed too."""


class ContentChangedError(TransferError):
    """The source changed while it was being read."""


class StorageError(TransferError):
    """The disk or file system that files go to can't take or give them: it is full, or may not be used so.

    :param folder: Which folder.
    :param reason: What the system says.
    """

    def __init__(
        self, message: str, *, file: str | None = None, folder: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message, file=file)
        self.folder = folder
        self.reason = reason


class ArchiveError(TransferError):
    """A delivered zip can't be read, or would unpack to more than it may. It is kept, and nothing was unpacked."""

    retryable = False


class ChecksumError(TransferError):
    """Files are missing, short, altered or unreadable.

    :param problems: One mapping a file: ``{"path", "problem", "expected", "got"}``.
    """

    def __init__(
        self, message: str, *, file: str | None = None, problems: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(message, file=file)
        self.problems = tuple(dict(problem) for problem in problems)
