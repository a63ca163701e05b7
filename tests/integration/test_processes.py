"""Nothing that the demo or a test starts outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from demo.processes import REPOSITORY, ComponentError, ProcessGroup, end_sessions, free_ports

GRANDCHILD = "import time; print('up', flush=True); time.sleep(600)"
CHILD = f"""
import os, subprocess, sys
os.setpgid(0, 0)
subprocess.run([sys.executable, "-c", {GRANDCHILD!r}])
"""
# A component like Airflow's: a child in a process group of its own, and a grandchild.
FORKING = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHILD!r}])
time.sleep(600)
"""
STARTER = f"""
import os, signal, sys, time
from pathlib import Path
from demo.processes import ProcessGroup, ended_by_signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
with ended_by_signals(), ProcessGroup(Path(sys.argv[1])) as group:
    group.start("forking", [sys.executable, "-c", {FORKING!r}], os.environ)
    time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended may stay in the table until it is reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_up(log: Path) -> bool:
    return log.is_file() and b"up" in log.read_bytes()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        signal.SIGKILL,
        *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_starter_that_ends_takes_everything_along(tmp_path: Path, number: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=REPOSITORY,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: is_up(tmp_path / "forking.log"), "the component didn't start")
    family = psutil.Process(starter.pid).children(recursive=True)
    assert len(family) == 4  # the guard, the component, its child, its grandchild
    starter.send_signal(number)
    assert starter.wait(120) != 0
    wait_until(lambda: not any(map(is_alive, family)), f"{family} outlived the starter")


def test_leaving_the_context_ends_grandchildren(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        component = group.start("forking", [sys.executable, "-c", FORKING], os.environ)
        wait_until(lambda: is_up(component.log), "the component didn't start")
        family = psutil.Process(component.process.pid).children(recursive=True)
        assert len(family) == 2
    assert not any(map(is_alive, family))


def test_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        component = group.start("stubborn", [sys.executable, "-c", STUBBORN], os.environ)
        wait_until(lambda: is_up(component.log), "the component didn't start")
        assert end_sessions([component.process.pid], grace=0.3) == [component.process.pid]
        assert component.process.wait() == -signal.SIGKILL


def test_a_component_that_is_killed_takes_its_family_along_and_may_start_again(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        command = [sys.executable, "-c", FORKING]
        component = group.start("forking", command, os.environ)
        wait_until(lambda: is_up(component.log), "the component didn't start")
        family = [process := psutil.Process(component.process.pid), *process.children(recursive=True)]
        assert len(family) == 3
        group.kill("forking")
        assert not any(map(is_alive, family))
        group.check()
        before = component.log.read_bytes()
        group.start("forking", command, os.environ)
        wait_until(lambda: len(component.log.read_bytes()) > len(before), "it didn't start again")
        assert component.log.read_bytes().startswith(before)
        again = psutil.Process(group.components[0].process.pid)
        family = [again, *again.children(recursive=True)]
        group.kill_all()
        assert not any(map(is_alive, family))
        group.check()


def test_a_component_that_fails_is_named_with_its_log(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        group.start("broken", [sys.executable, "-c", "import sys; sys.exit('no database')"], os.environ)
        with pytest.raises(ComponentError, match=r"(?s)broken ended with exit code 1.*no database"):
            group.wait_until(lambda: False, "broken was not ready", 120)


def test_waiting_ends_with_the_logs(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        component = group.start(
            "slow", [sys.executable, "-c", STUBBORN.replace("SIG_IGN", "SIG_DFL")], os.environ
        )
        wait_until(lambda: is_up(component.log), "the component didn't start")
        with pytest.raises(ComponentError, match=r"(?s)slow was not ready: not within 0 s.*--- slow\nup"):
            group.wait_until(lambda: False, "slow was not ready", 0.2)


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(port > 1023 for port in ports)
