"""Apache Airflow provider for Planet's satellite imagery."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_INTEGRATION = "Planet"


def _modules(*names: str) -> list[dict[str, Any]]:
    return [
        {"integration-name": _INTEGRATION, "python-modules": [f"planet_provider.{name}" for name in names]}
    ]


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow.

    Airflow calls this at every start of every component: it imports nothing.
    """
    return {
        "package-name": "airflow-provider-planet",
        "name": "Planet",
        "description": "`Planet <https://www.planet.com/>`__ satellite imagery: search, order once, wait "
        "without a worker slot, download whole and verified.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.planet.com/develop/apis/",
                "tags": ["service"],
            }
        ],
        "operators": _modules(
            "operators.search",
            "operators.saved_search",
            "operators.stats",
            "operators.orders",
            "operators.assets",
            "operators.checksum",
        ),
        "sensors": _modules("sensors.orders", "sensors.assets"),
        "hooks": _modules("hooks.planet"),
        "triggers": _modules("triggers.orders", "triggers.capacity", "triggers.assets", "triggers.imagery"),
        "extra-links": ["planet_provider.links.order.PlanetOrderLink"],
        "connection-types": [
            {
                "connection-type": "planet",
                "hook-class-name": "planet_provider.hooks.planet.PlanetHook",
                "hook-name": "Planet",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {
                        "host": "Base URL",
                        "login": "Client id, or e-mail",
                        "password": "API key, client secret, or password",  # pragma: allowlist secret
                    },
                    "placeholders": {
                        "host": "https://api.planet.com",
                        "login": "with auth oauth or login",
                        "password": "PLAK...",
                    },
                },
                "conn-fields": {
                    "auth": _field(
                        "Authentication",
                        "api_key: the password; oauth: login and password are a client's id and secret; "
                        "login: an account's e-mail and password; env: an environment variable; "
                        "file: a Planet secret file.",
                        enum=["api_key", "oauth", "login", "env", "file", None],
                        default="api_key",
                    ),
                    "auth_file": _field("Secret file", "With auth=file; default ~/.planet.json."),
                    "env_var": _field("Environment variable", "With auth=env; default PL_API_KEY."),
                    "token_url": _field("Token URL", "With auth=oauth; default: that of Planet's realm."),
                    "rate_limits": _field(
                        "Rate limits",
                        'JSON, requests per second by class, e.g. {"orders.create": 2.5}; '
                        "default: 95 % of the documented rates.",
                    ),
                    "coordination_store": _field(
                        "Coordination store",
                        "file:///path: this machine (default, under AIRFLOW_HOME); "
                        "redis://...: all machines; memory://: this process.",
                    ),
                    "coordination_fallback": _field(
                        "Without that store",
                        "Share of the rates to go on with while it can't be used (default 0.1), or: fail.",
                    ),
                    "timeout": _field("Timeout (s)", "For a connection, and between two reads.", "number"),
                    "max_connections": _field("Connections", "At once, per process and account.", "integer"),
                    "max_attempts": _field("Attempts", "How often a request is sent at most.", "integer"),
                    "max_retry_seconds": _field(
                        "Retry time (s)", "After which a request is not sent again.", "number"
                    ),
                    "backoff_seconds": _field(
                        "Back-off (s)", "First step between attempts; doubled each time.", "number"
                    ),
                    "max_queue_seconds": _field(
                        "Queue time (s)", "Longest wait for a slot of the rate limit.", "number"
                    ),
                    "max_response_bytes": _field(
                        "Answer's bytes", "Read at most, files not counted; default 33554432.", "integer"
                    ),
                    "max_pages": _field(
                        "Pages",
                        "Of a list or search before it is taken for endless; default 10000.",
                        "integer",
                    ),
                    "max_order_items": _field(
                        "Items an order", "As many as Planet takes of the account; default 500.", "integer"
                    ),
                    "max_vertices": _field(
                        "Vertices of an order's area",
                        "As many as Planet takes of the account; default 1500.",
                        "integer",
                    ),
                },
            }
        ],
    }
