"""What tests with a whole cluster need beside Airflow: hasty retries, a bucket, connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planet_provider.coordination.redis_url import redis_client
from planet_provider.sandbox import Sandbox

POLICY = """
from datetime import timedelta

def task_policy(task):
    task.retry_delay = timedelta(seconds=5)
"""
SECRET = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing-secret"}
REGION = "us-east-1"


def retry_soon(home: Path) -> None:
    """Have an Airflow that is not started yet try every task again after 5 s, whatever its DAG says.

    By a cluster policy, so that the example DAGs stay as they are.
    """
    folder = home / "config"
    folder.mkdir(parents=True)
    (folder / "airflow_local_settings.py").write_text(POLICY)


def planet_connection(sandbox: Sandbox, **extra: object) -> str:
    """Return an Airflow connection to a sandbox, as JSON."""
    connection = {"conn_type": "planet", "host": sandbox.url, "password": sandbox.api_key, "extra": extra}
    return json.dumps(connection)


def remember_for_an_hour(redis_url: str) -> None:
    """Have a new Redis look as if it had noted orders for an hour: else each is looked for at length first."""
    client = redis_client(redis_url)
    seconds, _ = client.time()
    client.hset("planet-orders", "epoch", f"{client.info('server')['run_id']} {seconds - 3600}")


@dataclass(frozen=True)
class Bucket:
    """A bucket of a local S3.

    :param name: Its name.
    :param endpoint: URL of the S3.
    """

    name: str
    endpoint: str
    client: Any = field(repr=False)

    def connection(self) -> str:
        """Return an Airflow connection to the S3, as JSON."""
        extra = {"endpoint_url": self.endpoint, "region_name": REGION}
        login, password = SECRET.values()
        return json.dumps({"conn_type": "aws", "login": login, "password": password, "extra": extra})

    def objects(self) -> dict[str, bytes]:
        """Return all objects by key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: self.client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}


@contextmanager
def s3_bucket(name: str) -> Iterator[Bucket]:
    """Run moto's S3 with one empty bucket for the length of the block."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **SECRET)
        client.create_bucket(Bucket=name)
        yield Bucket(name, endpoint, client)
    finally:
        server.stop()
