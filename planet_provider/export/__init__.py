"""Search results as GeoJSON, newline-delimited GeoJSON and GeoParquet."""
