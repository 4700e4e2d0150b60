#!/bin/sh
# Print the ACL blocks of one more line: the example's, with its five plant levels and users renamed.
#   ./add-line.sh acme/hub7/sort/line04/vis01 >> /etc/mosquitto/acl.conf
set -eu
case "${1:-}" in
*[!a-z0-9_/-]* | "" | /* | */ | *//*) bad=1 ;;
*) bad=0 ;;
esac
levels=$(printf '%s' "${1:-}" | tr -cd / | wc -c)
if [ "$bad" = 1 ] || [ "$levels" -ne 4 ]; then
	echo "usage: $0 enterprise/site/area/line/cell   (levels of a-z 0-9 _ -, as in the configuration's line section)" >&2
	exit 2
fi
site=$(printf '%s' "$1" | cut -d/ -f2)
line=$(printf '%s' "$1" | cut -d/ -f4)
cell=$(printf '%s' "$1" | cut -d/ -f5)
printf '\n# --- %s / %s\n' "$line" "$cell"
sed -n '/^user /,$p' "$(dirname "$0")/acl.conf" |
	sed -e "s#acme/hub7/sort/line03/vis01#$1#" -e "s#\.line03\.vis01#.$line.$cell#" \
		-e "s#^\(topic [a-z]*\) spBv1.0/hub7/#\1 spBv1.0/$site/#" -e "s#/line03-vis01#/$line-$cell#"
