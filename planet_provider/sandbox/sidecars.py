"""The text files beside the images: XML and TXT metadata, rational polynomial coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from planet_provider.sandbox.assets import AssetSpec
    from planet_provider.sandbox.items import Item

RADIOMETRIC_SCALE = 0.01
"""Radiance files hold W/(m2 sr um) divided by this."""

# Reflectance of one count of a radiance file, about pi / (100 x the sun's irradiance in the band).
REFLECTANCE_COEFFICIENTS: dict[str, float] = {
    "coastal_blue": 1.73e-05,
    "blue": 1.63e-05,
    "green_i": 1.71e-05,
    "green": 1.75e-05,
    "yellow": 1.86e-05,
    "red": 2.02e-05,
    "rededge": 2.26e-05,
    "nir": 3.29e-05,
    "pan": 1.85e-05,
}

_PS = "http://schemas.planet.com/ps/v1/planet_product_metadata_geocorrected_level"
_EOP = "http://earth.esa.int/eop"
_GML = "http://www.opengis.net/gml"
for _prefix, _uri in (("ps", _PS), ("eop", _EOP), ("gml", _GML)):
    ElementTree.register_namespace(_prefix, _uri)


def metadata_xml(item: Item, spec: AssetSpec, file_name: str) -> bytes:
    """Write the product metadata of an image: who took it when, and how to turn counts into reflectance."""
    root = ElementTree.Element(f"{{{_PS}}}EarthObservation", version="1.2.1")

    def add(parent: ElementTree.Element, space: str, tag: str, text: object = None) -> ElementTree.Element:
        node = ElementTree.SubElement(parent, f"{{{space}}}{tag}")
        node.text = None if text is None else str(text)
        return node

    properties = item.properties
    described = add(root, _GML, "metaDataProperty")
    meta = add(described, _PS, "EarthObservationMetaData")
    add(meta, _EOP, "identifier", item.id)
    add(meta, _EOP, "acquisitionType", "NOMINAL")
    add(meta, _EOP, "productType", "L1B" if spec.basic else "L3B")
    add(meta, _EOP, "status", "ARCHIVED")
    validity = add(root, _GML, "validTime")
    period = add(validity, _GML, "TimePeriod")
    add(period, _GML, "beginPosition", properties["acquired"])
    add(period, _GML, "endPosition", properties["acquired"])
    equipment = add(add(root, _GML, "using"), _EOP, "EarthObservationEquipment")
    platform = add(add(equipment, _EOP, "platform"), _EOP, "Platform")
    add(platform, _EOP, "serialIdentifier", properties.get("satellite_id", ""))
    instrument = add(add(equipment, _EOP, "instrument"), _EOP, "Instrument")
    add(instrument, _EOP, "shortName", properties.get("instrument", properties.get("provider", "")))
    acquisition = add(add(equipment, _EOP, "acquisitionParameters"), _PS, "Acquisition")
    add(acquisition, _EOP, "illuminationAzimuthAngle", properties["sun_azimuth"]).set("uom", "deg")
    add(acquisition, _EOP, "illuminationElevationAngle", properties["sun_elevation"]).set("uom", "deg")
    result = add(add(root, _GML, "resultOf"), _PS, "EarthObservationResult")
    product = add(add(result, _EOP, "product"), _PS, "ProductInformation")
    add(product, _EOP, "fileName", file_name)
    add(product, _PS, "numBands", len(spec.bands))
    for index, band in enumerate(spec.bands, start=1):
        coefficient = REFLECTANCE_COEFFICIENTS.get(band)
        if coefficient is None:
            continue
        specific = add(result, _PS, "bandSpecificMetadata")
        add(specific, _PS, "bandNumber", index)
        add(specific, _PS, "radiometricScaleFactor", RADIOMETRIC_SCALE)
        add(specific, _PS, "reflectanceCoefficient", coefficient)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def metadata_txt(item: Item) -> bytes:
    """Write Landsat's MTL file."""
    properties = item.properties
    lines = [
        "GROUP = L1_METADATA_FILE",
        "  GROUP = PRODUCT_METADATA",
        f'    LANDSAT_SCENE_ID = "{item.id}"',
        f'    DATA_TYPE = "{properties.get("data_type", "L1T")}"',
        '    SPACECRAFT_ID = "LANDSAT_8"',
        f"    DATE_ACQUIRED = {properties['acquired'][:10]}",
        f'    SCENE_CENTER_TIME = "{properties["acquired"][11:]}"',
        f"    WRS_PATH = {properties.get('wrs_path', 0)}",
        f"    WRS_ROW = {properties.get('wrs_row', 0)}",
        "  END_GROUP = PRODUCT_METADATA",
        "  GROUP = IMAGE_ATTRIBUTES",
        f"    CLOUD_COVER = {100 * properties['cloud_cover']:.2f}",
        f"    SUN_AZIMUTH = {properties['sun_azimuth']}",
        f"    SUN_ELEVATION = {properties['sun_elevation']}",
        "  END_GROUP = IMAGE_ATTRIBUTES",
        "END_GROUP = L1_METADATA_FILE",
        "END",
    ]
    return ("\n".join(lines) + "\n").encode()


def rpc_text(corners: npt.NDArray[np.float64], height: int, width: int) -> bytes:
    """Write rational polynomial coefficients of an image: a first-order fit of its corners.

    :param corners: Longitude and latitude, degrees, of the upper left, upper right, lower right and lower
        left corner.
    :param height: Rows of the image.
    :param width: Columns of the image.
    """
    offset = corners.mean(axis=0)
    scale = np.abs(corners - offset).max(axis=0)
    design = np.column_stack((np.ones(4), (corners - offset) / scale))
    line, _, _, _ = np.linalg.lstsq(design, np.array([-1.0, -1.0, 1.0, 1.0]), rcond=None)
    sample, _, _, _ = np.linalg.lstsq(design, np.array([-1.0, 1.0, 1.0, -1.0]), rcond=None)
    rows = [
        f"LINE_OFF: {height / 2} pixels",
        f"SAMP_OFF: {width / 2} pixels",
        f"LAT_OFF: {offset[1]:.9f} degrees",
        f"LONG_OFF: {offset[0]:.9f} degrees",
        "HEIGHT_OFF: 0 meters",
        f"LINE_SCALE: {height / 2} pixels",
        f"SAMP_SCALE: {width / 2} pixels",
        f"LAT_SCALE: {scale[1]:.9f} degrees",
        f"LONG_SCALE: {scale[0]:.9f} degrees",
        "HEIGHT_SCALE: 500 meters",
    ]
    one = (1.0, 0.0, 0.0)
    for name, terms in (("LINE_NUM", line), ("LINE_DEN", one), ("SAMP_NUM", sample), ("SAMP_DEN", one)):
        values = [*terms, *([0.0] * 17)]
        rows += [f"{name}_COEFF_{index}: {value:.15e}" for index, value in enumerate(values, start=1)]
    return ("\n".join(rows) + "\n").encode()
