#!/bin/sh
# All answers of a gateway as a GeoPackage, by GDAL's driver for OGC API Features.
set -eu
ogr2ogr -f GPKG "${1:-answers.gpkg}" "OAPIF:${SARLENS_URL:-http://localhost:8080}" answers
