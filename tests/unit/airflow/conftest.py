"""A sandbox behind the connection ``planet_default``."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow_support import CONNECTION, FAST, Connect, FakeSupervisor, FakeTaskInstance, Runner, Scenes

from planet_provider.client.auth.token_cache import forget_tokens
from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.bundles import choose

S3_SECRET = {"aws_access_key_id": "AKIATESTTESTTEST", "aws_secret_access_key": "secret-of-the-store"}


def _same_user_agent(_: Any, existing_user_agent_extra: str | None = None) -> str:
    return existing_user_agent_extra or ""


@pytest.fixture(autouse=True)
def supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", FakeSupervisor(), raising=False)


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def ti() -> FakeTaskInstance:
    return FakeTaskInstance()


@pytest.fixture
def planet_sandbox(planet_sandbox_server: Sandbox, request: pytest.FixtureRequest) -> Sandbox:
    """The plugin's fixture, but without rate limits where a test doesn't ask for them."""
    settings: dict[str, Any] = {}
    for marker in request.node.iter_markers("planet_sandbox"):
        settings = {**marker.kwargs, **settings}
    # A key of its own for each test, because the limiter remembers what an account was told; so no test may
    # have a key or a token that another fetched.
    forget_tokens()
    key = f"PLAK-{uuid.uuid4().hex}"
    planet_sandbox_server.reset(**{"rate_limits": False, "api_keys": (key,), **settings})
    return planet_sandbox_server


@pytest.fixture
def connect(planet_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Define ``planet_default``: the sandbox's URL and key, with other fields or extras where given."""

    def define(fields: dict[str, Any] | None = None, **extra: Any) -> None:
        connection = {
            "conn_type": "planet",
            "host": planet_sandbox.url,
            "password": planet_sandbox.api_key,
            "extra": {**FAST, **extra},
        }
        monkeypatch.setenv(CONNECTION, json.dumps(connection | (fields or {})))

    return define


@pytest.fixture
def planet(planet_sandbox: Sandbox, connect: Connect) -> Iterator[Sandbox]:
    """The sandbox, with ``planet_default`` leading to it."""
    connect()
    return planet_sandbox


@pytest.fixture
def scenes(planet_sandbox: Sandbox) -> Scenes:
    """Two scenes that can be ordered as ``visual``."""
    orderable = (
        item.id
        for item in planet_sandbox.catalogue
        if item.item_type == "PSScene" and choose(item, "visual") == "visual"
    )
    return Scenes("PSScene", [next(orderable), next(orderable)])


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """S3, as moto plays it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_client(moto_url: str) -> Any:
    """A boto3 client for moto; making one takes a quarter of a second."""
    import boto3

    return boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1", **S3_SECRET)


@pytest.fixture
def s3(moto_url: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A boto3 client with an empty bucket ``bucket``, which the Airflow connection ``store`` leads to."""
    import fsspec
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
    from airflow.sdk.io import store as object_stores

    # It inspects the whole stack, which is deep under pytest, and takes half of the time to connect.
    monkeypatch.setattr(AwsGenericHook, "_generate_user_agent_extra_field", _same_user_agent)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    connection = {
        "conn_type": "aws",
        "login": S3_SECRET["aws_access_key_id"],
        "password": S3_SECRET["aws_secret_access_key"],
        "extra": {"endpoint_url": moto_url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(connection))
    monkeypatch.setattr(object_stores, "_STORE_CACHE", {})
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    s3_client.create_bucket(Bucket="bucket")
    yield s3_client
    for entry in s3_client.list_objects_v2(Bucket="bucket").get("Contents", []):
        s3_client.delete_object(Bucket="bucket", Key=entry["Key"])
    s3_client.delete_bucket(Bucket="bucket")
