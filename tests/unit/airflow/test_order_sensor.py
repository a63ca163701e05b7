"""Waiting for an order: on a worker, rescheduled, deferred."""

from __future__ import annotations

import inspect
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    TaskDeferred,
)
from airflow_support import FakeTaskInstance, Runner, Scenes, let_time_pass

from planet_provider.exceptions import (
    AuthenticationError,
    NotFoundError,
    OrderCancelledError,
    OrderError,
    OrderFailedError,
    OrderPartialError,
    PlanetError,
    TriggerEventError,
    UnknownStateError,
)
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.sensors.orders import PlanetOrderSensor

#: Before 3.3 (task SDK) a sensor that is resumed knows soft_fail, but not never_fail.
RESUMES_NEVER_FAIL = "never_fail" in inspect.getsource(BaseSensorOperator.resume_execution)

KEYS = {
    "order_id",
    "name",
    "state",
    "created_on",
    "last_modified",
    "last_message",
    "error_hints",
    "items",
    "results",
    "missing",
}


@pytest.fixture
def place(planet: Sandbox, scenes: Scenes) -> Any:
    """Place an order that ends in a state, and return its id."""

    def order(outcome: str = "success") -> str:
        planet.outcomes.add(state=outcome, error_hints=["the hint"])
        kind = {"order_type": "partial"} if outcome == "partial" else {}
        products = [scenes.items | {"product_bundle": "visual"}]
        return str(PlanetHook().create_order({"name": outcome, "products": products, **kind})["id"])

    return order


def sensor(order_id: str, **parameters: Any) -> PlanetOrderSensor:
    return PlanetOrderSensor(task_id="wait", order_id=order_id, **{"poke_interval": 0.05, **parameters})


MODES: dict[str, dict[str, Any]] = {"poke": {"deferrable": False}, "deferred": {"deferrable": True}}


@pytest.mark.parametrize("mode", MODES)
class TestOutcomes:
    @pytest.fixture(autouse=True)
    def time_passes(self, planet: Sandbox, runner: Runner, mode: str) -> None:
        let_time_pass(planet, runner, deferrable=mode == "deferred")

    @pytest.mark.guide("order-wait")
    def test_success(
        self, planet: Sandbox, runner: Runner, ti: FakeTaskInstance, place: Any, mode: str
    ) -> None:
        order_id = place()
        result = runner.run(sensor(order_id, **MODES[mode]), ti)
        assert (result["order_id"], result["state"], result["items"]) == (order_id, "success", 2)
        assert set(result) == KEYS
        assert set(ti.xcoms) == KEYS | {"return_value"}
        assert {key: ti.xcoms[key] for key in KEYS} == result
        assert len(runner.deferrals) == (mode == "deferred")
        shown = json.dumps([ti.xcoms, runner.events])
        assert "http" not in shown
        assert planet.api_key not in shown

    @pytest.mark.parametrize(
        ("outcome", "error"),
        [
            ("failed", OrderFailedError),
            ("cancelled", OrderCancelledError),
            ("partial", OrderPartialError),
            ("on-strike", UnknownStateError),
        ],
    )
    def test_failure(
        self, runner: Runner, place: Any, mode: str, outcome: str, error: type[PlanetError]
    ) -> None:
        with pytest.raises(error) as caught:
            runner.run(sensor(place(outcome), timeout=120, **MODES[mode]))
        assert isinstance(caught.value, AirflowException)
        assert isinstance(caught.value, AirflowFailException), "such an order won't change: no retry"
        assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)
        if isinstance(caught.value, OrderError):
            assert caught.value.state == outcome
            assert caught.value.hints[0] == "the hint" or outcome == "partial"

    def test_partial_where_it_is_allowed(self, runner: Runner, place: Any, scenes: Scenes, mode: str) -> None:
        result = runner.run(sensor(place("partial"), allow_partial=True, **MODES[mode]))
        assert result["state"] == "partial"
        assert result["missing"] == [{"item_type": "PSScene", "item_ids": scenes.item_ids[1:]}]
        assert result["results"] > 0

    def test_an_order_that_is_not_there(self, runner: Runner, planet: Sandbox, mode: str) -> None:
        with pytest.raises(NotFoundError) as caught:
            runner.run(sensor("7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c", **MODES[mode]))
        assert isinstance(caught.value, AirflowFailException)

    def test_a_timeout(self, runner: Runner, place: Any, mode: str) -> None:
        order_id = place("queued")
        with pytest.raises(AirflowSensorTimeout) as caught:
            runner.run(sensor(order_id, timeout=0.2, **MODES[mode]))
        # What was waited for and how long; the state, since when and where to look; and what to do.
        for part in ("was not reached within timeout=0.2 s", "queued", f"orders/{order_id}", "raise timeout"):
            assert part in str(caught.value)

    def test_a_timeout_is_skipped_with_soft_fail(self, runner: Runner, place: Any, mode: str) -> None:
        with pytest.raises(AirflowSkipException):
            runner.run(sensor(place("queued"), timeout=0.2, soft_fail=True, **MODES[mode]))

    def test_the_triggers_trouble_ends_well(
        self, planet: Sandbox, runner: Runner, place: Any, mode: str
    ) -> None:
        order_id = place()
        planet.faults.add(Fault(kind="status", status=503, path=order_id, skip=1, times=3))
        assert runner.run(sensor(order_id, **MODES[mode]))["state"] == "success"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("outcome", "awaited", "advance", "expected"),
    [
        ("success", "queued", 0, "queued"),
        ("success", "queued", 600, "success"),
        ("success", "running", 61, "running"),
        ("success", "running", 600, "success"),
        ("success", "success", 600, "success"),
        ("success", "failed", 600, OrderError),
        ("success", "partial", 600, OrderError),
        ("partial", "partial", 600, "partial"),
        ("failed", "failed", 600, "failed"),
        ("failed", "running", 600, OrderFailedError),
        ("failed", "queued", 600, OrderFailedError),
        ("cancelled", "cancelled", 600, "cancelled"),
        ("cancelled", "success", 600, OrderCancelledError),
    ],
)
def test_states(
    planet: Sandbox,
    runner: Runner,
    place: Any,
    mode: str,
    outcome: str,
    awaited: str,
    advance: float,
    expected: Any,
) -> None:
    order_id = place(outcome)
    planet.clock.advance(advance)
    wait = sensor(order_id, state=awaited, timeout=120, **MODES[mode])
    if isinstance(expected, str):
        assert runner.run(wait)["state"] == expected
    else:
        with pytest.raises(expected):
            runner.run(wait)
    assert runner.deferrals == [], "what is over at the first look never defers"


def test_a_state_that_is_yet_to_come_is_waited_for_in_the_triggerer(
    planet: Sandbox, runner: Runner, place: Any
) -> None:
    let_time_pass(planet, runner, deferrable=True)
    assert runner.run(sensor(place(), state="running", deferrable=True))["state"] in {"running", "success"}
    assert len(runner.deferrals) == 1


def test_reschedule(planet: Sandbox, runner: Runner, place: Any) -> None:
    order_id, ti = place(), FakeTaskInstance()
    wait = sensor(order_id, mode="reschedule", poke_interval=120, deferrable=False)
    with pytest.raises(AirflowRescheduleException) as caught:
        runner.run(wait, ti)
    ahead = caught.value.reschedule_date - datetime.now(timezone.utc)
    assert timedelta(seconds=100) < ahead <= timedelta(seconds=120)
    planet.clock.advance(600)
    assert runner.run(wait, ti)["state"] == "success"


def test_deferring_goes_before_rescheduling(planet: Sandbox, runner: Runner, place: Any) -> None:
    let_time_pass(planet, runner, deferrable=True)
    assert runner.run(sensor(place(), mode="reschedule", deferrable=True))["state"] == "success"
    assert len(runner.deferrals) == 1


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_soft_fail_skips_what_waiting_wont_mend(
    planet: Sandbox, runner: Runner, place: Any, mode: str
) -> None:
    order_id = place("failed")
    planet.clock.advance(600)
    with pytest.raises(AirflowSkipException):
        runner.run(sensor(order_id, mode=mode, soft_fail=True, deferrable=False))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationError), (403, PlanetError), (404, NotFoundError)]
)
def test_soft_fail_never_hides_a_refusal(
    planet: Sandbox, runner: Runner, place: Any, mode: str, status: int, error: type[PlanetError]
) -> None:
    order_id = place("queued")
    planet.faults.add(
        Fault(kind="status", status=status, path="/orders/", times=None, skip=int(mode == "deferred"))
    )
    with pytest.raises(error) as caught:
        runner.run(sensor(order_id, soft_fail=True, timeout=60, **MODES[mode]))
    assert isinstance(caught.value, AirflowFailException)
    assert len(runner.deferrals) == (mode == "deferred")


def test_soft_fail_never_hides_bad_input(runner: Runner) -> None:
    with pytest.raises(PlanetError, match="order_id"):
        runner.run(sensor("no order", soft_fail=True))


def test_soft_fail_never_hides_an_event_that_is_not_understood(runner: Runner) -> None:
    with pytest.raises(TriggerEventError):
        runner.resume(sensor("x", soft_fail=True), {"status": "?"})


def test_a_skip_says_why(planet: Sandbox, runner: Runner, place: Any) -> None:
    order_id = place("failed")
    planet.clock.advance(600)
    with pytest.raises(
        AirflowSkipException, match=f"soft_fail is set: Order {order_id} ended as failed: the hint"
    ):
        runner.run(sensor(order_id, soft_fail=True, deferrable=False))


def test_each_poke_of_a_reschedule_is_one_request(planet: Sandbox, runner: Runner, place: Any) -> None:
    order_id, ti = place(), FakeTaskInstance()
    wait = sensor(order_id, mode="reschedule", poke_interval=120, deferrable=False)
    for looks in (1, 2, 3):
        with pytest.raises(AirflowRescheduleException):
            runner.run(wait, ti)
        assert sum(one.path.endswith(order_id) for one in planet.requests) == looks


def test_soft_fail_skips_a_rescheduled_timeout(runner: Runner, place: Any) -> None:
    begun = FakeTaskInstance(first_reschedule_date=datetime.now(timezone.utc) - timedelta(hours=2))
    with pytest.raises(AirflowSkipException):
        runner.run(sensor(place(), mode="reschedule", timeout=3600, soft_fail=True, deferrable=False), begun)


def test_reschedule_ends_in_time(runner: Runner, place: Any) -> None:
    begun = FakeTaskInstance(first_reschedule_date=datetime.now(timezone.utc) - timedelta(hours=2))
    with pytest.raises(AirflowSensorTimeout):
        runner.run(sensor(place(), mode="reschedule", timeout=3600, deferrable=False), begun)


def test_default_deferrable_is_airflows_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sensor("x").deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert sensor("x").deferrable is True
    assert sensor("x", deferrable=False).deferrable is False


def test_a_deferral_is_bounded_by_the_timeout(place: Any) -> None:
    with pytest.raises(TaskDeferred) as caught:
        sensor(place(), deferrable=True, timeout=timedelta(minutes=10)).execute({"ti": FakeTaskInstance()})
    assert timedelta(minutes=10) < caught.value.timeout < timedelta(minutes=12)
    assert caught.value.method_name == "execute_complete"
    assert caught.value.trigger.deadline is not None


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("seen_by", ["first look", "trigger"])
def test_a_deferred_sensor_that_may_not_fail_is_skipped(
    planet: Sandbox, runner: Runner, place: Any, flag: str, seen_by: str
) -> None:
    order_id = place("partial")
    let_time_pass(planet, runner, deferrable=True)
    if seen_by == "first look":
        planet.clock.advance(600)
    wait = sensor(order_id, deferrable=True, **{flag: True})
    if flag == "never_fail" and seen_by == "trigger" and not RESUMES_NEVER_FAIL:
        with pytest.raises(OrderPartialError):
            runner.run(wait)
    else:
        with pytest.raises(AirflowSkipException):
            runner.run(wait)
    assert len(runner.deferrals) == (seen_by == "trigger")


AWAITED = "00000000-0000-4000-8000-000000000001"

#: What a trigger tells of that order.
SUMMARY = {"order_id": AWAITED, "state": "success", "last_message": "", "error_hints": []}


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        "success",
        {"status": "success"},
        {"status": {}},
        {"status": "done"},
        {"status": "done", "order": "x"},
        {"status": "done", "order": {"state": "success"}},
        {"status": "done", "order": {"order_id": AWAITED, "state": "success"}},
        {"status": "done", "order": SUMMARY | {"state": "queued"}},
        {"status": "done", "order": SUMMARY | {"order_id": "another"}},
        {"status": "done", "order": SUMMARY | {"error_hints": [[]]}},
        {"status": "done", "order": SUMMARY | {"missing": [{"item_ids": ["a"]}]}},
        {"status": "done", "order": SUMMARY | {"missing": 7}},
        {"status": "error", "error": "Exception", "message": "x", "facts": [1]},
        {"status": "error"},
    ],
)
def test_an_event_that_is_not_understood_is_no_success(runner: Runner, event: Any) -> None:
    with pytest.raises(TriggerEventError) as caught:
        runner.resume(sensor(AWAITED, deferrable=True), event)
    assert isinstance(caught.value, AirflowException)


def test_an_event_of_an_unknown_state_is_no_success(runner: Runner) -> None:
    with pytest.raises(UnknownStateError):
        runner.resume(sensor(AWAITED), {"status": "done", "order": SUMMARY | {"state": "on-strike"}})


def test_a_key_that_is_revoked_while_deferred(planet: Sandbox, runner: Runner, place: Any) -> None:
    order_id = place()
    planet.faults.add(Fault(kind="status", status=401, path=order_id, skip=1, times=None))
    with pytest.raises(AuthenticationError, match="401") as caught:
        runner.run(sensor(order_id, deferrable=True))
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.status == 401
    assert caught.value.messages == tuple(caught.value.messages)


def test_a_uuid_in_any_spelling(planet: Sandbox, runner: Runner, place: Any) -> None:
    order_id = place()
    let_time_pass(planet, runner, deferrable=True)
    assert runner.run(sensor(order_id.upper(), deferrable=True))["order_id"] == order_id
