from __future__ import annotations

from datetime import timedelta

import pytest

from planet_provider import exceptions
from planet_provider.exceptions import (
    AuthenticationError,
    OverQuotaError,
    PlanetError,
    RateLimitError,
    RateLimitQueueError,
    ServerError,
    TransportError,
)

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Retry policies came with Airflow 3.3")

from airflow.sdk import DAG
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.serialization.serialized_objects import DagSerialization

from planet_provider.hooks.task_errors import as_task_error
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.operators.retry_policy import PlanetRetryPolicy

STATUS = {"request": "POST /orders"}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitError("slow down", status=429, retry_after=90.0, **STATUS), 90.0),
        (ServerError("later", status=503, retry_after=20.0, **STATUS), 20.0),
        (RateLimitQueueError("crowded", rate_class="orders.create", wait_seconds=700.0), 700.0),
    ],
)
def test_a_task_comes_back_when_it_was_told_to(error: PlanetError, seconds: float) -> None:
    delays = set()
    for _ in range(50):
        decision = PlanetRetryPolicy().evaluate(as_task_error(error), 1, 3)
        assert decision.action is RetryAction.RETRY
        assert decision.retry_delay is not None
        assert seconds <= decision.retry_delay.total_seconds() <= seconds * 1.1
        delays.add(decision.retry_delay)
    assert len(delays) > 10


@pytest.mark.parametrize(
    "error",
    [ServerError("later", status=503, **STATUS), TransportError("cut", sent=True), ValueError("a bug")],
)
def test_without_a_word_the_task_s_own_delay_holds(error: Exception) -> None:
    assert PlanetRetryPolicy().evaluate(error, 1, 3).action is RetryAction.DEFAULT


@pytest.mark.parametrize(
    "error",
    [OverQuotaError("empty", status=403, **STATUS), AuthenticationError("who?", status=401, **STATUS)],
)
def test_what_no_retry_mends_fails_at_once(error: PlanetError) -> None:
    decision = PlanetRetryPolicy().evaluate(error, 1, 3)
    assert decision.action is RetryAction.FAIL
    assert type(error).__name__ in str(decision.reason)


def test_it_agrees_with_every_error_s_own_word() -> None:
    kinds = [
        kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, PlanetError)
    ]
    assert len(kinds) > 20
    for kind in kinds:
        error = kind.__new__(kind)
        error.args = ("x",)
        if kind is RateLimitQueueError:
            error.wait_seconds = 1.0  # type: ignore[attr-defined]
        failed = PlanetRetryPolicy().evaluate(error, 1, 3).action is RetryAction.FAIL
        assert failed is not kind.retryable


def test_a_dag_with_it_can_be_stored() -> None:
    with DAG("d", schedule=None) as dag:
        PlanetCreateOrderOperator(
            task_id="order",
            name="x",
            products=[],
            retries=2,
            retry_delay=timedelta(minutes=1),
            retry_policy=PlanetRetryPolicy(),
        )
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("order").has_retry_policy
