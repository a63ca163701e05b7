"""Who cancels an order: only a task that has ended for good. In a real Airflow, see the integration tests."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow_support import FakeTaskInstance, Scenes

from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.triggers.orders import PlanetOrderTrigger

ENDED = ["failed", "success", "skipped", "upstream_failed", "removed"]
#: A new try goes on, or may yet.
GOES_ON = [
    "running",
    "deferred",
    "queued",
    "scheduled",
    "up_for_retry",
    "up_for_reschedule",
    "restarting",
    None,
]

pytestmark = pytest.mark.planet_sandbox(queued_seconds=1000.0)


@pytest.fixture
def order_id(planet: Sandbox, scenes: Scenes) -> str:
    products = [scenes.items | {"product_bundle": "visual"}]
    return str(PlanetHook().create_order({"name": "killed", "products": products})["id"])


@pytest.fixture(params=[-1, 3], ids=["unmapped", "mapped"])
def ti(request: pytest.FixtureRequest) -> FakeTaskInstance:
    return FakeTaskInstance(map_index=request.param)


def states(ti: FakeTaskInstance, state: str | None) -> dict[str, Any]:
    """What Airflow answers: by run, and by task with its map index."""
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    return {ti.run_id: {name: state}}


class Supervisor:
    """Answers a trigger's questions to Airflow."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, 0

    async def asend(self, message: Any) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(task_states=self.answer)


async def killed(
    order_id: str, ti: FakeTaskInstance, answer: Any, patch: pytest.MonkeyPatch, **settings: Any
) -> Supervisor:
    """Tell a trigger again and again that it is killed, as a triggerer does."""
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor(answer)
    patch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    trigger = PlanetOrderTrigger(
        **{
            "order_id": order_id,
            "planet_conn_id": "planet_default",
            "poke_interval": 0.05,
            "cancel_on_kill": True,
            **settings,
        }
    )
    trigger.task_instance = ti  # type: ignore[assignment]
    for _ in range(3):
        await trigger.on_kill()
    return supervisor


def cancels(planet: Sandbox) -> int:
    return sum(one.method == "PUT" for one in planet.requests)


class TestInTheTriggerer:
    @pytest.mark.parametrize("state", ENDED)
    async def test_ended(
        self, planet: Sandbox, order_id: str, ti: Any, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await killed(order_id, ti, states(ti, state), monkeypatch)
        assert planet.orders[order_id]["state"] == "cancelled"
        assert cancels(planet) == 1

    @pytest.mark.parametrize("state", GOES_ON)
    async def test_a_new_try_goes_on(
        self, planet: Sandbox, order_id: str, ti: Any, state: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await killed(order_id, ti, states(ti, state), monkeypatch)
        assert planet.orders[order_id]["state"] == "queued"
        assert cancels(planet) == 0

    @pytest.mark.parametrize(
        "answer", [{}, {"run_1": {}}, {"another": {"task": "failed"}}, RuntimeError("no supervisor"), None]
    )
    async def test_nobody_knows(
        self, planet: Sandbox, order_id: str, ti: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await killed(order_id, ti, answer, monkeypatch)
        assert cancels(planet) == 0

    async def test_another_mapped_task_failed(
        self, planet: Sandbox, order_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = {"run_1": {"task_0": "failed", "task": "failed", "task_3": "running"}}
        await killed(order_id, FakeTaskInstance(map_index=3), answer, monkeypatch)
        assert cancels(planet) == 0

    async def test_not_asked_to(
        self, planet: Sandbox, order_id: str, ti: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        supervisor = await killed(order_id, ti, states(ti, "failed"), monkeypatch, cancel_on_kill=False)
        assert supervisor.asked == cancels(planet) == 0

    async def test_it_runs_already(
        self, planet: Sandbox, order_id: str, ti: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        planet.clock.advance(planet.config.queued_seconds + 1)
        await killed(order_id, ti, states(ti, "failed"), monkeypatch)
        assert planet.orders[order_id]["state"] == "running"

    @pytest.mark.parametrize("fault", [{"kind": "drop_after"}, {"kind": "corrupt", "after_bytes": 0}])
    async def test_its_first_answer_is_lost(
        self,
        planet: Sandbox,
        order_id: str,
        ti: Any,
        fault: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Repeated, the request is refused with 409: the order is cancelled already."""
        planet.faults.add(Fault(method="PUT", **fault))
        await killed(order_id, ti, states(ti, "failed"), monkeypatch)
        assert planet.orders[order_id]["state"] == "cancelled"
        said = capsys.readouterr().out
        assert f"Order {order_id} is cancelled." in said
        assert "not cancelled" not in said

    async def test_a_second_is_enough_though_planet_takes_longer(
        self, planet: Sandbox, order_id: str, ti: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow cancels what on_kill awaits; the order's cancelling goes on."""
        from airflow.sdk.execution_time import task_runner

        planet.faults.add(Fault(kind="delay", method="PUT", seconds=2.0))
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(states(ti, "failed")), raising=False)
        trigger = PlanetOrderTrigger(
            order_id=order_id, planet_conn_id="planet_default", poke_interval=0.05, cancel_on_kill=True
        )
        trigger.task_instance = ti
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(trigger.on_kill(), 0.1)
        await trigger.on_kill()
        assert cancels(planet) == 1
        assert planet.orders[order_id]["state"] == "cancelled"

    async def test_cleaning_up_cancels_nothing(self, planet: Sandbox, order_id: str, ti: Any) -> None:
        """That is a restart of the triggerer."""
        trigger = PlanetOrderTrigger(
            order_id=order_id, planet_conn_id="planet_default", poke_interval=0.05, cancel_on_kill=True
        )
        trigger.task_instance = ti
        waiting = asyncio.create_task(anext(aiter(trigger.run())))
        while not [one for one in planet.requests if one.path.endswith(order_id)]:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await trigger.cleanup()
        assert cancels(planet) == 0


class TestOnAWorker:
    def kill(self, order_id: str, ti: FakeTaskInstance, **settings: Any) -> None:
        task = PlanetCreateOrderOperator(
            task_id="task", name="killed", **{"cancel_on_kill": True, **settings}
        )
        task._waiting = ti, order_id
        task.on_kill()

    @pytest.mark.parametrize("state", ENDED)
    def test_ended(self, planet: Sandbox, order_id: str, ti: FakeTaskInstance, state: str) -> None:
        ti.states = states(ti, state)
        self.kill(order_id, ti)
        assert planet.orders[order_id]["state"] == "cancelled"

    @pytest.mark.parametrize("state", GOES_ON)
    def test_a_new_try_goes_on(
        self, planet: Sandbox, order_id: str, ti: FakeTaskInstance, state: str | None
    ) -> None:
        ti.states = states(ti, state)
        self.kill(order_id, ti)
        assert cancels(planet) == 0

    def test_nobody_knows(self, planet: Sandbox, order_id: str, ti: FakeTaskInstance) -> None:
        self.kill(order_id, ti)
        assert cancels(planet) == 0

    def test_not_asked_to(self, planet: Sandbox, order_id: str, ti: FakeTaskInstance) -> None:
        ti.states = states(ti, "failed")
        self.kill(order_id, ti, cancel_on_kill=False)
        assert cancels(planet) == 0
