"""Tries of a task that places an order: processes of their own, which can be killed at any moment."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pkgutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from planet_provider.client.config import DOCUMENTED_RATES
from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.bundles import choose

#: Starting Python and importing Airflow takes seconds; a fork of a process that has done so doesn't.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["planet_provider.operators.create_order", "planet_provider.hooks.planet"])

WAIT_SECONDS = 180.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a try is told.

    :param url: Where it takes Planet to be.
    :param store: Folder of the coordination store: the machine.
    :param journal: File of the task state store; ``None`` as on Airflow before 3.3.
    :param dies_at: ``xcom``: it kills itself with -9 when it would push its first XCom.
    :param ends_deferred: Whether it ends when it defers, as on a worker; by default its trigger runs to the
        end and it is resumed.
    """

    url: str
    api_key: str
    store: Path
    operator: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    journal: Path | None = None
    try_number: int = 1
    map_index: int = -1
    run_id: str = "run_1"
    began: datetime | None = None
    dies_at: str | None = None
    ends_deferred: bool = False


class FileJournal:
    """A task state store in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, key: str, default: Any = None) -> Any:
        return self._content().get(key, default)

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        part = self._file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({**self._content(), key: value}))
        part.replace(self._file)

    def _content(self) -> dict[str, Any]:
        return json.loads(self._file.read_text()) if self._file.exists() else {}


class TaskInstance:
    """What the operator asks of the running task instance."""

    dag_id, task_id = "dag", "order"

    def __init__(self, setting: Setting) -> None:
        self.run_id, self.map_index, self.try_number = setting.run_id, setting.map_index, setting.try_number
        self.dies_at = setting.dies_at
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        if self.dies_at == "xcom":
            os.kill(os.getpid(), signal.SIGKILL)
        self.xcoms[key] = json.loads(json.dumps(value))


class Try:
    """A running try."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self._result = folder / f"try-{time.monotonic_ns()}.json"
        self.process = _processes.Process(target=_main, args=(setting, self._result), daemon=True)
        self.process.start()

    def kill(self) -> None:
        """Kill it as the kernel does when memory runs out."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.exit_code() == -signal.SIGKILL

    def exit_code(self) -> int | None:
        """Wait for its end."""
        self.process.join(WAIT_SECONDS)
        assert self.process.exitcode is not None, "the try did not end"
        return self.process.exitcode

    def outcome(self) -> dict[str, Any]:
        """Wait for its end, and return ``{id, xcoms}``, ``{deferred, kwargs}`` or ``{error, message}``."""
        assert self.exit_code() == 0
        return dict(json.loads(self._result.read_text()))

    def order_id(self) -> str:
        """Wait for its end, and return the order's id."""
        found = self.outcome()
        assert "id" in found, found
        assert found["xcoms"]["order"]["order_id"] == found["id"]
        return str(found["id"])


def _main(setting: Setting, result: Path) -> None:
    outcome = json.dumps(_run(setting))
    part = result.with_suffix(".part")
    part.write_text(outcome)
    part.replace(result)


def _run(setting: Setting) -> dict[str, Any]:
    from airflow.providers.common.compat.sdk import TaskDeferred

    from planet_provider.exceptions import PlanetError
    from planet_provider.operators.orders import PlanetCreateOrderOperator

    extra = {
        "rate_limits": dict.fromkeys(DOCUMENTED_RATES, 1000.0),
        "coordination_store": setting.store.absolute().as_uri(),
        "backoff_seconds": 0.05,
        **setting.extra,
    }
    fields = {"conn_type": "planet", "host": setting.url, "password": setting.api_key, "extra": extra}
    os.environ["AIRFLOW_CONN_PLANET_DEFAULT"] = json.dumps(fields)
    ti = TaskInstance(setting)
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=setting.began)}
    if setting.journal is not None:
        context["task_state_store"] = FileJournal(setting.journal)
    operator = PlanetCreateOrderOperator(task_id=ti.task_id, **setting.operator)
    try:
        try:
            order_id = operator.execute(context)
        except TaskDeferred as deferral:
            path, kwargs = deferral.trigger.serialize()
            if setting.ends_deferred:
                return {"deferred": deferral.method_name, "kwargs": kwargs}
            event = asyncio.run(_event(pkgutil.resolve_name(path)(**kwargs)))
            order_id = operator.resume_execution(deferral.method_name, {"event": event}, context)
    except PlanetError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"id": order_id, "xcoms": ti.xcoms}


async def _event(trigger: Any) -> Any:
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def live(sandbox: Sandbox) -> list[str]:
    """Return the ids of orders that are charged."""
    return [order["id"] for order in sandbox.orders.values() if order["state"] not in {"failed", "cancelled"}]


def items(sandbox: Sandbox, count: int = 1) -> dict[str, Any]:
    """Return a batch of scenes that can be ordered as ``visual``."""
    found = [
        item.id
        for item in sandbox.catalogue
        if item.item_type == "PSScene" and choose(item, "visual") == "visual"
    ]
    return {"item_type": "PSScene", "item_ids": found[:count]}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what happens in another thread or process."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: it did not happen"
        time.sleep(0.005)
