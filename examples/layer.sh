#!/bin/sh
# Write answers to a GeoPackage with ogr2ogr.
# Usage: layer.sh [FILE [JOB]]. Without JOB, the layer holds the answers of all jobs, through the GDAL driver for
# OGC API - Features.
set -eu
base=${SARLENS_URL:-http://localhost:8080}
file=${1:-answers.gpkg}
if [ $# -ge 2 ]; then
  ogr2ogr -f GPKG "$file" "$base/jobs/$2/results/answers" -nln answers
else
  ogr2ogr -f GPKG "$file" "OAPIF:$base" answers
fi
