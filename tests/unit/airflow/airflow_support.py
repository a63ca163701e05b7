"""The parts of Airflow around a task, played: the running task instance, the task runner, the triggerer."""

from __future__ import annotations

import asyncio
import json
import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow.models.trigger import Trigger
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
from airflow.sdk.execution_time.context import OutletEventAccessors

from planet_provider.client.config import DOCUMENTED_RATES
from planet_provider.sandbox import Sandbox

CONNECTION = "AIRFLOW_CONN_PLANET_DEFAULT"

#: San Francisco, as the example DAGs have it: many of the catalogue's scenes lie there.
AOI = {
    "type": "Polygon",
    "coordinates": [
        [[-122.54, 37.67], [-122.32, 37.67], [-122.32, 37.83], [-122.54, 37.83], [-122.54, 37.67]],
    ],
}

#: A limiter that never makes a test wait: the rate limits have tests of their own.
FAST = {"rate_limits": dict.fromkeys(DOCUMENTED_RATES, 1000.0), "backoff_seconds": 0.01}


class FakeSupervisor:
    """What tasks and triggers ask for connections that the environment doesn't hold: it knows none."""

    def send(self, message: Any, **_: Any) -> Any:
        if isinstance(message, GetConnection):
            return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": message.conn_id})
        return None

    async def asend(self, message: Any) -> Any:
        return self.send(message)


@dataclass
class FakeTaskInstance:
    """What operators ask of the running task instance."""

    dag_id: str = "dag"
    run_id: str = "run_1"
    task_id: str = "task"
    map_index: int = -1
    try_number: int = 1
    state: str = "running"
    states: dict[str, Any] = field(default_factory=dict)
    xcoms: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    first_reschedule_date: Any = None

    def xcom_push(self, key: str, value: Any) -> None:
        # As in Airflow, an XCom is JSON: what isn't, fails here.
        kept = self.links if key.startswith("_link_") else self.xcoms
        kept[key] = json.loads(json.dumps(value))

    def get_task_states(self, **_: Any) -> dict[str, Any]:
        return self.states or {self.run_id: {self.task_id: self.state}}

    def get_first_reschedule_date(self, context: Any) -> Any:
        return self.first_reschedule_date


@dataclass
class Runner:
    """Runs tasks as Airflow's task runner and triggerer do.

    :param when_deferred: What happens as soon as a task has deferred, e.g. that time passes.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    deferrals: list[TaskDeferred] = field(default_factory=list)
    outlet_events: OutletEventAccessors = field(default_factory=OutletEventAccessors)
    when_deferred: Callable[[], object] | None = None

    def run(self, task: Any, ti: FakeTaskInstance | None = None) -> Any:
        """Render and execute a task; where it defers, run its trigger and resume it."""
        context = {
            "ti": ti or FakeTaskInstance(),
            "ds": "2024-05-01",
            "outlet_events": self.outlet_events,
        }
        task.render_template_fields(context)
        try:
            result = task.execute(context)
        except TaskDeferred as deferral:
            self.deferrals.append(deferral)
            if self.when_deferred is not None:
                self.when_deferred()
            event = asyncio.run(first_event(revived(deferral.trigger)))
            self.events.append(event)
            result = task.resume_execution(deferral.method_name, {"event": event}, context)
        return push(task, result, context["ti"])

    def resume(self, task: Any, event: Any) -> Any:
        """Resume a task with an event of one's own."""
        return task.resume_execution("execute_complete", {"event": event}, {"ti": FakeTaskInstance()})


def let_time_pass(planet: Sandbox, runner: Runner, *, deferrable: bool) -> None:
    """Let orders and assets come to their ends in a moment.

    :param deferrable: Only after the task has deferred: it must not see the end before.
    """

    def hurry() -> None:
        planet.clock.speed = 3000.0

    if deferrable:
        runner.when_deferred = hurry
    else:
        hurry()


def push(task: Any, result: Any, ti: FakeTaskInstance) -> Any:
    """Push a result as Airflow's task runner does."""
    if task.multiple_outputs:
        for key, value in result.items():
            ti.xcom_push(key, value)
    ti.xcom_push("return_value", result)
    return result


def await_condition(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something is so, which happens in another thread."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def revived(trigger: Any) -> Any:
    """Send a trigger to the metadata database's form and back, as on its way to the triggerer."""
    path, kwargs = trigger.serialize()
    stored = Trigger.encrypt_kwargs(kwargs)
    again = pkgutil.resolve_name(path)(**Trigger._decrypt_kwargs(stored))
    assert again.serialize() == (path, kwargs)
    return again


async def first_event(trigger: Any) -> dict[str, Any]:
    """Run a trigger until it fires, and return the event as the database holds it."""
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1, "a trigger fires once"
    payload: dict[str, Any] = json.loads(json.dumps(events[0]))
    assert payload == events[0], "an event is plain JSON"
    return payload


Connect = Callable[..., None]


@dataclass(frozen=True)
class Scenes:
    """Real scenes of the sandbox's catalogue."""

    item_type: str
    item_ids: list[str]

    @property
    def items(self) -> dict[str, Any]:
        return {"item_type": self.item_type, "item_ids": self.item_ids}
