"""Placing an order: once, without a secret anywhere, and waiting for it."""

from __future__ import annotations

import inspect
import json
import logging
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow_support import Connect, FakeTaskInstance, Runner, Scenes, await_condition, let_time_pass

from planet_provider.builders import delivery as order_delivery
from planet_provider.builders import filters, tools
from planet_provider.exceptions import (
    BadRequestError,
    OrderCancelledError,
    OrderConcurrencyError,
    OrderFailedError,
    OrderPartialError,
    OrderTimeoutError,
    OverQuotaError,
    TriggerEventError,
    UnknownStateError,
)
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sandbox import Fault, Sandbox

SECRETS = {
    "amazon_s3": order_delivery.amazon_s3(
        aws_access_key_id="AKIAVERYVISIBLE00",
        aws_secret_access_key="very-visible-secret-1",  # pragma: allowlist secret
        bucket="bucket",
        aws_region="eu-west-1",
    ),
    "azure_blob_storage": order_delivery.azure_blob_storage(
        account="account",
        container="container",
        sas_token="sv=very-visible-secret-2&sig=very-visible",
    ),
    "google_cloud_storage": order_delivery.google_cloud_storage(
        bucket="bucket", credentials="eyJ2ZXJ5LXZpc2libGUiOiAxfQ=="
    ),
    "oracle_cloud_storage": order_delivery.oracle_cloud_storage(
        customer_access_key_id="very-visible-id-4",
        customer_secret_key="very-visible-secret-4",  # pragma: allowlist secret
        bucket="bucket",
        region="eu-frankfurt-1",
        namespace="space",
    ),
    "s3_compatible": order_delivery.s3_compatible(
        endpoint="https://s3.example.com",
        bucket="bucket",
        region="eu",
        access_key_id="very-visible-id-5",
        secret_access_key="very-visible-secret-5",  # pragma: allowlist secret
    ),
}


MASKED_BY_THE_TASK = pytest.mark.skipif(
    "redact" not in inspect.getsource(task_runner._serialize_rendered_fields),
    reason="This Airflow sends rendered templates off unmasked, and masks by the fields' names later",
)


def secrets_of(delivery: dict[str, Any]) -> list[str]:
    return [
        str(value)
        for cloud, fields in delivery.items()
        for name, value in fields.items()
        if name in order_delivery.CREDENTIAL_FIELDS[cloud]
    ]


def placings(planet: Sandbox) -> list[Any]:
    return [one for one in planet.requests if (one.method, one.path) == ("POST", "/compute/ops/orders/v2")]


def looks(planet: Sandbox) -> int:
    return sum(one.method == "GET" and "/orders/v2/" in one.path for one in planet.requests)


@pytest.fixture
def create(scenes: Scenes) -> Any:
    """Make a task that orders the scenes."""

    def make(**parameters: Any) -> PlanetCreateOrderOperator:
        settings = {"name": "june", "items": scenes.items, "product_bundle": "visual"} | parameters
        return PlanetCreateOrderOperator(task_id="order", poke_interval=0.05, **settings)

    return make


@pytest.mark.guide("order-create")
def test_xcoms(planet: Sandbox, runner: Runner, ti: FakeTaskInstance, create: Any, scenes: Scenes) -> None:
    order_id = runner.run(create(), ti)
    (order,) = planet.orders.values()
    assert order["id"] == order_id == ti.xcoms["return_value"]
    summary = ti.xcoms["order"]
    assert set(ti.xcoms) == {"return_value", "order"}
    assert summary["order_id"] == order_id
    assert (summary["state"], summary["items"], summary["reused"]) == ("queued", 2, False)
    assert order["name"] == summary["name"] == f"june [{summary['digest']}]"
    assert order["products"] == [scenes.items | {"product_bundle": "visual"}]
    assert planet.url not in json.dumps(ti.xcoms)
    assert "_links" not in json.dumps(ti.xcoms)


def test_a_second_run_finds_the_order(planet: Sandbox, runner: Runner, create: Any) -> None:
    first, ti = runner.run(create()), FakeTaskInstance(run_id="run_2")
    assert runner.run(create(), ti) == first
    assert ti.xcoms["order"]["reused"] is True
    assert len(planet.orders) == 1


def test_an_answer_that_gets_lost_doesnt_buy_twice(planet: Sandbox, runner: Runner, create: Any) -> None:
    planet.faults.add(Fault(kind="drop_after", method="POST", path="/orders/v2$"))
    order_id = runner.run(create())
    assert list(planet.orders) == [order_id]


def test_other_content_is_another_order(planet: Sandbox, runner: Runner, create: Any, scenes: Scenes) -> None:
    first = runner.run(create())
    other = runner.run(create(items={"item_type": "PSScene", "item_ids": scenes.item_ids[:1]}))
    assert len({first, other, *planet.orders}) == 2


def test_an_order_that_failed_is_placed_anew(planet: Sandbox, runner: Runner, create: Any) -> None:
    planet.outcomes.add(state="failed", times=1)
    first = runner.run(create())
    planet.clock.advance(600)
    second = runner.run(create())
    assert first != second
    assert {order["state"] for order in planet.orders.values()} == {"failed", "queued"}


def test_reuse_run(planet: Sandbox, runner: Runner, create: Any) -> None:
    first = runner.run(create(reuse="run"), FakeTaskInstance(run_id="run_1"))
    assert runner.run(create(reuse="run"), FakeTaskInstance(run_id="run_1")) == first
    assert runner.run(create(reuse="run"), FakeTaskInstance(run_id="run_2")) != first
    assert runner.run(create(reuse="run"), FakeTaskInstance(dag_id="other")) != first
    assert len(planet.orders) == 3


def test_reuse_max_age(planet: Sandbox, runner: Runner, create: Any) -> None:
    first = runner.run(create())
    young = create(reuse_max_age=timedelta(hours=1))
    assert runner.run(young) == first
    old = create(reuse_max_age=timedelta(microseconds=1))
    assert runner.run(old) != first
    assert len(planet.orders) == 2


@pytest.mark.parametrize("reuse", ["content", "run"])
def test_a_run_that_is_cleared_has_its_own_order_at_any_age(
    planet: Sandbox, runner: Runner, create: Any, reuse: str
) -> None:
    """Airflow lets a run that is cleared begin again."""
    short = timedelta(microseconds=1)
    first = runner.run(create(reuse=reuse, reuse_max_age=short))
    assert runner.run(create(reuse=reuse, reuse_max_age=short)) == first
    again = runner.run(create(reuse=reuse, reuse_max_age=short), FakeTaskInstance(run_id="run_2"))
    assert again != first


def test_every_parameter_reaches_planet(planet: Sandbox, runner: Runner, create: Any, scenes: Scenes) -> None:
    runner.run(
        create(
            name="day {{ ds }}",
            product_bundle="analytic_sr_udm2",
            fallback_bundles=["analytic_udm2", "visual"],
            tools=[tools.reproject("EPSG:32610")],
            delivery=order_delivery.zip_archive(single_archive=True),
            order_type="partial",
            stac=True,
        )
    )
    (posted,) = [json.loads(one.body) for one in placings(planet)]
    assert posted["name"].startswith("day 2024-05-01 [")
    assert posted["products"] == [scenes.items | {"product_bundle": "analytic_sr_udm2,analytic_udm2,visual"}]
    assert posted["tools"] == [{"reproject": {"projection": "EPSG:32610"}}]
    assert posted["delivery"] == {
        "archive_type": "zip",
        "archive_filename": "{{name}}_{{order_id}}.zip",  # Planet's placeholders, not Airflow's templates
        "single_archive": True,
    }
    assert posted["order_type"] == "partial"
    assert "stac" in posted["metadata"]


def test_products_in_planets_form(planet: Sandbox, runner: Runner, scenes: Scenes) -> None:
    products = [
        {"item_ids": [one], "item_type": "PSScene", "product_bundle": "visual"} for one in scenes.item_ids
    ]
    runner.run(PlanetCreateOrderOperator(task_id="order", name="two", products=products))
    (order,) = planet.orders.values()
    assert order["products"] == products


def test_a_batch_from_a_file(planet: Sandbox, runner: Runner, create: Any, tmp_path: Any) -> None:
    (batch,) = runner.run(
        PlanetSearchOperator(
            task_id="search",
            item_types=["PSScene"],
            search_filter=filters.and_filter(
                filters.asset_filter(["ortho_visual"]), filters.permission_filter()
            ),
            limit=4,
            xcom_max_items=2,
            output_path=str(tmp_path / "found.ndjson"),
        )
    )
    assert set(batch) == {"item_type", "count", "path", "sha256"}
    runner.run(create(items=batch, product_bundle="analytic_udm2", fallback_bundles=["visual"]))
    (order,) = planet.orders.values()
    assert len(order["products"][0]["item_ids"]) == 4


@pytest.mark.parametrize("cloud", SECRETS)
def test_a_deliverys_credentials_are_shown_nowhere(
    planet: Sandbox,
    runner: Runner,
    ti: FakeTaskInstance,
    create: Any,
    cloud: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    delivery = SECRETS[cloud]
    first = runner.run(create(delivery=delivery), ti)
    renewed = json.loads(json.dumps(delivery))
    renewed[cloud] |= dict.fromkeys(order_delivery.CREDENTIAL_FIELDS[cloud], "quite-visible-too-0123456789")
    assert runner.run(create(delivery=renewed)) == first, "other credentials are the same order"
    planet.faults.add(
        Fault(kind="status", status=400, method="POST", path="/orders/v2$", body=json.dumps(delivery))
    )
    with pytest.raises(BadRequestError) as caught:
        runner.run(create(delivery=delivery, name="refused"))
    shown = [
        json.dumps(ti.xcoms),
        caplog.text,
        str(caught.value),
        repr(vars(caught.value)),
        *capfd.readouterr(),
    ]
    (posted,) = [json.loads(one.body) for one in placings(planet) if one.status == 202]
    for secret in secrets_of(delivery):
        assert secret in json.dumps(posted)
        assert not [text for text in shown if secret in text]


@MASKED_BY_THE_TASK
@pytest.mark.parametrize("cloud", SECRETS)
def test_a_deliverys_credentials_are_masked_in_rendered_templates(create: Any, cloud: str) -> None:
    task = create(delivery=SECRETS[cloud])
    task.render_template_fields({"ti": FakeTaskInstance()})
    shown = json.dumps(task_runner._serialize_rendered_fields(task))
    assert cloud in shown
    for secret in secrets_of(SECRETS[cloud]):
        assert secret not in shown


@MASKED_BY_THE_TASK
def test_a_credential_from_a_template_is_masked_too(create: Any) -> None:
    cloud = order_delivery.google_cloud_storage(bucket="bucket", credentials="{{ from_somewhere }}")
    task = create(delivery=cloud)
    task.render_template_fields({"from_somewhere": "eyJ0aGlzLXRvbyI6IDJ9"})
    assert task.delivery["google_cloud_storage"]["credentials"] == "eyJ0aGlzLXRvbyI6IDJ9"
    assert "eyJ0aGlzLXRvbyI6IDJ9" not in json.dumps(task_runner._serialize_rendered_fields(task))


@pytest.mark.parametrize("deferrable", [False, True])
class TestWaiting:
    @pytest.fixture(autouse=True)
    def time_passes(self, planet: Sandbox, runner: Runner, deferrable: bool) -> None:
        let_time_pass(planet, runner, deferrable=deferrable)

    def test_until_success(
        self, planet: Sandbox, runner: Runner, ti: FakeTaskInstance, create: Any, deferrable: bool
    ) -> None:
        order_id = runner.run(create(wait_for_completion=True, deferrable=deferrable), ti)
        assert planet.orders[order_id]["state"] == "success"
        assert len(runner.deferrals) == deferrable
        assert ti.xcoms["order"]["state"] == "success"
        # The triggerer may have seen the order as a list shows it, without its files.
        results = ti.xcoms["order"]["results"]
        assert (deferrable and results is None) or results > 2
        assert ti.xcoms["return_value"] == order_id
        for event in runner.events:
            assert "http" not in json.dumps(event)

    @pytest.mark.parametrize(
        ("state", "error"),
        [("failed", OrderFailedError), ("cancelled", OrderCancelledError), ("strange", UnknownStateError)],
    )
    def test_other_outcomes(
        self, planet: Sandbox, runner: Runner, create: Any, deferrable: bool, state: str, error: type
    ) -> None:
        planet.outcomes.add(state=state, error_hints=["the hint"])
        with pytest.raises(error) as caught:
            runner.run(create(wait_for_completion=True, deferrable=deferrable))
        assert isinstance(caught.value, AirflowException)
        assert isinstance(caught.value, AirflowFailException) == (state == "strange")
        if state != "strange":
            (order_id,) = planet.orders
            assert (caught.value.order_id, caught.value.state) == (order_id, state)
            assert isinstance(caught.value.hints, tuple)
            assert "the hint" in str(caught.value)
            assert order_id in str(caught.value)

    def test_partial(self, planet: Sandbox, runner: Runner, create: Any, deferrable: bool) -> None:
        planet.outcomes.add(state="partial")
        settings = {"wait_for_completion": True, "deferrable": deferrable, "order_type": "partial"}
        with pytest.raises(OrderPartialError, match="allow_partial=True") as caught:
            runner.run(create(**settings))
        assert isinstance(caught.value, AirflowFailException)
        (order_id,) = planet.orders
        assert runner.run(create(allow_partial=True, **settings)) == order_id

    def test_too_late(
        self, planet: Sandbox, runner: Runner, ti: FakeTaskInstance, create: Any, deferrable: bool
    ) -> None:
        planet.outcomes.add(state="queued")
        with pytest.raises(OrderTimeoutError, match=r"within timeout=0.3 s") as caught:
            runner.run(create(wait_for_completion=True, deferrable=deferrable, timeout=0.3), ti)
        assert isinstance(caught.value, AirflowException)
        assert not isinstance(caught.value, AirflowFailException)
        (order_id,) = planet.orders
        assert caught.value.order_id == order_id
        assert ti.xcoms["order"]["order_id"] == order_id, "it can be found before it has ended"

    def test_what_is_there_already_never_defers(
        self, planet: Sandbox, runner: Runner, create: Any, deferrable: bool
    ) -> None:
        runner.run(create())
        planet.clock.advance(600)
        runner.run(create(wait_for_completion=True, deferrable=deferrable))
        assert runner.deferrals == []


def test_planet_may_be_away_while_a_worker_waits(
    planet: Sandbox, connect: Connect, runner: Runner, create: Any
) -> None:
    connect(max_retry_seconds=0.001)
    let_time_pass(planet, runner, deferrable=False)
    planet.faults.add(Fault(kind="status", method="GET", path="/orders/v2/[0-9a-f]{8}-", status=503, times=3))
    order_id = runner.run(create(wait_for_completion=True, deferrable=False))
    assert planet.orders[order_id]["state"] == "success"
    assert [hits for _, hits in planet.faults.snapshot()] == [3]


def test_a_wait_s_times_may_be_timedeltas(planet: Sandbox, scenes: Scenes) -> None:
    task = PlanetCreateOrderOperator(
        task_id="order",
        name="june",
        items=scenes.items,
        product_bundle="visual",
        wait_for_completion=True,
        deferrable=True,
        timeout=timedelta(minutes=10),
        poke_interval=timedelta(seconds=2),
    )
    with pytest.raises(TaskDeferred) as caught:
        task.execute({"ti": FakeTaskInstance()})
    assert timedelta(seconds=600) < caught.value.timeout < timedelta(seconds=700)
    assert caught.value.trigger.serialize()[1]["poke_interval"] == 2.0


def test_a_deferral_is_bounded_and_holds_ids_only(planet: Sandbox, create: Any) -> None:
    with pytest.raises(TaskDeferred) as caught:
        create(wait_for_completion=True, deferrable=True, timeout=600).execute({"ti": FakeTaskInstance()})
    assert timedelta(seconds=600) < caught.value.timeout < timedelta(seconds=700)
    _, kwargs = caught.value.trigger.serialize()
    deadline = kwargs.pop("deadline")
    assert 570 < deadline - time.time() <= 600
    (order_id,) = planet.orders
    assert kwargs == {
        "order_id": order_id,
        "state": None,
        "planet_conn_id": "planet_default",
        "poke_interval": 0.05,
        "cancel_on_kill": False,
        "note": kwargs["note"],
    }
    assert set(kwargs["note"]) == {"reused", "digest", "estimate"}
    assert "http" not in json.dumps(kwargs)
    assert planet.api_key not in repr(caught.value.__dict__)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        "done",
        {"status": "success"},
        {"status": ["done"]},
        {"status": "done"},
        {"status": "done", "order": None},
        {"status": "done", "order": {"order_id": "x", "state": "success"}},
        {
            "status": "done",
            "order": {"order_id": "x", "state": "running", "last_message": "", "error_hints": []},
        },
        {"status": "error", "error": "NoSuchError", "message": "x"},
        {"status": "error"},
    ],
)
def test_an_event_that_is_not_understood_is_no_success(
    planet: Sandbox, runner: Runner, create: Any, event: Any
) -> None:
    with pytest.raises(TriggerEventError) as caught:
        runner.resume(create(wait_for_completion=True, deferrable=True), event)
    assert isinstance(caught.value, AirflowException)
    assert planet.requests == []


@pytest.mark.parametrize("capacity", [{}, {"deadline": None}, {"deadline": "soon"}, {"deadline": 10**400}])
def test_a_place_without_a_deadline_is_no_place(
    planet: Sandbox, create: Any, capacity: dict[str, Any]
) -> None:
    with pytest.raises(TriggerEventError, match="tells no deadline"):
        create(deferrable=True).execute_after_capacity({}, {"status": "done", "capacity": capacity})
    assert planet.requests == []


def test_over_quota_stops_at_once(planet: Sandbox, runner: Runner, create: Any) -> None:
    planet.faults.add(
        Fault(
            kind="status",
            method="POST",
            path="/orders/v2$",
            status=403,
            times=None,
            body='{"general":[{"message":"over quota"}]}',
        )
    )
    with pytest.raises(OverQuotaError) as caught:
        runner.run(create())
    assert isinstance(caught.value, AirflowFailException)
    assert len(placings(planet)) == 1


@pytest.mark.parametrize(
    ("cancel_on_kill", "state", "cancelled"),
    [(True, "failed", True), (False, "failed", False), (True, "running", False)],
)
def test_on_kill(planet: Sandbox, create: Any, cancel_on_kill: bool, state: str, cancelled: bool) -> None:
    task = create(wait_for_completion=True, cancel_on_kill=cancel_on_kill, deferrable=False)
    ti, ended = FakeTaskInstance(), []

    def work() -> None:
        try:
            ended.append(task.execute({"ti": ti}))
        except OrderCancelledError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    await_condition(lambda: looks(planet) > 0)
    ti.state = state
    task.on_kill()
    (order_id,) = planet.orders
    assert planet.orders[order_id]["state"] == ("cancelled" if cancelled else "queued")
    planet.clock.advance(600)
    thread.join(120)
    assert [isinstance(one, OrderCancelledError) for one in ended] == [cancelled]


def test_on_kill_of_an_order_that_runs_already(planet: Sandbox, create: Any) -> None:
    task, ti = create(wait_for_completion=True, cancel_on_kill=True, deferrable=False), FakeTaskInstance()
    thread = threading.Thread(target=task.execute, args=({"ti": ti},))
    thread.start()
    await_condition(lambda: looks(planet) > 0)
    planet.clock.advance(planet.config.queued_seconds + 1)
    ti.state = "failed"
    task.on_kill()
    assert [one.status for one in planet.requests if one.method == "PUT"] == [409]
    planet.clock.advance(600)
    thread.join(120)
    (order,) = planet.orders.values()
    assert order["state"] == "success"


@pytest.mark.planet_sandbox(max_queued_orders=1)
def test_where_planet_takes_no_more_orders(planet: Sandbox, runner: Runner, create: Any) -> None:
    runner.run(create(name="first"))
    with pytest.raises(OrderConcurrencyError) as caught:
        runner.run(create(deferrable=False))
    assert not isinstance(caught.value, AirflowFailException)
    let_time_pass(planet, runner, deferrable=True)
    order_id = runner.run(create(deferrable=True))
    assert len(runner.deferrals) == 1
    assert planet.orders[order_id]["name"].startswith("june")


def test_on_kill_before_anything_was_ordered(planet: Sandbox, create: Any) -> None:
    create(cancel_on_kill=True).on_kill()
    assert planet.requests == []


def test_the_order_can_be_downloaded_next(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, create: Any, tmp_path: Any
) -> None:
    order_id = runner.run(create())
    planet.clock.advance(600)
    download = PlanetDownloadOrderOperator(task_id="download", order_id=order_id, destination=str(tmp_path))
    assert runner.run(download, ti)["files"] > 2
