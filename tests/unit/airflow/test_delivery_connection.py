"""Credentials of a delivery that come from a connection: into the request, and nowhere else."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.builders import delivery as order_delivery
from planet_provider.exceptions import (
    BadRequestError,
    ConfigurationError,
    CredentialsError,
    InvalidInputError,
)
from planet_provider.hooks.delivery import with_credentials
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sandbox import Fault, Sandbox

SERVICE_ACCOUNT = {
    "type": "service_account",
    "private_key": "-----BEGIN\nhush-key\n-----END",
    "client_id": "1",
}
IN_BASE64 = base64.b64encode(json.dumps(SERVICE_ACCOUNT).encode()).decode()


@dataclass
class Case:
    """A delivery without credentials, a connection that has them, and what Planet is to get."""

    cloud: str
    given: dict[str, Any]
    connection: dict[str, Any]
    sent: dict[str, Any]
    secrets: list[str] = field(default_factory=list)


KEYS = {"login": "hush-id-012345", "password": "hush-secret-012345"}
CASES = {
    "S3": Case(
        "amazon_s3",
        {"bucket": "imagery", "aws_region": "eu-west-1", "path_prefix": "june/"},
        {"conn_type": "aws", **KEYS, "extra": {"region_name": "us-east-1"}},
        {
            "bucket": "imagery",
            "aws_region": "eu-west-1",
            "path_prefix": "june/",
            "aws_access_key_id": "hush-id-012345",
            "aws_secret_access_key": "hush-secret-012345",
        },
        list(KEYS.values()),
    ),
    "S3, region of the connection": Case(
        "amazon_s3",
        {"bucket": "imagery"},
        {"conn_type": "aws", **KEYS, "extra": {"region_name": "us-east-1", "endpoint_url": "https://x"}},
        {
            "bucket": "imagery",
            "aws_region": "us-east-1",
            "aws_access_key_id": "hush-id-012345",
            "aws_secret_access_key": "hush-secret-012345",
        },
        list(KEYS.values()),
    ),
    "S3, extras of Planet's names": Case(
        "amazon_s3",
        {"bucket": "imagery", "aws_region": "eu-west-1"},
        {
            "conn_type": "generic",
            "login": "somebody",
            "extra": {
                "aws_access_key_id": "hush-id-012345",
                "aws_secret_access_key": "hush-secret-012345",  # pragma: allowlist secret
            },
        },
        {
            "bucket": "imagery",
            "aws_region": "eu-west-1",
            "aws_access_key_id": "hush-id-012345",
            "aws_secret_access_key": "hush-secret-012345",
        },
        list(KEYS.values()),
    ),
    "Azure": Case(
        "azure_blob_storage",
        {"container": "imagery"},
        {
            "conn_type": "wasb",
            "login": "account",
            "password": "hush-account-key",
            "extra": {"sas_token": "?sv=2022&sig=hush-signature"},
        },
        {"container": "imagery", "account": "account", "sas_token": "sv=2022&sig=hush-signature"},
        ["sv=2022&sig=hush-signature"],
    ),
    "Azure, a signed URL": Case(
        "azure_blob_storage",
        {"container": "imagery", "account": "another", "storage_endpoint_suffix": "core.example"},
        {
            "conn_type": "wasb",
            "login": "account",
            "extra": {
                "sas_token": "https://account.blob.core.windows.net/imagery?sv=2022&sig=hush-signature"
            },
        },
        {
            "container": "imagery",
            "account": "another",
            "storage_endpoint_suffix": "core.example",
            "sas_token": "sv=2022&sig=hush-signature",
        },
        ["sv=2022&sig=hush-signature"],
    ),
    "Google": Case(
        "google_cloud_storage",
        {"bucket": "imagery", "path_prefix": "june/"},
        {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": json.dumps(SERVICE_ACCOUNT)}},
        {"bucket": "imagery", "path_prefix": "june/", "credentials": IN_BASE64},
        [IN_BASE64, "hush-key"],
    ),
    "Google, a dict": Case(
        "google_cloud_storage",
        {"bucket": "imagery"},
        {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": SERVICE_ACCOUNT}},
        {"bucket": "imagery", "credentials": IN_BASE64},
        [IN_BASE64, "hush-key"],
    ),
    "Google, the old prefix": Case(
        "google_cloud_storage",
        {"bucket": "imagery"},
        {
            "conn_type": "google_cloud_platform",
            "extra": {"extra__google_cloud_platform__keyfile_dict": json.dumps(SERVICE_ACCOUNT)},
        },
        {"bucket": "imagery", "credentials": IN_BASE64},
        [IN_BASE64, "hush-key"],
    ),
    "Oracle": Case(
        "oracle_cloud_storage",
        {"bucket": "imagery", "region": "eu-frankfurt-1"},
        {"conn_type": "oci", **KEYS, "extra": {"namespace": "space", "region": "us-ashburn-1"}},
        {
            "bucket": "imagery",
            "region": "eu-frankfurt-1",
            "namespace": "space",
            "customer_access_key_id": "hush-id-012345",
            "customer_secret_key": "hush-secret-012345",
        },
        list(KEYS.values()),
    ),
    "S3-compatible": Case(
        "s3_compatible",
        {"bucket": "imagery", "use_path_style": True},
        {
            "conn_type": "aws",
            **KEYS,
            "extra": {"endpoint_url": "https://s3.example.com", "region_name": "eu"},
        },
        {
            "bucket": "imagery",
            "use_path_style": True,
            "endpoint": "https://s3.example.com",
            "region": "eu",
            "access_key_id": "hush-id-012345",
            "secret_access_key": "hush-secret-012345",
        },
        list(KEYS.values()),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A case, with its connection defined as ``store``."""
    case = CASES[request.param]
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(case.connection))
    return case


@pytest.fixture
def create(scenes: Scenes) -> Any:
    def make(**parameters: Any) -> PlanetCreateOrderOperator:
        settings = {"name": "june", "items": scenes.items, "product_bundle": "visual"} | parameters
        return PlanetCreateOrderOperator(task_id="order", poke_interval=0.05, **settings)

    return make


def placed(planet: Sandbox) -> list[dict[str, Any]]:
    return [
        json.loads(one.body)
        for one in planet.requests
        if (one.method, one.path) == ("POST", "/compute/ops/orders/v2")
    ]


@pytest.mark.guide("order-delivery")
def test_planet_gets_them_and_nobody_sees_them(
    planet: Sandbox,
    runner: Runner,
    ti: FakeTaskInstance,
    create: Any,
    case: Case,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    task = create(
        delivery={case.cloud: case.given, "archive_type": "zip"},
        delivery_conn_id="store",
        wait_for_completion=True,
        deferrable=True,
    )
    task.render_template_fields({"ti": ti})
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({"ti": ti})
    [request] = placed(planet)
    assert request["delivery"] == {case.cloud: case.sent, "archive_type": "zip"}
    planet.faults.add(
        Fault(kind="status", status=400, method="POST", path="/orders/v2$", body=json.dumps(request))
    )
    with pytest.raises(BadRequestError) as caught:
        runner.run(create(name="refused", delivery={case.cloud: case.given}, delivery_conn_id="store"))
    shown = [
        json.dumps(ti.xcoms),
        repr(deferred.value.trigger.serialize()),
        json.dumps(task_runner._serialize_rendered_fields(task)),
        repr(vars(task)),
        caplog.text,
        str(caught.value),
        repr(vars(caught.value)),
        *capfd.readouterr(),
    ]
    for secret in case.secrets:
        assert not [text for text in shown if secret in text]


def test_the_order_is_the_same_with_credentials_of_its_own(
    planet: Sandbox, runner: Runner, create: Any, case: Case
) -> None:
    by_connection = runner.run(create(delivery={case.cloud: case.given}, delivery_conn_id="store"))
    assert runner.run(create(delivery={case.cloud: case.sent})) == by_connection
    assert len(planet.orders) == 1


def test_the_connections_id_may_be_a_template(planet: Sandbox, runner: Runner, create: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_STORE_2024_05_01", json.dumps(CASES["S3"].connection))
        conn_id = "store_{{ ds.replace('-', '_') }}"
        runner.run(create(delivery={"amazon_s3": CASES["S3"].given}, delivery_conn_id=conn_id))
    assert placed(planet)[0]["delivery"]["amazon_s3"] == CASES["S3"].sent


def test_a_connection_that_is_missing(planet: Sandbox, runner: Runner, create: Any) -> None:
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        runner.run(create(delivery={"amazon_s3": CASES["S3"].given}, delivery_conn_id="nowhere"))
    assert planet.requests == []


def connection(**fields: Any) -> Connection:
    extra = fields.pop("extra", None)
    return Connection(
        conn_id="store",
        conn_type="generic",
        extra=extra if isinstance(extra, str) or extra is None else json.dumps(extra),
        **fields,
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_google_key_in_a_file(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(SERVICE_ACCOUNT), encoding)
    given = {"google_cloud_storage": {"bucket": "imagery"}}
    complete = with_credentials(given, connection(extra={"key_path": str(file)}))
    assert complete["google_cloud_storage"]["credentials"] == IN_BASE64
    order_delivery.check_delivery(complete)
    assert given == {"google_cloud_storage": {"bucket": "imagery"}}, "the given one is left alone"
    with pytest.raises(CredentialsError, match="cannot be read: FileNotFoundError"):
        with_credentials(given, connection(extra={"key_path": str(tmp_path / "nowhere.json")}))


@pytest.mark.parametrize(
    ("delivery", "fields", "said"),
    [
        (
            {"amazon_s3": {}},
            {},
            "no aws_access_key_id, aws_secret_access_key for amazon_s3: its login must be",
        ),
        ({"amazon_s3": {}}, {"login": "a"}, "no aws_secret_access_key for amazon_s3"),
        ({"azure_blob_storage": {}}, {"login": "a", "password": "hush"}, "an account key can't be given"),
        ({"google_cloud_storage": {}}, {}, "needs the extra keyfile_dict or key_path"),
        ({"google_cloud_storage": {}}, {"extra": {"keyfile_dict": "hush{"}}, "the key is not JSON"),
        ({"oracle_cloud_storage": {}}, {}, "no customer_access_key_id, customer_secret_key"),
        ({"s3_compatible": {}}, {"password": "hush"}, "no access_key_id for s3_compatible"),
        (
            {"amazon_s3": {}},
            {"login": "a", "password": "hush", "extra": {"aws_session_token": "hush"}},
            "holds temporary credentials (aws_session_token)",
        ),
    ],
)
def test_connections_that_lack_something(delivery: dict[str, Any], fields: Any, said: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        with_credentials(delivery, connection(**fields))
    assert "Connection 'store'" in str(caught.value)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_extra_that_is_no_object() -> None:
    with pytest.raises(ConfigurationError, match="must be a JSON object"):
        with_credentials({"amazon_s3": {}}, connection(login="a", password="b", extra="[1]"))


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        (None, "this one has none"),
        ({}, "this one has none"),
        ({"archive_type": "zip"}, "this one has none"),
        ({"destination": {"ref": "pl:destinations/x"}}, "this one has none"),
        (
            {"google_earth_engine": {"project": "p", "collection": "c"}},
            "goes with a delivery to one of amazon",
        ),
        ({"amazon_s3": {}, "s3_compatible": {}}, "this one has ['amazon_s3', 's3_compatible']"),
        ({"amazon_s3": {"aws_access_key_id": "hush"}}, "come from the connection; leave them out"),
    ],
)
def test_deliveries_that_take_none(delivery: Any, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        with_credentials(delivery, connection(login="a", password="b"))
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)
