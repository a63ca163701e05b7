"""As soon as Planet publishes new imagery of an area: order it, wait without a worker, download.

There is no schedule and no sensor. Every ten minutes a *watcher* in the triggerer looks for scenes that Planet has
published since its last look. It reports them in batches as events of the asset `planet_new_imagery`, which
schedules the DAG. One run may get several batches, and maps over them.

On Airflow 3.3 and newer the watcher continues where it stopped, also after a restart of the triggerer. On older
versions it begins at the present at each start: set `published_since` if it must miss nothing. Orders that exist
are found, not placed twice.
The watcher works while the DAG is not paused.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, get_current_context, task

from planet_provider.builders import filters
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.triggers.imagery import PlanetImageryTrigger

# San Francisco: longitude and latitude in degrees, counter-clockwise, closed.
AOI = {
    "type": "Polygon",
    "coordinates": [
        [[-122.54, 37.67], [-122.32, 37.67], [-122.32, 37.83], [-122.54, 37.83], [-122.54, 37.67]],
    ],
}
# A folder that every worker sees, or any ObjectStoragePath, e.g. s3://aws_default@my-bucket/planet.
DESTINATION = "{{ var.value.get('planet_destination', '/tmp/planet') }}/new"

new_imagery = Asset(
    name="planet_new_imagery",
    uri="x-planet://san-francisco/PSScene/new",
    watchers=[
        AssetWatcher(
            name="planet",
            trigger=PlanetImageryTrigger(
                item_types=["PSScene"],
                geometry=AOI,
                search_filter=filters.and_filter(
                    filters.range_filter("cloud_cover", lte=0.5),
                    filters.asset_filter(["ortho_visual"]),
                    filters.permission_filter(),
                ),
                poke_interval=600,
                # Some assets come hours after their scene; only then does it match the filter.
                overlap=timedelta(hours=12).total_seconds(),
                # Archives are reprocessed, and years of scenes then come as new.
                max_age_days=30,
                max_items=100,
            ),
        )
    ],
)

with DAG(
    dag_id="planet_new_imagery",
    doc_md=__doc__,
    schedule=[new_imagery],
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["planet", "example"],
) as dag:

    @task
    def batches() -> list[dict[str, Any]]:
        """Return what is new: a batch for each event that started this run; none in a run by hand."""
        events = get_current_context()["triggering_asset_events"].get(new_imagery, [])
        told = [event.extra["payload"] for event in events]
        # An event may come twice, where a triggerer was killed.
        items = {tuple(batch["item_ids"]): batch for batch in told}.values()
        return [{"item_type": batch["item_type"], "item_ids": batch["item_ids"]} for batch in items]

    order = PlanetCreateOrderOperator.partial(
        task_id="order",
        # The same in all runs: a batch that comes again, in whichever run, finds its order.
        name="new-imagery",
        product_bundle="visual",
        # Waits in the triggerer.
        wait_for_completion=True,
        deferrable=True,
        poke_interval=15,
        timeout=timedelta(hours=12).total_seconds(),
    ).expand(items=batches())

    download = PlanetDownloadOrderOperator.partial(
        task_id="download",
        destination=DESTINATION,
    ).expand(order_id=order.output)

    @task
    def scenes(deliveries: Iterable[list[dict[str, Any]]]) -> dict[str, list[str]]:
        """Return the files of each new scene; what is done with them would follow here.

        :param deliveries: The file records of each order.
        """
        found: dict[str, list[str]] = {}
        for record in (record for files in deliveries for record in files):
            if record["item_id"]:
                found.setdefault(record["item_id"], []).append(record["path"])
        return found

    scenes(download.output["files"])
