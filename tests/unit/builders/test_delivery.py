from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from planet_provider.builders import delivery as order_delivery
from planet_provider.builders import order_request, spec
from planet_provider.exceptions import InvalidInputError

PRODUCT = {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
REQUEST: dict[str, Any] = {"name": "weekly", "products": [PRODUCT]}
S3 = {
    "aws_access_key_id": "AKIA",
    "aws_secret_access_key": "hunter2",
    "bucket": "b",
    "aws_region": "eu-west-1",
}


def refused(call: Callable[[], Any], field: str, words: str) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert caught.value.field == field
    assert words in caught.value.remedy
    return caught.value


def changed(**fields: Any) -> dict[str, Any]:
    return {**REQUEST, **fields}


@pytest.mark.parametrize(
    ("delivery", "field", "words"),
    [
        ({"s3": S3}, "delivery", "s3 is not known"),
        ({"amazon_s3": S3, "destination": {"ref": "pl:destinations/x"}}, "delivery", "goes to one"),
        ({"amazon_s3": {"bucket": "b"}}, "delivery.amazon_s3", "lacks aws_access_key_id"),
        ({"amazon_s3": {**S3, "region": "x"}}, "delivery.amazon_s3", "region is not known"),
        ({"amazon_s3": {**S3, "bucket": ""}}, "delivery.amazon_s3.bucket", "not empty"),
        ({"destination": {"ref": "x"}}, "delivery.destination.ref", "pl:destinations/<id>"),
        ({"archive_type": "tar"}, "delivery.archive_type", "one of zip"),
        ({"single_archive": True}, "delivery", "need an archive_type"),
        ({"archive_type": "zip", "single_archive": "no"}, "delivery.single_archive", "true or false"),
        ({"archive_type": "zip", "archive_filename": ""}, "delivery.archive_filename", "not empty"),
    ],
)
def test_delivery_refused_by_name(delivery: dict[str, Any], field: str, words: str) -> None:
    refused(lambda: order_request.validate(changed(delivery=delivery)), field, words)


def test_delivery_joins_parts_given_once() -> None:
    archive = order_delivery.zip_archive()
    refused(lambda: order_delivery.delivery(archive, archive), "delivery[1]", "pass it once")
    refused(lambda: order_delivery.delivery("zip"), "delivery[0]", "dict")  # type: ignore[arg-type]
    refused(
        lambda: order_delivery.s3_compatible(
            endpoint="e",
            bucket="b",
            region="r",
            access_key_id="k",
            secret_access_key="s",
            use_path_style="no",
        ),
        "delivery.s3_compatible.use_path_style",
        "true or false",
    )


CREDENTIALS = [
    (cloud, name) for cloud, names in order_delivery.CREDENTIAL_FIELDS.items() for name in sorted(names)
]


def filled(cloud: str) -> dict[str, Any]:
    """A delivery to the cloud, with every field's value telling whether it is a credential."""
    builder = getattr(order_delivery, cloud)
    secrets = order_delivery.CREDENTIAL_FIELDS[cloud]
    names = inspect.signature(builder).parameters.keys() - {"use_path_style"}
    return builder(**{name: "hunter2" if name in secrets else "pl:destinations/shown" for name in names})


def test_every_cloud_says_which_fields_are_credentials() -> None:
    assert len(CREDENTIALS) == 8
    assert order_request.CREDENTIAL_FIELDS is order_delivery.CREDENTIAL_FIELDS
    for cloud in order_delivery.CREDENTIAL_FIELDS:
        shown = order_delivery.without_credentials(filled(cloud))
        assert "hunter2" not in json.dumps(shown)
        assert "shown" in json.dumps(shown)


@pytest.mark.parametrize(("cloud", "name"), CREDENTIALS)
def test_errors_show_no_credential(cloud: str, name: str) -> None:
    for damage in (
        lambda values: values.update({name: " hunter2"}),
        lambda values: values.update({name: {"key": "hunter2"}}),
        lambda values: values.update({f"{name}s": "hunter2"}),
        lambda values: values.pop(name),
    ):
        delivery = filled(cloud)
        damage(delivery[cloud])
        with pytest.raises(InvalidInputError) as caught:
            order_request.validate(changed(delivery=delivery))
        assert "hunter2" not in str(caught.value)
        assert cloud in caught.value.field


def test_other_secrets_are_not_shown_either() -> None:
    azure = {"account": "a", "container": "c", "sas_token": "?hunter2"}
    for request in (
        changed(delivery={"azure_blob_storage": azure}),
        changed(delivery="hunter2"),
        changed(delivery={"amazon_s3": "hunter2"}),
        changed(notifications={"webhook": {"url": "ftp://h/hunter2"}}),
        changed(notifications={"webhook": {"url": "https:///hunter2"}}),
        changed(notifications={"webhook": {"url": "https://[hunter2"}}),
        changed(notifications={"webhook": {"url": " https://h/hunter2"}}),
        {**REQUEST, "deliveries": "hunter2", "productz": "hunter2"},
        changed(delivery={"new_cloud": {"token": {"hunter2"}}}),
    ):
        with pytest.raises(InvalidInputError) as caught:
            order_request.validate(request)
        assert "hunter2" not in str(caught.value)


def test_credentials_of_a_cloud_that_planet_added_since(caplog: pytest.LogCaptureFixture) -> None:
    cloud = {"bucket": "b", "access_token": "hunter2"}
    s3 = {**S3, "session_token": "hunter2", "storage_class": "cold"}
    for given, left in (
        ({"moon_storage": cloud}, {"moon_storage": {"bucket": "b"}}),
        (
            {"amazon_s3": s3},
            {"amazon_s3": {"bucket": "b", "aws_region": "eu-west-1", "storage_class": "cold"}},
        ),
    ):
        spec.warn.cache_clear()
        caplog.clear()
        order_request.validate(changed(delivery=given))
        assert "It is sent as it is." in caplog.text
        assert "hunter2" not in caplog.text
        assert order_delivery.without_credentials(given) == left


def test_without_credentials_leaves_the_rest() -> None:
    delivery = {"archive_type": "zip", "amazon_s3": S3, "destination": "malformed"}
    assert order_delivery.without_credentials(delivery) == {
        "archive_type": "zip",
        "amazon_s3": {"bucket": "b", "aws_region": "eu-west-1"},
        "destination": "malformed",
    }
    assert delivery["amazon_s3"] == S3


@pytest.mark.parametrize(
    ("name", "pattern", "field"),
    [
        ("a" * 179 + "b" * 16, None, "name"),
        ("田" * 66, "{{name}}_{{order_id}}.zip", "name"),
        ("a", "a" * 232 + ".zip", "delivery.archive_filename"),
    ],
)
def test_an_archive_that_could_not_be_downloaded_is_refused(
    name: str, pattern: str | None, field: str
) -> None:
    delivery = {"archive_type": "zip", "single_archive": True, "archive_filename": pattern}
    with pytest.raises(InvalidInputError, match=rf"^{field}=.*must be \d+ bytes? shorter"):
        order_delivery.check_archive_name(name, {"name": name, "delivery": delivery})
    order_delivery.check_archive_name(name, {"name": name, "delivery": {**delivery, "single_archive": False}})


def test_the_longest_name_of_an_archive_is_allowed() -> None:
    name = "a" * 194
    order_delivery.check_archive_name(
        name, {"name": name, "delivery": {"archive_type": "zip", "single_archive": True}}
    )
