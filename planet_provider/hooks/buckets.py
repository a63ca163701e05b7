"""From an Airflow connection to the bucket it leads to: credentials that renew themselves, region and endpoint.

Where obstore is not installed, or a connection uses what obstore doesn't know, there is no bucket here: then the
file system that Airflow has for the URL is used, by way of a local spool.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from planet_provider.transfer.stores.bucket import BucketStore

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: How long AWS credentials are used before botocore is asked again. Source: botocore renews those that expire
#: within 10 minutes before it hands them out.
_AWS_CREDENTIALS = timedelta(minutes=9)

#: A request's time, with its body: a part of 5 MiB among 12 on a line of 2 Mbit/s.
_TIMEOUT = timedelta(minutes=5)
_CONNECT_TIMEOUT = timedelta(seconds=10)

#: How long a request is tried again where the store answers 5xx or not at all.
_RETRY = timedelta(minutes=2)


class _UnknownError(Exception):
    """The connection uses what obstore doesn't know."""


def bucket_store(path: ObjectStoragePath) -> BucketStore | None:
    """Return the bucket's store.

    :return: ``None`` where it is reached by Airflow's file system alone.
    """
    make = _MAKERS.get(path.protocol)
    bucket = path.bucket.rpartition("@")[2]  # before Airflow 3.2 with the connection in front
    if make is None or not bucket:
        return None
    try:
        import obstore.store  # noqa: F401
    except ImportError:
        _say(path.protocol, "obstore is not installed (airflow-provider-planet[s3], [gcs] or [azure])")
        return None
    try:
        client = make(path, bucket)
    except _UnknownError as reason:
        _say(path.protocol, str(reason))
        return None
    # Not path.key, which ends at a "#" or "?": the file system's own path is what others read by.
    return BucketStore(client, path.path.partition("/")[2], uri=str(path))


@functools.cache
def _say(protocol: str, reason: str) -> None:
    log.info("%s:// is written to by way of a local spool, which is slower: %s.", protocol, reason)


def _options(**options: Any) -> dict[str, Any]:
    return {
        "client_options": {"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, **options},
        "retry_config": {"retry_timeout": _RETRY},
    }


def _s3(path: ObjectStoragePath, bucket: str) -> Any:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from obstore.store import S3Store

    hook = S3Hook(aws_conn_id=_conn_id(path))
    if hook.service_config.get("signer"):
        _unknown("the connection names a signer")
    session, client = hook.get_session(), hook.get_conn()
    settings = client.meta.config
    style = (settings.s3 or {}).get("addressing_style", "auto")
    own_endpoint = hook.conn_config.get_service_endpoint_url("s3") or not _is_aws(client.meta.endpoint_url)
    if own_endpoint and style == "virtual":
        _unknown("the connection's endpoint wants the bucket in the host name")
    credentials = session.get_credentials()
    if credentials is not None and not own_endpoint:
        client = _in_its_region(client, bucket, lambda region: hook.get_client_type(region_name=region))
    return S3Store(
        bucket,
        endpoint=client.meta.endpoint_url,
        region=_region(client.meta.region_name),
        virtual_hosted_style_request=False,
        skip_signature=credentials is None,
        credential_provider=None if credentials is None else _AWSCredentials(credentials),
        **_options(**_aws_transport(hook, settings, client.meta.endpoint_url)),
    )


def _aws_transport(hook: Any, settings: Any, endpoint: str) -> dict[str, Any]:
    options: dict[str, Any] = {"allow_http": endpoint.startswith("http://")}
    proxies: Mapping[str, str] = settings.proxies or {}
    proxy = hook.service_config.get("proxy-uri") or proxies.get(endpoint.partition(":")[0])
    if proxy:
        options["proxy_url"] = proxy
    if hook.verify is False:
        options["allow_invalid_certificates"] = True
    elif isinstance(hook.verify, str):
        with open(hook.verify, "rb") as certificates:
            options["root_certificate"] = certificates.read()
    return options


def _is_aws(endpoint: str) -> bool:
    host = endpoint.partition("://")[2].partition("/")[0].partition(":")[0]
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _region(name: str | None) -> str:
    # botocore's pseudo region of an endpoint without one.
    return "us-east-1" if name in {None, "aws-global"} else str(name)


def _in_its_region(client: Any, bucket: str, client_in: Callable[[str], Any]) -> Any:
    """Return a client in the bucket's region: obstore doesn't follow S3's word that it is elsewhere."""
    from botocore.exceptions import ConnectionError as NoConnectionError  # type: ignore[import-untyped]
    from botocore.exceptions import HTTPClientError

    try:
        answer = client.head_bucket(Bucket=bucket)
    except (NoConnectionError, HTTPClientError) as error:
        log.warning(
            "The region of bucket %s can't be asked for; %s is taken. %s",
            bucket,
            client.meta.region_name,
            error,
        )
        return client
    except client.exceptions.ClientError as error:
        answer = error.response  # a refusal names the region too
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region")
    return client if not region or region == _region(client.meta.region_name) else client_in(region)


class _AWSCredentials:
    """A session's credentials, renewed where they have to be (assumed roles, instance profiles)."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> Any:
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(timezone.utc) + _AWS_CREDENTIALS,
        }


def _gcs(path: ObjectStoragePath, bucket: str) -> Any:
    from obstore.store import GCSStore

    try:
        from airflow.providers.google.common.hooks.base_google import (  # type: ignore[import-not-found]
            GoogleBaseHook,
        )
    except ImportError:
        _unknown("the Google provider is not installed (airflow-provider-planet[gcs])")
    if _conn_id(path) is None:
        import google.auth  # type: ignore[import-untyped]

        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_write"])
    else:
        credentials = GoogleBaseHook(gcp_conn_id=_conn_id(path)).get_credentials()
    return GCSStore(bucket, credential_provider=_GoogleCredentials(credentials), **_options())


class _GoogleCredentials:
    """Google credentials, renewed where they have to be."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> Any:
        if not self._credentials.valid:
            from google.auth.transport.requests import Request  # type: ignore[import-untyped]

            self._credentials.refresh(Request())
        expiry = self._credentials.expiry  # naive, in UTC
        return {
            "token": self._credentials.token,
            "expires_at": None if expiry is None else expiry.replace(tzinfo=timezone.utc),
        }


def _azure(path: ObjectStoragePath, bucket: str) -> Any:
    """Take the account and its secret from the file system that Airflow makes of the connection."""
    from obstore.store import AzureStore

    fs = path.fs
    account = getattr(fs, "account_name", None)
    forms = (
        {"account_key": "account_key"},
        {"sas_key": "sas_token"},
        {"client_id": "client_id", "client_secret": "client_secret", "tenant_id": "tenant_id"},
    )
    for form in forms:
        secret = {key: getattr(fs, attribute, None) for key, attribute in form.items()}
        if account and all(secret.values()):
            break
    else:
        _unknown("obstore has no use for this form of Azure credentials")
    host = getattr(fs, "account_host", None) or f"{account}.blob.core.windows.net"
    return AzureStore(bucket, account_name=account, endpoint=f"https://{host}", **secret, **_options())


def _unknown(reason: str) -> NoReturn:
    raise _UnknownError(reason)


_MAKERS: Mapping[str, Callable[[ObjectStoragePath, str], Any]] = {
    "s3": _s3,
    "s3a": _s3,
    "s3n": _s3,
    "gs": _gcs,
    "gcs": _gcs,
    "abfs": _azure,
    "abfss": _azure,
}


def _conn_id(path: ObjectStoragePath) -> str | None:
    """Return a path's connection id, which is an attribute of its own since Airflow 3.2."""
    try:
        return path.conn_id
    except AttributeError:
        found = path.storage_options.get("conn_id")
        return None if found is None else str(found)
