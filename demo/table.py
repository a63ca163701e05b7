"""What the demo shows while it works, and at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.metadata import TaskRow
from planet_provider.wording import counted, file_size

PIPED_WIDTH = 120
STYLES = {
    "success": "green",
    "running": "bold blue",
    "deferred": "magenta",
    "queued": "yellow",
    "scheduled": "yellow",
    "up_for_retry": "dark_orange",
    "failed": "bold red",
    "upstream_failed": "red",
    "skipped": "bright_black",
    "none": "bright_black",
}
FINAL = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


def make_console() -> Console:
    """Return the console: as wide as the terminal, or wide enough for the tables if there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


@contextmanager
def step(console: Console, what: str) -> Iterator[None]:
    """Show that something is being done, then how long it took.

    :param console: Where to.
    :param what: What is done, for example ``Starting Airflow``.
    """
    started = time.monotonic()
    if console.is_terminal:
        with console.status(f"{what} …"):
            yield
    else:
        console.print(f"{what} …")
        yield
    console.print(f"[green]✓[/] {what} [dim]{time.monotonic() - started:.1f} s[/]")


@dataclass
class _Task:
    """The instances of one task, and when it began and ended here (monotonic seconds)."""

    states: Mapping[int, str]
    began: float | None = None
    ended: float | None = None

    def seconds(self, now: float) -> str:
        return "" if self.began is None else f"{(self.ended or now) - self.began:.0f} s"


class RunView:
    """Context manager: a table of the tasks of a run that follows it; without a terminal, a line a change.

    :param console: Where to.
    :param title: What runs.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._tasks: dict[str, _Task] = {}
        self._started = time.monotonic()
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> RunView:
        if self._console.is_terminal:
            self._live.__enter__()
        else:
            self._console.print(f"{self._title} …")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.__exit__(kind, error, trace)

    def update(self, rows: Iterable[TaskRow]) -> None:
        """Take the present state of the run's task instances.

        :param rows: All of them.
        """
        now = time.monotonic()
        states: dict[str, dict[int, str]] = {}
        for row in rows:
            states.setdefault(row.task_id, {})[row.map_index] = row.state or "none"
        tasks = dict(self._tasks)  # a copy: the display's thread may be looking at it
        for task_id, instances in states.items():
            task = tasks.setdefault(task_id, _Task({}))
            if not self._console.is_terminal:
                self._print_changes(task_id, task.states, instances, now)
            task.states = instances
            if task.began is None and set(instances.values()) != {"none"}:
                task.began = now
            task.ended = (task.ended or now) if FINAL.issuperset(instances.values()) else None
        self._tasks = tasks

    def _print_changes(
        self, task_id: str, before: Mapping[int, str], after: Mapping[int, str], now: float
    ) -> None:
        for index, state in after.items():
            if state not in (before.get(index), "none"):
                label = task_id if index < 0 else f"{task_id}[{index}]"
                self._console.print(f"{now - self._started:6.1f} s  {label}: {state}")

    def _table(self) -> Table:
        now = time.monotonic()
        instances = [state for task in self._tasks.values() for state in task.states.values()]
        done = sum(state in FINAL for state in instances)
        table = Table(
            title=f"{self._title} [dim]{now - self._started:.0f} s[/]", title_justify="left", expand=False
        )
        table.add_column("task", min_width=10)
        table.add_column("instances", min_width=24)
        table.add_column("state", min_width=24)
        table.add_column("time", justify="right", min_width=6)
        for task_id, task in self._tasks.items():
            marks = Text()
            for state in task.states.values():
                marks.append("■ ", STYLES.get(state, ""))
            table.add_row(task_id, marks, _counts(task.states.values()), task.seconds(now))
        table.add_section()
        bar = ProgressBar(total=max(1, len(instances)), completed=done, width=24)
        table.add_row("", bar, f"{done} of {len(instances)} ended", "")
        return table


def _counts(states: Iterable[str]) -> Text:
    text = Text()
    for state, count in Counter(states).items():
        text.append(", " if text else "")
        name = "waiting for others" if state == "none" else state
        text.append(f"{count} {name}" if count > 1 else name, STYLES.get(state, ""))
    return text


@dataclass(frozen=True)
class Delivered:
    """One file on disk.

    :param folder: The order's, relative to the destination.
    :param name: Path in that folder.
    :param size: Bytes.
    :param sha256: Hexadecimal, of the file on disk.
    :param verified: Whether that is the manifest's.
    """

    folder: Path
    name: Path
    size: int
    sha256: str
    verified: bool


def files_table(files: Sequence[Delivered], destination: Path) -> Table:
    """Return the table of delivered files.

    :param files: What was delivered.
    :param destination: The folder that their paths are relative to.
    """
    table = Table(title=f"Delivered to {destination}", title_justify="left", show_footer=True)
    total = sum(file.size for file in files)
    table.add_column("file", counted(len(files), "file"), overflow="fold")
    table.add_column("size", file_size(total), justify="right", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    table.add_column("verified", f"{sum(file.verified for file in files)} of {len(files)}", justify="right")
    for folder, together in groupby(files, key=lambda file: file.folder):
        table.add_row(Text(f"{folder}/", "bold"))
        for file in together:
            mark = Text("yes", "green") if file.verified else Text("NO", "bold red")
            table.add_row(f"  {file.name}", f"{file.size / 1e3:,.0f} kB", f"{file.sha256[:12]}…", mark)
        table.add_section()
    return table


def ndvi_table(statistics: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of vegetation statistics.

    :param statistics: What the DAG's ``ndvi`` tasks returned, scene by scene.
    """
    table = Table(title="NDVI over the clear pixels", title_justify="left")
    table.add_column("scene", no_wrap=True)
    for name in ("clear pixels", "mean", "std", "p10", "median", "p90"):
        table.add_column(name, justify="right")
    for scene in statistics:
        values = [
            f"{scene[key]:.3f}" if key in scene else "-" for key in ("mean", "std", "p10", "median", "p90")
        ]
        table.add_row(scene["item_id"], f"{scene['clear_pixels']:,}", *values)
    return table
