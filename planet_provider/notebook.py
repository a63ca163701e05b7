"""Planet in notebooks and scripts, without Airflow: waiting, and bars that show how far it is.

::

    with PlanetSession(PlanetConfig(api_key="...")) as session:
        with StateBar() as bar:
            wait_for_order(session, order_id, callback=bar)
        with DownloadBar() as bar:
            download_order(session, order_id, "/data/orders", progress=bar)

The bars are tqdm's, which comes with the extra ``notebook``; the waiting does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

from planet_provider.client.api.wait import wait_for_asset
from planet_provider.exceptions import ConfigurationError
from planet_provider.ordering.wait import wait_for_order
from planet_provider.transfer.progress import Progress

__all__ = ["DownloadBar", "StateBar", "wait_for_asset", "wait_for_order"]

BarT = TypeVar("BarT", bound="_Bar")


class _Bar:
    """A bar of tqdm's: in a notebook its widget, else a line on stderr.

    :param description: What stands before it.
    :param options: As :class:`tqdm.tqdm` takes them, e.g. ``file`` or ``disable``.
    :raises ConfigurationError: tqdm is not installed.
    """

    def __init__(self, description: str | None = None, **options: Any) -> None:
        self._bar = _tqdm()(desc=description, **options)

    def __enter__(self: BarT) -> BarT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


class StateBar(_Bar):
    """Shows the state of an order or an asset while one waits for it: a callback for the waits of this module.

    :param description: What stands before it; by default the order's id, or the item's and the asset's.
    :param options: As :class:`tqdm.tqdm` takes them.
    """

    def __init__(self, description: str | None = None, **options: Any) -> None:
        super().__init__(description, **({"bar_format": "{desc} [{elapsed}]"} | options))
        self._description = description

    def __call__(self, seen: Mapping[str, Any]) -> None:
        """Show what was seen.

        :param seen: An order's summary, or an asset's reference.
        """
        state = seen.get("state") or seen.get("status")
        self._bar.set_description_str(f"{self._description or _named(seen)}: {state}")


class DownloadBar(_Bar):
    """Shows how far a download is: a ``progress`` callback for ``download_order`` and ``download_asset``.

    :param description: What stands before it.
    :param options: As :class:`tqdm.tqdm` takes them.
    """

    def __init__(self, description: str | None = None, **options: Any) -> None:
        bytes_as = {"unit": "B", "unit_scale": True, "unit_divisor": 1000, "total": 0}
        super().__init__(description, **(bytes_as | options))

    def __call__(self, progress: Progress) -> None:
        """Show how far it is.

        :param progress: What the transfer tells.
        """
        # Sizes that Planet doesn't tell beforehand come with the bytes.
        self._bar.total = max(progress.bytes_total, progress.bytes_done)
        self._bar.set_postfix_str(f"{progress.files_done}/{progress.files_total} files", refresh=False)
        # What was here before is no speed; and a file that is fetched once more goes back.
        self._bar.initial = progress.bytes_reused
        self._bar.n = progress.bytes_done
        self._bar.refresh()


def _named(seen: Mapping[str, Any]) -> str:
    if "order_id" in seen:
        return f"order {seen['order_id']}"
    return f"{seen.get('item_id')} {seen.get('asset_type')}"


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ConfigurationError(
            "Bars need tqdm: pip install 'airflow-provider-planet[notebook]'. Without it pass a callback of "
            "your own, or log_progress(logger)."
        ) from error
    return tqdm
