#!/bin/sh
# OGC API - Processes 1.0 with curl 7.84 or later. jq isn't required.
# Usage: walk.sh [IMAGE]
set -eu
base=${SARLENS_URL:-http://localhost:8080}
image=${1:-s3://scenes/port.tif}

request() {
  curl --fail --silent --show-error "$@"
}

echo "Processes:"
request "$base/processes?f=json" | grep -o '"id":"[a-z]*"'

echo "Answer for one window:"
request "$base/processes/vqa/execution" -H 'content-type: application/json' -d '{
  "inputs": {"image": "'"$image"'", "window": [460, 300, 256, 256], "question": "How many ships are in the image?"}}'
echo

echo "Survey job:"
job=$(request --output /dev/null --write-out '%{redirect_url}%header{location}' \
  "$base/processes/survey/execution" -H 'content-type: application/json' -H 'prefer: respond-async' -d '{
  "inputs": {"image": "'"$image"'", "question": "How many ships are in the image?", "tile": 256}}')
echo "$job"
while state=$(request "$job?f=json" | sed 's/.*"status":"\([a-z]*\)".*/\1/'); do
  echo "$state"
  case $state in successful) break ;; failed | dismissed) exit 1 ;; esac
  sleep 1
done
answers=$(request "$job/results")
printf '%.600s …\n' "$answers"
