#!/bin/sh
# Send three requests with an API key that allows two per minute, and print each status and Retry-After header.
# Starts a second gateway on port 8085, or $PORT, with the first gateway as its worker, and stops it at the end.
set -eu
base=${SARLENS_URL:-http://localhost:8080}
port=${PORT:-8085}
folder=$(mktemp -d)

sarlens key trial --requests-per-minute 2 >"$folder/trial.json" 2>"$folder/trial.key"
printf '[%s]' "$(cat "$folder/trial.json")" >"$folder/keys.json"
key=$(grep -o 'sar-[A-Za-z0-9_-]*' "$folder/trial.key")

env -u SARLENS_URL SARLENS_KEYS__FILE="$folder/keys.json" SARLENS_GRPC__PORT=none \
  SARLENS_SURVEY__DATABASE="sqlite:///$folder/jobs.db" \
  sarlens serve --worker "$base" --port "$port" 2>"$folder/log" &
gateway=$!
trap 'kill "$gateway"; wait "$gateway" || true; rm -r "$folder"' EXIT
curl --fail --silent --output /dev/null --retry 60 --retry-connrefused --retry-delay 1 "http://localhost:$port/health"

for _ in 1 2 3; do
  curl --silent --output /dev/null --write-out 'status %{http_code} retry-after %header{retry-after}\n' \
    "http://localhost:$port/v1/chat/completions" -H "Authorization: Bearer $key" \
    -H 'content-type: application/json' -d '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}'
done | sed 's/ retry-after $//'
