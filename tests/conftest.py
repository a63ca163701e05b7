"""What all tests share: an Airflow home of their own, and no credential from the machine they run on."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from planet_provider.sandbox import SandboxConfig

# A busy machine may stop any thread for seconds: how long an example took says nothing about the code.
settings.register_profile(
    "quick", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=500)
settings.load_profile("quick")  # `make test-all` asks for the other one

# Airflow reads these once, when it is imported, which is before any fixture runs.
_HOME = tempfile.mkdtemp(prefix="planet-airflow-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_", "PL_"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}


#: Tests with a real Airflow: one after another, in one of xdist's workers, so that they share it.
WITH_AIRFLOW = (
    "tests/integration/",
    "tests/cluster/test_airflow_crowd.py",
    "tests/cluster/test_backfill_month.py",
    "tests/cluster/test_celery_cluster.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send each test to a worker that is free, but all with a real Airflow to one.

    The marker ``xdist_group`` does that too, but not with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneAirflow(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "airflow" if nodeid.startswith(WITH_AIRFLOW) else nodeid

    return OneAirflow(config, log)


@pytest.fixture(scope="session")
def planet_sandbox_config() -> SandboxConfig:
    """Orders and assets that take longer than a busy machine may from one step of a test to the next.

    Tests that want an end move the sandbox's clock.
    """
    from planet_provider.sandbox import SandboxConfig

    return SandboxConfig(queued_seconds=60.0, running_seconds=240.0, activation_seconds=50.0)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give each test an empty home, without the developer's own Planet key."""
    # Not mktemp(), which lists all folders that there are already.
    home = Path(tempfile.mkdtemp(prefix="home-", dir=tmp_path_factory.getbasetemp()))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("PL_API_KEY", raising=False)
    return home


@pytest.fixture(autouse=True)
def no_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test redact what an earlier one in this process has had remembered, such as six zeros."""
    from planet_provider import known_secrets

    monkeypatch.setattr(known_secrets, "_known", {})
    monkeypatch.setattr(known_secrets, "_forms", ())
    if "airflow" in sys.modules:
        # For each new secret Airflow compiles all that it knows into one pattern: with the secrets of thousands of
        # tests, this was a fifth of their CPU time.
        from airflow.sdk._shared.secrets_masker import reset_secrets_masker

        reset_secrets_masker()


@pytest.fixture(autouse=True, scope="session")
def certificates_are_read_once() -> Iterator[None]:
    """Share what httpx reads from the file of certificates: for a client in each test, this was another fifth."""
    from httpx._transports import default

    create = default.create_ssl_context
    read_once = functools.cache(lambda *_: create())

    def create_ssl_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is True and cert is None and trust_env:
            return read_once(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        return create(verify=verify, cert=cert, trust_env=trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", create_ssl_context)
        yield
