"""What must not be shown of an order's templated fields, and what in them is no template of Airflow's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk.log import mask_secret

from planet_provider.builders import checks
from planet_provider.builders import delivery as order_delivery

_PLACEHOLDER = re.compile(r"(?<!\{% raw %\})\{\{\s*(?:name|order_id)\s*\}\}")


def mask_credentials(delivery: Any) -> None:
    """Hide a delivery's credentials from logs and pages.

    Airflow shows rendered templates, from before the task runs, and doesn't know all these for secrets.
    """
    clouds = _read(delivery)
    for cloud, fields in clouds.items():
        if isinstance(fields, Mapping):
            for name in order_delivery.credential_fields(cloud, fields) & fields.keys():
                if isinstance(fields[name], str):
                    mask_secret(fields[name])


def mask_webhook(notifications: Any) -> None:
    """Hide the webhook's address from logs and pages: it is often a secret by itself."""
    webhook = _read(notifications).get("webhook")
    url = webhook.get("url") if isinstance(webhook, Mapping) else None
    if isinstance(url, str):
        mask_secret(url)


def keep_placeholders(delivery: Any) -> Any:
    """Hide Planet's own ``{{name}}`` and ``{{order_id}}`` in an archive's name from Airflow's templating."""
    if isinstance(delivery, str):  # JSON text
        return _PLACEHOLDER.sub(r"{% raw %}\g<0>{% endraw %}", delivery)
    name = delivery.get("archive_filename") if isinstance(delivery, Mapping) else None
    if not isinstance(name, str):
        return delivery
    return {**delivery, "archive_filename": _PLACEHOLDER.sub(r"{% raw %}\g<0>{% endraw %}", name)}


def _read(field: Any) -> Mapping[str, Any]:
    read = checks.read_text(field)
    return read if isinstance(read, Mapping) else {}


class MaskedField:
    """An attribute whose secrets are hidden from when it is set.

    :param mask: Hides them.
    """

    def __init__(self, mask: Callable[[Any], None]) -> None:
        self._mask = mask

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, task: object, owner: type | None = None) -> Any:
        return self if task is None else getattr(task, self._name)

    def __set__(self, task: object, value: Any) -> None:
        self._mask(value)
        setattr(task, self._name, value)
