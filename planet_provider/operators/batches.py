"""A search's result as batches, made for one mapped task each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.storage import store_and_name

if TYPE_CHECKING:
    from planet_provider.transfer.stores.base import Store


#: Bytes that a file of item ids may have: 500 ids are some 20 kB.
_MAX_BATCH_BYTES = 16 * 1024 * 1024

_FORM = '{"item_type": ..., "item_ids": [...]}'


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

    Its digest is in the file's name, so no other search writes other ids to where this one's are read from.

    :param name: The result's file, beside which they are written.
    :return: ``{"item_type": ..., "count": ..., "path": ..., "sha256": ...}``.
    """

    from planet_provider.transfer.stores.base import write

    for number, batch in enumerate(whole):
        content = json.dumps(batch["item_ids"]).encode()
        digest = hashlib.sha256(content).hexdigest()
        file = f"{name}.batch-{number:05d}-{digest[:12]}.json"
        write(store, file, content)
        yield {
            "item_type": batch["item_type"],
            "count": len(batch["item_ids"]),
            "path": store.uri(file),
            "sha256": digest,
        }


def read_batch(batch: Any) -> Any:
    """Return a batch with its ids, which may lie in a file.

    :param batch: What a search returned, or its JSON text; ``None`` is handed on.
    :raises InvalidInputError: It is no batch; or the file is not there, or holds something else.
    """

    from planet_provider.transfer.stores.base import read

    batch = checks.from_text(batch, "items")
    if batch is None:
        return None
    if not isinstance(batch, Mapping):
        raise InvalidInputError("items", batch, f"must be one batch, {_FORM}. {_remedy(batch)}")
    if "path" not in batch:
        return batch
    store, name = store_and_name(batch["path"], "items.path")
    content = read(store, name, _MAX_BATCH_BYTES)
    if content is None:
        raise InvalidInputError(
            "items.path", batch["path"], "there is no such file; it is written by PlanetSearchOperator."
        )
    # Batches of earlier versions have no digest.
    if batch.get("sha256") not in (None, hashlib.sha256(content).hexdigest()):
        raise InvalidInputError(
            "items.path", batch["path"], "has been changed since the search wrote it; run the search again."
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


def _remedy(given: object) -> str:
    if isinstance(given, str):
        return (
            "This is text, but no JSON: hand on the search's output itself, by .expand(items=search.output)."
        )
    if isinstance(given, (list, tuple)) and given and all(isinstance(one, str) for one in given):
        return "These are item ids; say of which item type they are."
    return "To order each batch of a search write .expand(items=search.output)."
