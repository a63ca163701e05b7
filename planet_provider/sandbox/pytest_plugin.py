"""pytest fixtures: a Planet for tests. Imports nothing but pytest until a fixture is used.

``planet_sandbox`` is a :class:`~planet_provider.sandbox.Sandbox` that starts clean for every test.
``@pytest.mark.planet_sandbox(speed=60.0)`` changes settings for a test, a class or a module, the
nearest winning; to change those that are fixed at the start, override ``planet_sandbox_config``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from planet_provider.sandbox import Sandbox, SandboxConfig


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "planet_sandbox(**settings): settings of the fixture planet_sandbox for this test"
    )


@pytest.fixture(scope="session")
def planet_sandbox_config() -> SandboxConfig:
    """Settings of the session's sandbox; override it to change them."""
    from planet_provider.sandbox import SandboxConfig

    return SandboxConfig()


@pytest.fixture(scope="session")
def planet_sandbox_server(planet_sandbox_config: SandboxConfig) -> Iterator[Sandbox]:
    """One sandbox for the session. Tests want ``planet_sandbox``, which is clean."""
    try:
        from planet_provider.sandbox import run
    except ImportError as error:
        pytest.fail(str(error), pytrace=False)
    with run(planet_sandbox_config) as sandbox:
        yield sandbox


@pytest.fixture
def planet_sandbox(planet_sandbox_server: Sandbox, request: pytest.FixtureRequest) -> Sandbox:
    """A local Planet: no orders, searches, active assets, faults or recorded requests; real time."""
    settings: dict[str, Any] = {}
    for marker in request.node.iter_markers("planet_sandbox"):
        settings = {**marker.kwargs, **settings}
    planet_sandbox_server.reset(**settings)
    return planet_sandbox_server
