"""From Airflow connections to buckets, and to Airflow's file systems where there is no other way."""

from __future__ import annotations

import builtins
import json
import logging
import sys
from datetime import datetime, timedelta, timezone
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk import ObjectStoragePath
from airflow_support import FakeTaskInstance, Runner
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks import buckets
from planet_provider.hooks.storage import store_and_name, store_at
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sandbox import Sandbox
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.spool import ObjectStore


@pytest.fixture(autouse=True)
def said_nothing() -> None:
    buckets._say.cache_clear()


def connection(monkeypatch: pytest.MonkeyPatch, moto_url: str, **extra: Any) -> None:
    fields = {
        "conn_type": "aws",
        "login": "AKIATESTTESTTEST",
        "password": "secret-of-the-store",
        "extra": {"endpoint_url": moto_url, "region_name": "us-east-1", **extra},
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(fields))


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_a_connection_leads_to_its_bucket(s3: Any, as_text: bool, scheme: str) -> None:
    destination: Any = f"{scheme}://store@bucket/a/b"
    store = store_at(destination if as_text else ObjectStoragePath(destination), "destination")
    assert isinstance(store, BucketStore)
    write(store, "c.tif", b"content")
    assert s3.get_object(Bucket="bucket", Key="a/b/c.tif")["Body"].read() == b"content"
    assert store.uri("c.tif") == f"{scheme}://store@bucket/a/b/c.tif"
    folder, name = store_and_name(store.uri("c.tif"), "path")
    assert read(folder, name, 10) == b"content"
    assert "secret" not in repr(store.client)


@pytest.mark.parametrize(
    "folder",
    [
        "field #3",
        "pct%20a",
        "?",
        *(pytest.param(each, marks=pytest.mark.ci) for each in ("q?x=1", "50%", "semi;p", "a+b c", "é", "#")),
    ],
)
def test_a_key_is_what_the_destination_says(s3: Any, folder: str) -> None:
    store = store_at(f"s3://store@bucket/{folder}/in", "destination")
    assert isinstance(store, BucketStore)
    write(store.child("order"), "c.tif", b"content")
    assert s3.get_object(Bucket="bucket", Key=f"{folder}/in/order/c.tif")["Body"].read() == b"content"
    # What is reported is where other tasks, and our own, read it.
    assert list(store.names()) == ["order/c.tif"]
    path = store.uri("order/c.tif")
    assert ObjectStoragePath(path).read_bytes() == b"content"
    again, name = store_and_name(path, "path")
    assert read(again, name, 10) == b"content"


def test_a_search_s_result_can_be_read_where_it_says(planet: Sandbox, s3: Any) -> None:
    for number in (1, 2):
        ti = FakeTaskInstance()
        output_path = f"s3://store@bucket/field #{number}/scenes.ndjson"
        task = PlanetSearchOperator(
            task_id="search", item_types=["PSScene"], limit=number, output_path=output_path
        )
        Runner().run(task, ti)
        assert ti.xcoms["summary"]["output_path"] == output_path
    for number in (1, 2):
        lines = ObjectStoragePath(f"s3://store@bucket/field #{number}/scenes.ndjson").read_text().splitlines()
        assert len(lines) == number


def test_a_bucket_without_prefix(s3: Any) -> None:
    store = store_at("s3://store@bucket", "destination")
    write(store, "c.tif", b"content")
    assert s3.get_object(Bucket="bucket", Key="c.tif")["Body"].read() == b"content"


def test_an_assumed_role_gives_the_credentials(
    s3: Any, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "arn:aws:iam::123456789012:role/planet"
    connection(monkeypatch, moto_url, role_arn=role, service_config={"sts": {"endpoint_url": moto_url}})
    store = store_at("s3://store@bucket/a", "destination")
    assert isinstance(store, BucketStore)
    credentials = store.client.credential_provider()
    assert credentials["token"]
    assert credentials["access_key_id"] != "AKIATESTTESTTEST"
    assert credentials["expires_at"] > datetime.now(timezone.utc) + timedelta(minutes=5)
    write(store, "b", b"content")
    assert s3.get_object(Bucket="bucket", Key="a/b")["Body"].read() == b"content"


@pytest.mark.parametrize(
    "extra",
    [
        {"config_kwargs": {"s3": {"addressing_style": "virtual"}}},
        {
            "service_config": {
                "s3": {"signer": "S3V4RestSigner", "signer_uri": "http://x", "signer_token": "t"}
            }
        },
    ],
    ids=["virtual hosts", "signer"],
)
def test_what_obstore_does_not_know_is_left_to_airflows_file_system(
    s3: Any,
    moto_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    extra: dict[str, Any],
) -> None:
    connection(monkeypatch, moto_url, **extra)
    path = ObjectStoragePath("s3://store@bucket/a")
    with caplog.at_level(logging.INFO, logger=buckets.__name__):
        assert buckets.bucket_store(path) is None
        assert buckets.bucket_store(path) is None
    assert caplog.text.count("local spool") == 1


def test_without_obstore_everything_goes_by_the_spool(
    s3: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "obstore":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with caplog.at_level(logging.INFO, logger=buckets.__name__):
        store = store_at("s3://store@bucket/a", "destination")
    assert isinstance(store, ObjectStore)
    assert "obstore is not installed" in caplog.text
    write(store, "b.tif", b"content")
    assert s3.get_object(Bucket="bucket", Key="a/b.tif")["Body"].read() == b"content"
    assert list(store.names()) == ["b.tif"]


def test_a_scheme_that_nothing_brings_names_the_extra() -> None:
    with pytest.raises(InvalidInputError, match=r"airflow-provider-planet\[gcs\]"):
        store_at("gs://conn@bucket/prefix", "destination")


def test_a_buckets_own_region_is_found() -> None:
    class RefusedError(Exception):
        response: ClassVar = {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "eu-central-1"}}}

    class Client:
        exceptions = SimpleNamespace(ClientError=RefusedError)
        meta = SimpleNamespace(region_name="us-east-1")

        def head_bucket(self, **_: Any) -> Any:
            raise RefusedError

    assert buckets._in_its_region(Client(), "bucket", lambda region: region) == "eu-central-1"
    same = Client()
    same.meta = SimpleNamespace(region_name="eu-central-1")
    assert buckets._in_its_region(same, "bucket", lambda region: region) is same


@pytest.mark.parametrize("fault", [EndpointConnectionError, ConnectionClosedError, ReadTimeoutError])
def test_where_no_one_tells_a_buckets_region_its_own_is_taken(
    fault: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    class Client:
        exceptions = SimpleNamespace(ClientError=ClientError)
        meta = SimpleNamespace(region_name="eu-west-1")

        def head_bucket(self, **_: Any) -> Any:
            raise fault(endpoint_url="https://s3.eu-west-1.amazonaws.com")

    client = Client()
    with caplog.at_level(logging.WARNING, logger=buckets.__name__):
        assert buckets._in_its_region(client, "imagery", lambda region: region) is client
    assert "eu-west-1" in caplog.text
    assert "imagery" in caplog.text


def test_google_credentials_renew_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Credentials:
        valid = False
        token, expiry = None, None

        def refresh(self, _: Any) -> None:
            self.token, self.expiry, self.valid = "token-1", datetime(2030, 1, 1), True

    class GoogleBaseHook:
        def __init__(self, gcp_conn_id: str) -> None:
            assert gcp_conn_id == "cloud"

        def get_credentials(self) -> Credentials:
            return Credentials()

    name = "airflow.providers.google.common.hooks.base_google"
    parts = name.split(".")
    for end in range(3, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    requests = ModuleType("google.auth.transport.requests")
    requests.Request = object  # type: ignore[attr-defined]
    for module in ("google.auth", "google.auth.transport"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    monkeypatch.setitem(sys.modules, requests.__name__, requests)
    sys.modules[name].GoogleBaseHook = GoogleBaseHook  # type: ignore[attr-defined]
    path: Any = SimpleNamespace(protocol="gs", bucket="bucket", path="bucket/a", conn_id="cloud")
    store = buckets.bucket_store(path)
    assert store is not None
    provider: Any = store.client.credential_provider
    assert provider() == {"token": "token-1", "expires_at": datetime(2030, 1, 1, tzinfo=timezone.utc)}


@pytest.mark.parametrize(
    ("fs", "config"),
    [
        ({"account_key": "a2V5"}, {"account_key": "a2V5"}),
        (
            {"client_id": "id", "client_secret": "secret", "tenant_id": "tenant"},
            {"client_id": "id", "client_secret": "secret", "tenant_id": "tenant"},
        ),
    ],
)
def test_an_azure_account_is_taken_from_airflows_file_system(
    fs: dict[str, str], config: dict[str, str]
) -> None:
    account = SimpleNamespace(account_name="account", **fs)
    path: Any = SimpleNamespace(
        protocol="abfs", bucket="container", path="container/a", conn_id="x", fs=account
    )
    store = buckets.bucket_store(path)
    assert store is not None
    made = dict(store.client.config)
    assert made.items() >= {"account_name": "account", "container_name": "container", **config}.items()


def test_other_azure_credentials_are_left_to_the_file_system() -> None:
    fs = SimpleNamespace(account_name="account", credential=object())
    path: Any = SimpleNamespace(protocol="abfs", bucket="container", path="container/a", conn_id="x", fs=fs)
    assert buckets.bucket_store(path) is None
