"""``airflow connections test`` says which account it is, or what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.auth import TOKEN_PATH

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AIRFLOW = Path(sys.executable).with_name("airflow")


def outcome(sandbox: Sandbox, home: Path, secret: str) -> subprocess.CompletedProcess[str]:
    connection = {
        "conn_type": "planet",
        "host": sandbox.url,
        "login": sandbox.config.oauth_client_id,
        "password": secret,
        "extra": {
            "auth": "oauth",
            "token_url": f"{sandbox.url}{TOKEN_PATH}",
            "coordination_store": "memory://",
        },
    }
    env = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_SATELLITES": json.dumps(connection),
    }
    command = [str(AIRFLOW), "connections", "test", "--verbose", "satellites"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_it_says_who_one_is_or_what_is_wrong(planet_sandbox: Sandbox, tmp_path: Path) -> None:
    config = planet_sandbox.config
    good = outcome(planet_sandbox, tmp_path, config.oauth_client_secret)
    said = good.stdout + good.stderr
    assert good.returncode == 0, said
    assert f"accepts the OAuth client {config.oauth_client_id} (account organization-of-" in said
    assert "Connection success!" in said
    bad = outcome(planet_sandbox, tmp_path, "hush-wrong-secret")
    # The console breaks lines.
    told = " ".join(bad.stdout.split())
    assert bad.returncode == 1
    assert "401: invalid_client. Check the connection's login (client id), password (client secret)" in told
    assert config.oauth_client_secret not in said
    assert "hush-wrong-secret" not in bad.stdout + bad.stderr
