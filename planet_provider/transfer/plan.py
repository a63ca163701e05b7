"""Which files of an order are to be transferred, and what each has to be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from planet_provider.exceptions import InvalidInputError, TransferError
from planet_provider.transfer.download.sources import Result, check_delivery
from planet_provider.transfer.manifest import MANIFEST, TRANSFER_RECORD, Entry
from planet_provider.transfer.names import check_places
from planet_provider.wording import and_more

Globs = str | Iterable[str] | None


@dataclass(frozen=True)
class Selection:
    """Globs on paths relative to the order's folder; ``*`` matches slashes too, and capitals count.

    :param include: A file must match one of these; ``None``: every file does.
    :param exclude: A file must match none of these.
    :param paths: These files and no others, whatever the globs.
    """

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    paths: frozenset[str] | None = None

    @classmethod
    def of(cls, include: Globs, exclude: Globs) -> Selection:
        """Check globs as a user gives them: one, several, or none.

        :raises InvalidInputError: They are no globs.
        """
        return cls(_globs(include, "include"), _globs(exclude, "exclude"))

    def takes(self, path: str) -> bool:
        """Tell whether a file is wanted."""
        if self.paths is not None:
            return path in self.paths
        included = self.include is None or any(fnmatchcase(path, glob) for glob in self.include)
        return included and not any(fnmatchcase(path, glob) for glob in self.exclude or ())


def recorded_selection(record: bytes | None) -> Selection:
    """Return the globs of an order's last transfer, by its record; all files, where there is none."""
    try:
        body = json.loads(record or b"{}")
        return Selection.of(body.get("include"), body.get("exclude"))
    except (AttributeError, TypeError, ValueError, RecursionError):
        return Selection()


@dataclass(frozen=True)
class PlannedFile:
    """A file to be transferred.

    :param source: The result's name, as Planet gives it.
    :param entry: What the manifest says; only the path, where the manifest doesn't list the file.
    """

    source: str
    entry: Entry

    @property
    def path(self) -> str:
        """Relative to the order's folder."""
        return self.entry.path


def plan_files(
    order_id: str,
    results: Mapping[str, Result],
    manifest: Mapping[str, Entry],
    selection: Selection,
    *,
    archived: bool = False,
) -> list[PlannedFile]:
    """Match an order's results with its manifest.

    A result that the manifest doesn't list is transferred too, last; it can't be verified by a digest, and
    its record says so.

    :param results: By path relative to the order's folder.
    :param manifest: Likewise.
    :param archived: Whether the order is delivered as zip: then the manifest may list what is inside.
    :return: In the manifest's order.
    :raises UnsafePathError: Two files have one place.
    :raises TransferError: A file of the manifest is not among the results, or was not delivered; or none of the
        selection's paths is a file of the order.
    :raises InvalidInputError: The globs leave nothing.
    """
    # The manifest is a result; the record is ours alone.
    check_places([TRANSFER_RECORD, *{MANIFEST, *results, *manifest}])
    if not results.keys() - {MANIFEST}:
        raise TransferError(
            f"Order {order_id} has a link for no file but its {MANIFEST}: were they delivered to a "
            "cloud store?"
        )
    wanted = [path for path in manifest if path != MANIFEST and selection.takes(path)]
    missing = [path for path in wanted if path not in results]
    if missing and not archived:
        raise TransferError(
            f"Order {order_id}: its {MANIFEST} lists {and_more(missing[:1], len(missing), 'file')}, "
            "but the order has no link for it. Try again later; if it stays, report it to Planet.",
            file=missing[0],
        )
    unlisted = [path for path in results if path != MANIFEST and path not in manifest]
    chosen = [path for path in wanted if path in results] + [
        path for path in unlisted if selection.takes(path)
    ]
    if not chosen:
        raise _nothing(order_id, results, selection)
    check_delivery(order_id, {path: results[path] for path in chosen})
    return [PlannedFile(results[path].name, manifest.get(path) or Entry(path=path)) for path in chosen]


def _nothing(
    order_id: str, results: Mapping[str, Result], selection: Selection
) -> InvalidInputError | TransferError:
    if selection.paths is not None:
        wanted = sorted(selection.paths)
        return TransferError(
            f"Order {order_id} has none of the files that are to be fetched again: "
            f"{and_more(wanted[:3], len(wanted), 'file')}. Download the order again.",
            file=wanted[0] if wanted else None,
        )
    files = [path for path in results if path != MANIFEST]
    field = "include" if selection.include is not None else "exclude"
    shown = and_more(files[:3], len(files), "file")
    return InvalidInputError(
        field,
        getattr(selection, field),
        f"leaves no file of order {order_id}, which has {shown}",
    )


def _globs(value: Globs, field: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise InvalidInputError(field, value, "must be a glob, or a list of globs")
    globs: Sequence[str] = (value,) if isinstance(value, str) else tuple(value)
    for index, glob in enumerate(globs):
        if not isinstance(glob, str) or not glob:
            raise InvalidInputError(f"{field}[{index}]", glob, "must be a glob, such as *udm2.tif")
    if not globs and field == "include":
        raise InvalidInputError(field, value, "must hold a glob; leave it out to take every file")
    return tuple(globs)
