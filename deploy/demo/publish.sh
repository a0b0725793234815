#!/bin/sh
# Publishes a few simulated sensor readings per second until it is stopped.
set -eu
trap 'exit 0' TERM INT
number=0
while :; do
  for room in kitchen bedroom office; do
    number=$((number + 1))
    printf '{"number":%d,"room":"%s","value":%d.%d}' "$number" "$room" $((18 + number % 7)) $((number % 10)) |
      mosquitto_pub -h "$BROKER" ${BROKER_USERNAME:+-u "$BROKER_USERNAME" -P "$BROKER_PASSWORD"} \
        -q 1 -t "sensors/$room/temperature" -s || echo "The broker did not accept a message; continuing" >&2
  done
  sleep 1 &
  wait $!
done
