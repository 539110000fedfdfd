#!/bin/sh
# OGC API Processes 1.0 by curl; jq is not needed.
set -eu
base=${SARLENS_URL:-http://localhost:8080}
image=${1:-s3://scenes/port.tif}

echo "What can be asked:"
curl --fail --silent --show-error "$base/processes?f=json" | grep -o '"id":"[a-z]*"'

echo "A question about one window:"
curl --fail --silent --show-error "$base/processes/vqa/execution" -H 'content-type: application/json' -d '{
  "inputs": {"image": "'"$image"'", "window": [0, 0, 512, 512], "question": "How many ships are in the image?"}}'
echo

echo "A survey as a job:"
job=$(curl --fail --silent --show-error --output /dev/null --write-out '%{redirect_url}%header{location}' \
  "$base/processes/survey/execution" -H 'content-type: application/json' -H 'prefer: respond-async' -d '{
  "inputs": {"image": "'"$image"'", "question": "How many ships are in the image?", "tile": 256}}')
echo "$job"
while state=$(curl --fail --silent --show-error "$job?f=json" | sed 's/.*"status":"\([a-z]*\)".*/\1/'); do
  echo "$state"
  case $state in successful) break ;; failed | dismissed) exit 1 ;; esac
  sleep 1
done
curl --fail --silent --show-error "$job/results" | head -c 600
echo " …"
