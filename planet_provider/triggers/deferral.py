"""How a task defers: whether it does, for how long, and what its log says before."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import conf

#: Seconds that Airflow's own limit on a deferral lies behind the trigger's, which says more.
_DEFERRAL_GRACE_SECONDS = 60.0


def is_deferrable(deferrable: bool | None) -> bool:
    """Return what a task was told, or else Airflow's setting ``[operators] default_deferrable``."""
    if deferrable is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return deferrable


def deferral_timeout(deadline: float) -> timedelta:
    """Return Airflow's own limit for a deferral.

    :param deadline: The trigger's, UTC, as seconds since the epoch.
    """
    return timedelta(seconds=max(0.0, deadline - time.time()) + _DEFERRAL_GRACE_SECONDS)


def log_deferral(log: Any, deadline: float) -> None:
    """Say in a task's log, before it defers, what comes next. A worker can't see whether a triggerer runs.

    :param log: The task's.
    :param deadline: The trigger's, UTC, as seconds since the epoch.
    """
    log.info(
        "The triggerer waits from here, for %.0f s at most. If no line follows within a minute, check that "
        "one runs: airflow jobs check --job-type TriggererJob",
        deadline - time.time(),
    )
