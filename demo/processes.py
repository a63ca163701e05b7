"""Long-lived child processes that never outlive this one.

Airflow's components fork workers and task processes, some of them into process groups of their own. All of
them stay in the session of the component that was started, so a session is what is stopped here. A guard
process (:mod:`demo.guard`) stops the sessions even when this process is killed before it can clean up.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType

import psutil  # type: ignore[import-untyped]

POLL_SECONDS = 0.1
STOP_SECONDS = 5.0
"""Between SIGTERM and SIGKILL. Airflow ends within 1-3 s; only its api-server may hang after that."""
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
GUARD_DONE = b"done\n"
REPOSITORY = Path(__file__).resolve().parent.parent


class ComponentError(RuntimeError):
    """A component didn't start, or ended when it should not have."""


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback interface that nobody listens on.

    :param count: How many; all different.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def tail(path: Path, lines: int = 30) -> str:
    """Return the last lines of a text file, or say that there are none.

    :param path: The file; may be missing.
    :param lines: How many lines at most.
    """
    if not path.is_file():
        return f"({path} was not written)"
    with path.open(encoding="utf-8", errors="replace") as file:
        return "".join(deque(file, maxlen=lines)) or f"({path} is empty)"


def _members(sessions: Iterable[int]) -> list[psutil.Process]:
    wanted = set(sessions)
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue  # it has just ended, or belongs to somebody else
    return found


def end_sessions(sessions: Sequence[int], grace: float = STOP_SECONDS) -> list[int]:
    """End every process of these sessions: the leaders by SIGTERM, then whatever is left by SIGKILL.

    :param sessions: Session ids: the process ids of the components.
    :param grace: Seconds between SIGTERM and SIGKILL.
    :return: Ids of the processes that had to be killed.
    """
    asked = set()
    for leader in sessions:
        asked.add(leader)
        _send(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (rest := _members(sessions)) and time.monotonic() < deadline:
        if asked.isdisjoint(process.pid for process in rest):
            for process in rest:  # left behind by a leader that has ended
                asked.add(process.pid)
                _send(process.pid, signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    return kill_sessions(sessions)


def kill_sessions(sessions: Sequence[int]) -> list[int]:
    """End every process of these sessions by SIGKILL.

    :param sessions: Session ids: the process ids of the components.
    :return: Ids of the processes that there were.
    """
    killed = set()
    while rest := _members(sessions):
        for process in rest:
            killed.add(process.pid)
            _send(process.pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return sorted(killed)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that context managers clean up.

    Without effect outside the main thread, where Python can't set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, leave) for each in ENDING_SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and its like while cleaning up; that is bounded in time anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, *ENDING_SIGNALS)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Component:
    """One started process with its log file.

    :param name: What to call it in messages.
    :param process: The process; leader of its own session.
    :param log: File that holds what it printed.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def check(self) -> None:
        """Raise if the process has ended.

        :raises ComponentError: It has; the message ends with the tail of its log.
        """
        code = self.process.poll()
        if code is not None:
            raise ComponentError(
                f"{self.name} ended with exit code {code}. The end of {self.log}:\n{tail(self.log)}"
            )


class ProcessGroup:
    """Context manager: start components, end all of them and all they forked.

    :param log_directory: Folder for one log file a component.
    """

    def __init__(self, log_directory: Path) -> None:
        self.log_directory = log_directory
        self.components: list[Component] = []
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ProcessGroup:
        self.log_directory.mkdir(parents=True, exist_ok=True)
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "demo.guard"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _undisturbed():
            self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdout: Path | None = None,
        user: str | None = None,
    ) -> Component:
        """Start one component in a session of its own.

        :param name: Its name; also that of its log file, which goes on where it was started before.
        :param command: Program and arguments.
        :param environment: The whole environment of the process.
        :param stdout: Separate file for standard output; by default it goes to the log with standard error.
        :param user: User that it runs as, which root alone may choose; by default the one that starts it.
        """
        if self._guard is None or self._guard.stdin is None:
            raise RuntimeError("start() works inside the with block only")
        log = self.log_directory / f"{name}.log"
        with ExitStack() as stack:
            errors = stack.enter_context(log.open("ab"))
            output = stack.enter_context(stdout.open("wb")) if stdout else errors
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        component = Component(name, process, log)
        self.components.append(component)
        self._guard.stdin.write(b"%d\n" % process.pid)
        self._guard.stdin.flush()
        return component

    def check(self) -> None:
        """Raise if any component has ended.

        :raises ComponentError: Naming the component, with the tail of its log.
        """
        for component in self.components:
            component.check()

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait for a condition while watching the components.

        :param condition: Asked several times a second.
        :param what: What is waited for, for the message.
        :param timeout: Seconds.
        :raises ComponentError: A component ended, or the time is over.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {each.name}\n{tail(each.log, 12)}" for each in self.components)
                raise ComponentError(f"{what}: not within {timeout:.0f} s. The ends of the logs:\n{logs}")
            time.sleep(POLL_SECONDS)

    def kill(self, name: str) -> None:
        """End one component and everything it started by SIGKILL; its end is then no error.

        :param name: Its name.
        """
        [component] = [each for each in self.components if each.name == name]
        self.components.remove(component)
        kill_sessions([component.process.pid])
        component.process.wait()

    def kill_all(self) -> None:
        """End all components and everything they started by SIGKILL; their end is then no error."""
        kill_sessions([component.process.pid for component in self.components])
        for component in self.components:
            component.process.wait()
        self.components.clear()

    def stop(self) -> None:
        """End all components and everything they started."""
        end_sessions([component.process.pid for component in self.components])
        for component in self.components:
            component.process.wait()
        self.components.clear()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.write(GUARD_DONE)
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
