# Puts the backup $RESTORE, such as fmq-0/20261129T020000Z.db, into the place of the pod's store, once. Pods with other names do nothing.
# Once $RESTORE is empty again, the same backup can be restored another time.
set -eu
done_before=$DATA_FOLDER/.restored
if [ -z "$RESTORE" ]; then
  rm -f "$done_before"
  exit 0
fi
[ "${RESTORE%%/*}" = "$POD_NAME" ] || exit 0
if [ "$(cat "$done_before" 2>/dev/null)" = "$RESTORE" ]; then
  echo "$RESTORE was restored before"
  exit 0
fi
copy=$BACKUP_FOLDER/$RESTORE
[ -f "$copy" ] || { echo "The backup $RESTORE does not exist. These do:" >&2; ls "$BACKUP_FOLDER/$POD_NAME" >&2; exit 1; }
store=$DATA_FOLDER/mqtt_queue.db
cp "$copy" "$store.new"
if [ -e "$store" ]; then fmq set-aside --yes; fi
mv "$store.new" "$store"
sync
echo "$RESTORE" >"$done_before"
echo "$RESTORE is restored"
