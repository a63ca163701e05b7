"""The tools of an order: checked at once, then applied to each image in the order given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import bandmath, warp
from planet_provider.sandbox.assets import AssetSpec, with_suffix
from planet_provider.sandbox.footprints import overlap
from planet_provider.sandbox.items import Item
from planet_provider.sandbox.raster import Raster
from planet_provider.sandbox.toolchecks import (
    CHECKS,
    ProductError,
    as_mapping,
    band_names,
    clip_area,
    read_crs,
)


@dataclass(frozen=True)
class Image:
    """An image on its way through the tools.

    :param items: Whence it was made; more than one in a composite.
    :param file_name: Its name so far.
    :param driver: Format in which it will be written.
    """

    items: tuple[Item, ...]
    asset_type: str
    bundle: str
    spec: AssetSpec
    file_name: str
    raster: Raster
    driver: str = "GTiff"

    def named(self, suffix: str, raster: Raster, **changes: Any) -> Image:
        """Return the next state of the image, its name extended by a tool's suffix."""
        name = with_suffix(self.file_name, suffix)
        return replace(self, file_name=name, raster=raster, **changes)


class Toolchain:
    """Tools of one order.

    :param tools: ``tools`` of the order request.
    :raises ProductError: A tool is unknown, or its parameters are not valid.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]] | None) -> None:
        self.steps: list[tuple[str, Mapping[str, Any]]] = []
        for index, tool in enumerate(tools or ()):
            if not isinstance(tool, Mapping) or len(tool) != 1:
                raise ProductError(f"tools.{index}: a tool is an object with one key, its name; got {tool!r}")
            ((name, parameters),) = tool.items()
            check = CHECKS.get(name)
            if check is None:
                raise ProductError(f"tools.{index}: {name!r} is not a tool, use one of {sorted(CHECKS)}")
            parameters = as_mapping(name, parameters)
            check(parameters)
            self.steps.append((name, parameters))
        names = [name for name, _ in self.steps]
        if len(set(names)) < len(names):
            raise ProductError(f"a tool may be used once in an order, got {names}")

    def __contains__(self, tool: str) -> bool:
        return any(name == tool for name, _ in self.steps)

    def __getitem__(self, tool: str) -> Mapping[str, Any]:
        return dict(self.steps)[tool]

    @cached_property
    def aoi(self) -> BaseGeometry | None:
        """The area of the clip tool, lon/lat."""
        return clip_area(self["clip"]) if "clip" in self else None

    def split(self) -> tuple[list[str], list[str]]:
        """Names of the tools before and after the composite; without one all come before."""
        names = [name for name, _ in self.steps]
        if "composite" not in names:
            return names, []
        at = names.index("composite")
        return names[:at], names[at + 1 :]

    def apply(self, names: Sequence[str], image: Image) -> list[Image]:
        """Run tools on one image; only ``tile`` makes several of it.

        :raises ProductError: A tool cannot work on this image.
        """
        images = [image]
        for name in names:
            images = [made for image in images for made in self._run(name, image)]
        return images

    def _run(self, name: str, image: Image) -> Iterator[Image]:
        if image.raster.gcps and name != "file_format":
            raise ProductError(f"{name} needs orthorectified images, {image.asset_type} is not")
        parameters, raster = self[name], image.raster
        if name == "clip":
            footprint = shapely.union_all([item.shape for item in image.items])
            cut = warp.clip(raster, overlap(footprint, clip_area(parameters)))
            if cut is None:
                raise ProductError(f"{image.items[0].id}: the clip geometry does not intersect the item")
            yield image.named("clip", cut)
        elif name == "reproject":
            kernel = "near" if image.spec.is_mask else parameters.get("kernel", "near")
            yield image.named("reproject", reproject(raster, parameters, kernel))
        elif name == "file_format":
            yield image.named("file_format", raster, driver="COG")
        elif name == "tile":
            yield from _tiles(image, parameters)
        elif name == "toar" and image.spec.kind == "radiance":
            yield image.named("toar", warp.toar(raster, float(parameters.get("scale_factor") or 10_000)))
        elif name == "harmonize" and image.spec.kind == "reflectance":
            # The simulated sensors see alike: there is nothing to adjust. Other images pass through.
            yield image.named("harmonized", raster)
        elif name == "coregister":
            # Simulated images lie exactly where their georeferencing says.
            yield image.named("coreg", raster)
        elif name == "bandmath" and not image.spec.is_mask:
            yield image.named("bandmath", band_math(raster, parameters))
        else:
            yield image


def reproject(raster: Raster, parameters: Mapping[str, Any], kernel: str) -> Raster:
    """Run the tool of this name on an image.

    :raises ProductError: The projection can't show it.
    """
    crs, resolution = read_crs(parameters["projection"]), parameters.get("resolution")
    try:
        return warp.to_crs(raster, crs, resolution=resolution, kernel=kernel)
    except warp.ProjectionError as error:
        raise ProductError(f"reproject: {error}") from error


def band_math(raster: Raster, parameters: Mapping[str, Any]) -> Raster:
    """Run the tool of this name on an image.

    :raises ProductError: An expression is malformed, or names a band that the image lacks.
    """
    expressions = [parameters[name] for name in band_names(parameters)]
    try:
        return warp.band_math(raster, expressions, parameters.get("pixel_type") or "Auto")
    except bandmath.ExpressionError as error:
        raise ProductError(f"bandmath: {error}") from error


def _tiles(image: Image, parameters: Mapping[str, Any]) -> Iterator[Image]:
    template = parameters.get("name_template") or "{tilex}_{tiley}.tif"
    for column, row, raster in warp.tiles(image.raster, parameters):
        name = template.format(tilex=column, tiley=row).removesuffix(".tif")
        yield image.named(name, raster)
