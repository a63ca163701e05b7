"""The sandbox's settings: every default with its unit and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

RetryAfter = Literal["seconds", "date", "none"]

#: Stores, by what they answer to an expired link; ``s3_temporary``: one signed by temporary credentials.
ExpiredStorageLink = Literal["google", "s3", "s3_temporary", "azure"]

# Planet's API documentation, "Rate limiting": requests/s per API key and class.
DOCUMENTED_RATES: Mapping[str, float] = {
    "orders.create": 3.0,
    "orders.get": 3.0,
    "orders.list": 3.0,
    "orders.cancel": 3.0,
    "orders.bulk_cancel": 5.0,
    "orders.stats": 5.0,
    "orders.download": 5.0,
    "data.activation": 5.0,
    "data.download": 5.0,
    "data.other": 10.0,
}


@dataclass(frozen=True, kw_only=True)
class SandboxConfig:
    """Everything a sandbox can be told. All "sandbox seconds" pass at ``speed``.

    :param host: Address both origins listen on.
    :param public_host: Host name in the links, where it isn't ``host``.
    :param port: TCP port of the API origin; 0 lets the system choose.
    :param storage_port: TCP port of the storage origin; 0 lets the system choose.
    :param api_keys: Accepted API keys, one account each; the first one's account is also
        that of the OAuth client and of the e-mail login.
    :param oauth_client_id: Client id of ``POST /auth/realms/main/protocol/openid-connect/token`` (client
        credentials), which is ``POST /auth/token`` too.
    :param oauth_client_secret: Its secret.
    :param email: Account of ``POST /v0/auth/login``.
    :param password: Its password.
    :param token_seconds: Life of an OAuth access token, in *real* seconds, since its holder
        times it with its own clock; moving the sandbox's clock forward ends it earlier.
    :param seed: Seed of the catalogue.
    :param items: Scenes in the catalogue.
    :param scene_pixels: Edge of a rendered scene in pixels.
    :param speed: Sandbox seconds per real second.
    :param queued_seconds: Sandbox seconds an order stays queued (the sandbox's choice: an
        order at Planet takes minutes to hours).
    :param running_seconds: Sandbox seconds an order runs (the sandbox's choice).
    :param activation_seconds: Sandbox seconds an asset takes to activate (the sandbox's choice).
    :param link_seconds: Sandbox seconds a download link lives: about 24 h at Planet.
    :param expired_link_status: Status of an expired download link at the API origin (not
        documented; inferred).
    :param expired_storage_link: Whose answer an expired link at the storage origin gets: 400 ``ExpiredToken``
        of ``google`` (Planet delivers by Google Cloud Storage) or ``s3_temporary``, 403 of ``s3`` or ``azure``.
    :param list_lag_seconds: Sandbox seconds by which order lists are behind.
    :param order_outcome: State orders end in: ``success``, ``partial``, ``failed``,
        ``cancelled``; ``queued`` or ``running`` to stay there; or any other word, to see how a
        client takes an unknown state. ``partial`` holds only for ``order_type=partial``, as at
        Planet: a full order fails instead.
    :param order_outcomes: Outcomes by substring of the order's name, asked before
        ``order_outcome``.
    :param max_order_items: Items an order may hold (Planet: 500).
    :param max_vertices: Vertices a clip's area may have (Planet: 1,500).
    :param max_queued_orders: Queued and running orders an account may have before 409
        (Planet: 10,000 an organisation).
    :param quota_km2: Quota of an account in km²; orders beyond it answer
        ``over_quota_status``. ``None`` is without limit.
    :param over_quota_status: 403, or 429 as older answers had it.
    :param orders_page_size: Rows of a page of orders (20 at Planet: inferred).
    :param search_page_size: Items of a page of search results where ``_page_size`` isn't given;
        at most 250.
    :param empty_page_every: Every n-th page of search results is empty though more follow; 0: none.
    :param rate_limits: Whether the documented rate limits hold. They run in real time.
    :param rates: Requests/s by class, over the documented ones (:data:`DOCUMENTED_RATES`).
    :param retry_after: Form of ``Retry-After`` on a 429.
    :param recorded_requests: Requests remembered; older ones are forgotten.
    """

    host: str = "127.0.0.1"
    public_host: str | None = None
    port: int = 0
    storage_port: int = 0
    api_keys: tuple[str, ...] = ("PLAK-sandbox-0123456789abcdef",)
    oauth_client_id: str = "sandbox-client"
    oauth_client_secret: str = field(default="sandbox-client-secret", repr=False)
    email: str = "user@sandbox.example"
    password: str = field(default="sandbox-password", repr=False)
    token_seconds: float = 3600.0
    seed: int = 20240501
    items: int = 2400
    scene_pixels: int = 256
    speed: float = 1.0
    queued_seconds: float = 2.0
    running_seconds: float = 8.0
    activation_seconds: float = 5.0
    link_seconds: float = 86_400.0
    expired_link_status: int = 403
    expired_storage_link: ExpiredStorageLink = "google"
    list_lag_seconds: float = 0.0
    order_outcome: str = "success"
    order_outcomes: Mapping[str, str] = field(default_factory=dict)
    max_order_items: int = 500
    max_vertices: int = 1500
    max_queued_orders: int = 10_000
    quota_km2: float | None = None
    over_quota_status: int = 403
    orders_page_size: int = 20
    search_page_size: int = 250
    empty_page_every: int = 0
    rate_limits: bool = True
    rates: Mapping[str, float] = field(default_factory=dict)
    retry_after: RetryAfter = "seconds"
    recorded_requests: int = 100_000

    def __post_init__(self) -> None:
        if not self.api_keys or any(len(key) <= 16 for key in self.api_keys):
            raise ValueError("api_keys must hold at least one key, each longer than 16 characters.")
        if not self.speed > 0:
            raise ValueError(f"speed must be > 0 sandbox seconds per second, not {self.speed!r}.")
        _check_port("port", self.port)
        _check_port("storage_port", self.storage_port)
        for name in ("queued_seconds", "running_seconds", "activation_seconds", "list_lag_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0 seconds, not {getattr(self, name)!r}.")
        sizes = ("items", "scene_pixels", "max_order_items", "max_vertices")
        for name in ("link_seconds", "token_seconds", *sizes):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, not {getattr(self, name)!r}.")
        if not 1 <= self.search_page_size <= 250:
            raise ValueError(f"search_page_size must be 1 to 250, not {self.search_page_size!r}.")
        if self.orders_page_size < 1:
            raise ValueError(f"orders_page_size must be >= 1, not {self.orders_page_size!r}.")
        if self.empty_page_every < 0 or self.empty_page_every == 1:
            raise ValueError("empty_page_every must be 0 (no empty pages) or at least 2.")
        _check_choice("retry_after", self.retry_after, get_args(RetryAfter))
        _check_choice("expired_storage_link", self.expired_storage_link, get_args(ExpiredStorageLink))
        unknown = set(self.rates) - set(DOCUMENTED_RATES)
        if unknown:
            raise ValueError(f"rates: unknown class {sorted(unknown)}; known: {sorted(DOCUMENTED_RATES)}.")
        if any(not rate > 0 for rate in self.rates.values()):
            raise ValueError(f"rates must be > 0 requests/s, not {dict(self.rates)!r}.")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, not {value!r}.")


def _check_port(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise ValueError(f"{name} must be 0 (any that is free) to 65535, not {value!r}.")
