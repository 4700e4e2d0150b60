#!/usr/bin/env bash
# Removes what install.sh put there. Configuration and journals stay, unless --purge is given.
set -euo pipefail
shopt -s nullglob

PURGE=no
case ${1-} in
  '') ;;
  --purge) PURGE=yes ;;
  *) echo "usage: uninstall.sh [--purge]     --purge also removes configuration, journals and the account" >&2; exit 64 ;;
esac
[[ $(id -u) = 0 ]] || { echo "error: run it as root: sudo $0" >&2; exit 1; }

for path in /etc/edge-sorter/*/line.yaml; do
  line=$(basename "$(dirname "$path")")
  systemctl disable --quiet --now "edge-sorter@$line" 2>/dev/null || true
  systemctl stop "edge-sorter-retry@$line" 2>/dev/null || true
done
rm -rf /etc/systemd/system/edge-sorter@.service /etc/systemd/system/edge-sorter-retry@.service \
  /etc/systemd/system/edge-sorter@.service.d/10-jetson.conf /opt/edge-sorter /var/cache/edge-sorter
rmdir /etc/systemd/system/edge-sorter@.service.d 2>/dev/null || true
if [[ -L /usr/local/bin/edge-sorter ]]; then rm /usr/local/bin/edge-sorter; fi
systemctl daemon-reload
if [[ $PURGE = yes ]]; then
  rm -rf /etc/edge-sorter /var/lib/edge-sorter
  if id edge-sorter >/dev/null 2>&1; then userdel edge-sorter; fi
  echo "edge_sorter is gone, with its configuration and journals"
else
  echo "edge_sorter is gone; kept: /etc/edge-sorter (configuration), /var/lib/edge-sorter (journals)"
fi
