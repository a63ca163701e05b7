"""Measure transfers: ours, the official SDK, curl and aria2c bring the same orders from the same nginx.

``python -m benchmarks.transfer`` prints tables in Markdown, and which targets are met; about eight minutes,
needs nginx, curl, aria2c and openssl. ``--s3`` adds transfers into S3, two minutes more. ``--quick`` is a
smoke test with a tenth of the bytes.

While tuning, select what is of interest, e.g.
``python -m benchmarks.transfer --workloads one --variants clear throttled --contestants ours curl --repeats 5``.
To profile, ``--serve`` keeps the files served and prints a command that runs ours alone, once for each
workload and variant: prefix it with ``py-spy record -o profile.svg --native --`` or ``perf record -g``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.planet_front import MB, VARIANTS, Front, Workload, fronts
from benchmarks.transfer_contestants import CONTESTANTS, Job, Run, run
from benchmarks.transfer_report import Case, print_table, print_targets
from benchmarks.transfer_s3 import measure as measure_s3

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("one", "1 x 1 GB", 1, 1000 * MB),
        Workload("many", "40 x 25 MB", 40, 25 * MB),
        Workload("small", "400 x 0.5 MB", 400, MB // 2),
    )
}

#: What takes longer than this is run once, in seconds.
SLOW_SECONDS = 25.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the tables."""
    options = _options(arguments)
    workloads = [WORKLOADS[name] for name in options.workloads]
    if options.quick:
        workloads = [_tenth(workload) for workload in workloads]
    variants = [] if options.s3 == "only" else [VARIANTS[name] for name in options.variants]
    served = {variant.name: variant for variant in (VARIANTS["clear"], *variants)}
    met = True
    # Let the server and the files go, too, when this is ended by kill.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _scratch(options.folder) as folder, fronts(folder, workloads, list(served.values())) as found:
        cases = [
            Case(variant, workload)
            for variant in variants
            for workload in workloads
            # Of small files requests are what takes time; the other variants are about bytes.
            if workload.name != "small" or not (variant.rate or variant.tls)
        ]
        if options.serve:
            _serve(cases, found, folder)
            return 0
        _touch(folder, max(workload.bytes for workload in workloads))
        for case in cases:
            names = [name for name in case.contestants if name in options.contestants]
            runs = _measure(case, found[case.variant.name], names, options.repeats, folder)
            print_table(case, runs)
            met &= (options.quick or print_targets(case, runs)) and len(runs) == len(names)
        if options.s3:
            met &= _into_s3(found["clear"], workloads, folder, options.repeats) or options.quick
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end", file=sys.stderr)
    return 0 if met else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument(
        "--repeats", type=int, default=3, help="rounds (default: 3; what takes over 25 s is run once)"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes, one round")
    parser.add_argument(
        "--s3",
        nargs="?",
        const="also",
        choices=("also", "only"),
        help="transfers into S3 (needs the s3 extra)",
    )
    parser.add_argument("--serve", action="store_true", help="serve until Ctrl-C, to profile")
    parser.add_argument(
        "--folder", type=Path, help="where files are served from and brought to (default: in memory)"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.repeats = 1
    return options


def _into_s3(front: Front, workloads: Sequence[Workload], folder: Path, repeats: int) -> bool:
    """Measure transfers into S3.

    :return: Whether the targets are met.
    """
    large = [workload for workload in workloads if workload.name != "small"]
    results = [
        measure_s3(front, workload, folder, title, repeats)
        for title in ("a sink", "a bucket")
        for workload in large
    ]
    # moto keeps it all in memory, and takes its time: no target is about it.
    for workload in large[-1:]:
        measure_s3(front, workload, folder, "moto's server", 1)
    return all(results)


def _tenth(workload: Workload) -> Workload:
    few = max(1, workload.files // 10)
    return dataclasses.replace(
        workload,
        title=f"a tenth of {workload.title}",
        files=few,
        size=workload.size if workload.files > 1 else workload.size // 10,
    )


@contextmanager
def _scratch(folder: Path | None) -> Iterator[Path]:
    """Make a folder, in memory where there is such a file system: it is not disks that are compared."""
    memory = Path("/dev/shm")
    parent = folder or (memory if memory.is_dir() else None)
    with tempfile.TemporaryDirectory(prefix="planet-benchmark-", dir=parent) as made:
        yield Path(made)


def _touch(folder: Path, count: int) -> None:
    """Write as many bytes as a run does, and remove them.

    A virtual machine's memory is slower the first time, which the first run of all would pay for alone.
    """
    path = folder / "touched"
    with path.open("wb") as file:
        for _ in range(0, count, MB):
            file.write(bytes(MB))
    path.unlink()


def _measure(
    case: Case, front: Front, names: Sequence[str], repeats: int, folder: Path
) -> dict[str, list[Run]]:
    """Run all contestants in turn, round after round. Who fails is out of it."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, earlier in list(runs.items()):
            if earlier and earlier[0].seconds > SLOW_SECONDS:
                continue
            destination = folder / "destination"
            destination.mkdir()
            try:
                earlier.append(run(name, _job(case, front, destination)))
            except RuntimeError as error:
                print(f"{case.variant.name} {case.workload.name} {name}: {error}", file=sys.stderr)
                del runs[name]
                continue
            finally:
                shutil.rmtree(destination)
            print(f"{case.variant.name} {case.workload.name} {name}: {earlier[-1]}", file=sys.stderr)
    return runs


def _job(case: Case, front: Front, destination: Path) -> Job:
    workload = case.workload
    return Job(
        url=front.url,
        order_id=workload.order_id,
        links=front.links(workload),
        destination=str(destination),
        connections=case.connections,
        certificate=str(front.certificate),
    )


def _serve(cases: Sequence[Case], served: Mapping[str, Front], folder: Path) -> None:
    """Print how to run ours alone, and serve until it is ended."""
    destination = folder / "destination"
    for case in cases:
        job = _job(case, served[case.variant.name], destination)
        # The list of links is for the others.
        text = json.dumps(dataclasses.asdict(job) | {"links": []})
        command = [sys.executable, "-m", "benchmarks.transfer_python", "ours", text]
        print(f"\n# {case.variant.name} {case.workload.name}\nrm -rf {destination}; export NO_PROXY='*' \\")
        print(f"    SSL_CERT_FILE={job.certificate}\n{shlex.join(command)}", flush=True)
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
