"""Whether a task was really killed, or a new try goes on with its work.

Airflow calls ``on_kill`` for more than a kill: on a clear (after the new try has started), on a worker's
shutdown, on a reassignment after a triggerer's stall, and when a DAG run times out. The state of the task
instance tells: only where it is final nobody goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

_ENDED = frozenset({"failed", "success", "skipped", "upstream_failed", "removed"})


def has_ended(ti: Any) -> bool:
    """Ask Airflow whether a task instance has ended; on a worker.

    Where the question can't be asked, the answer is no: an order that goes on can be cancelled by hand.

    :param ti: Task instance.
    """
    try:
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=_map_index(ti)
        )
    except Exception as error:  # whatever it is, it must not lead to a cancelled order
        log.warning("Whether the task has ended can't be asked: %s", type(error).__name__)
        return False
    return _is_final(states, ti)


async def has_ended_async(ti: Any) -> bool:
    """Ask Airflow whether a task instance has ended; in the triggerer.

    Airflow has no public way to ask from there, so this relies on its internals, and answers no without them.

    :param ti: Task instance.
    """
    try:
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import GetTaskStates

        answer: Any = await task_runner.SUPERVISOR_COMMS.asend(
            GetTaskStates(
                dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=_map_index(ti)
            )
        )
        return _is_final(answer.task_states, ti)
    except Exception as error:
        log.warning("Whether the task has ended can't be asked: %s", type(error).__name__)
        return False


def _map_index(ti: Any) -> int | None:
    index = getattr(ti, "map_index", None)
    return index if index is not None and index >= 0 else None


def _is_final(states: Mapping[str, Mapping[str, Any]], ti: Any) -> bool:
    """Read Airflow's answer: states by run and task, the latter with the map index at its end."""
    index = _map_index(ti)
    name = ti.task_id if index is None else f"{ti.task_id}_{index}"
    state = (states.get(ti.run_id) or {}).get(name)
    return str(getattr(state, "value", state)) in _ENDED
