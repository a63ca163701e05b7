"""A local Planet to develop and test DAGs against (extra: ``[sandbox]``).

::

    from planet_provider.sandbox import Fault, run

    with run(speed=60.0) as sandbox:
        sandbox.faults.add(Fault(kind="status", path=r"/orders/v2$", status=503))
        ...  # point a Planet client at sandbox.url

Nothing heavy is imported until a name of this package is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planet_provider.sandbox.config import SandboxConfig
    from planet_provider.sandbox.faults import Fault
    from planet_provider.sandbox.outcomes import Outcome
    from planet_provider.sandbox.recorder import RecordedRequest
    from planet_provider.sandbox.runner import Sandbox, run, serve

__all__ = ["Fault", "Outcome", "RecordedRequest", "Sandbox", "SandboxConfig", "run", "serve"]

_HOMES = {
    "Fault": "faults",
    "Outcome": "outcomes",
    "RecordedRequest": "recorder",
    "Sandbox": "runner",
    "SandboxConfig": "config",
    "run": "runner",
    "serve": "runner",
}
# The libraries of the extra, by the name they are imported under.
_EXTRA = frozenset({"aiohttp", "numpy", "pyproj", "rasterio", "shapely"})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _EXTRA:
            raise ImportError(
                f"The sandbox needs {error.name!r}, which is not installed: "
                "pip install 'airflow-provider-planet[sandbox]'."
            ) from error
        raise
    return getattr(module, name)
