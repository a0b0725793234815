# Writes a backup of the pod's store to $BACKUP_FOLDER/$POD_NAME, at once if the newest is older than $EVERY_SECONDS, and then in that
# interval. Keeps the newest $KEEP. A backup that fails is logged and tried again after a minute.
set -eu
trap 'exit 0' TERM INT
folder=$BACKUP_FOLDER/$POD_NAME
mkdir -p "$folder"
rm -f "$folder"/.*.partial # of a backup that was killed
due() { [ -z "$(find "$folder" -maxdepth 1 -name '*.db' -newermt "-$EVERY_SECONDS seconds")" ]; }
while true; do
  if due && fmq backup "$folder/$(date -u +%Y%m%dT%H%M%SZ).db"; then
    find "$folder" -maxdepth 1 -name '*.db' | sort | head -n "-$KEEP" | xargs -r rm --
  fi
  [ -n "${ONCE:-}" ] && exit 0
  sleep 60 &
  wait $!
done
