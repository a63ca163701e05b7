"""A search's result as batches, made for one mapped task each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from planet_provider.client import checks
from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.storage import store_and_name
from planet_provider.transfer.store import Store, read, write

#: Bytes that a file of item ids may have: 500 ids are some 20 kB.
_MAX_BATCH_BYTES = 16 * 1024 * 1024


def batches(found: Mapping[str, list[str]], batch_size: int) -> Iterator[dict[str, Any]]:
    """Yield batches of one item type each.

    :param found: Item ids by item type.
    :param batch_size: Items in a batch, at most.
    :return: ``{"item_type": ..., "item_ids": [...]}``.
    """
    for item_type, item_ids in found.items():
        for start in range(0, len(item_ids), batch_size):
            yield {"item_type": item_type, "item_ids": item_ids[start : start + batch_size]}


def write_batches(whole: Iterable[Mapping[str, Any]], store: Store, name: str) -> Iterator[dict[str, Any]]:
    """Write each batch's ids to a file of its own, for results too large for XCom.

    :param name: The result's file, beside which they are written.
    :return: ``{"item_type": ..., "count": ..., "path": ...}``.
    """
    stem = PurePosixPath(name).stem
    for number, batch in enumerate(whole):
        file = f"{stem}.batch-{number:05d}.json"
        write(store, file, json.dumps(batch["item_ids"]).encode())
        yield {"item_type": batch["item_type"], "count": len(batch["item_ids"]), "path": store.uri(file)}


def read_batch(batch: Any) -> Any:
    """Return a batch with its ids, which may lie in a file.

    :param batch: What a search returned; ``None`` is handed on.
    :raises InvalidInputError: It is no batch; or the file is not there, or holds something else.
    """
    if batch is None or "path" not in checks.mapping(batch, "items"):
        return batch
    store, name = store_and_name(batch["path"], "items.path")
    content = read(store, name, _MAX_BATCH_BYTES)
    if content is None:
        raise InvalidInputError(
            "items.path", batch["path"], "there is no such file; it is written by PlanetSearchOperator."
        )
    try:
        item_ids = json.loads(content)
    except ValueError:
        item_ids = None
    if not isinstance(item_ids, list) or len(item_ids) != batch.get("count", len(item_ids)):
        raise InvalidInputError(
            "items.path", batch["path"], f"doesn't hold the {batch.get('count')} item ids of the search."
        )
    return {"item_type": batch.get("item_type"), "item_ids": item_ids}
