"""What parsing a DAG costs: CPU time and modules of imports, ours beside Planet's SDK and Airflow's S3 operators.

Each import runs in a process of its own, in turns, after Airflow's SDK is loaded: a DAG file needs that anyway.
The script fails if ours loads more than :data:`MOST_MODULES` of our modules or takes more than :data:`MOST_MS`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict

#: Our modules, and milliseconds of CPU time beyond Airflow's SDK.
MOST_MODULES, MOST_MS = 45, 60.0

OURS = "ours, all operators and sensors"
IMPORTS = {
    OURS: (
        "planet_provider.operators.assets",
        "planet_provider.operators.checksum",
        "planet_provider.operators.orders",
        "planet_provider.operators.saved_search",
        "planet_provider.operators.search",
        "planet_provider.operators.stats",
        "planet_provider.sensors.assets",
        "planet_provider.sensors.orders",
    ),
    "planet SDK": ("planet",),
    "amazon provider, S3 operators": ("airflow.providers.amazon.aws.operators.s3",),
}

_CODE = """
import importlib, json, sys, time
import airflow.sdk
import airflow.providers.common.compat.sdk
before, began = set(sys.modules), time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
took = time.process_time() - began
print(json.dumps({"ms": 1000 * took, "modules": sorted(set(sys.modules) - before)}))
"""


def main() -> int:
    """Print a table; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    took: dict[str, list[float]] = defaultdict(list)
    loaded: dict[str, list[str]] = {}
    environment = os.environ | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for number in range(rounds + 1):
        for name, modules in IMPORTS.items():
            done = subprocess.run(
                [sys.executable, "-c", _CODE, *modules],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            )
            result = json.loads(done.stdout.splitlines()[-1])
            loaded[name] = result["modules"]
            if number:  # the first round writes bytecode
                took[name].append(result["ms"])
    print(f"{'import':32} {'CPU ms, median':>14} {'modules':>8}")
    for name, values in took.items():
        print(f"{name:32} {statistics.median(values):14.0f} {len(loaded[name]):8}")
    own = [name for name in loaded[OURS] if name.partition(".")[0] == "planet_provider"]
    print(f"Of our modules: {len(own)}, at most {MOST_MODULES}.")
    return int(len(own) > MOST_MODULES or statistics.median(took[OURS]) > MOST_MS)


if __name__ == "__main__":
    raise SystemExit(main())
