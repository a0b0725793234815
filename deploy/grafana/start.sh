#!/bin/sh
# Starts Grafana with a password for its user admin: ADMIN_PASSWORD, else a random one that is kept in the volume.
# Grafana reads it when it creates its database, so a later change has no effect.
set -eu
umask 077
file="${DATA:-/var/lib/grafana}/admin-password"
if [ -n "${ADMIN_PASSWORD:-}" ]; then
  printf '%s' "$ADMIN_PASSWORD" > "$file"
elif [ ! -s "$file" ]; then
  head -c 18 /dev/urandom | base64 | tr -d '\n' > "$file"
fi
unset ADMIN_PASSWORD
GF_SECURITY_ADMIN_PASSWORD__FILE="$file"
export GF_SECURITY_ADMIN_PASSWORD__FILE
exec "${RUN:-/run.sh}"
