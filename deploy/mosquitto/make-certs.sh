#!/bin/sh
# Make a private certificate authority, the broker's certificate and one client certificate per user, with openssl.
# For trials and small plants; where the plant has its own PKI, use that and keep the common names.
#   ./make-certs.sh DIR BROKER_HOST USER...
#   ./make-certs.sh certs broker.hub7.local sorter.line03.vis01 gateway.line03.vis01 monitor
# BROKER_HOST may be several names or addresses, with commas between them.
# An existing authority in DIR is used again, an existing certificate is left alone.
set -eu
if [ $# -lt 3 ]; then
	sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
dir=$1 host=$2
shift 2
command -v openssl >/dev/null || { echo "openssl is needed: apt-get install openssl" >&2; exit 1; }
umask 077
mkdir -p "$dir"

if [ ! -f "$dir/ca.key" ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=edge_sorter CA" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
		-keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
fi

# $1 file name, $2 common name, $3 extensions
issue() {
	[ ! -f "$dir/$1.pem" ] || { echo "kept  $dir/$1.pem"; return; }
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
		-keyout "$dir/$1.key" -out "$dir/$1.csr" 2>/dev/null
	printf '%s\n' "$3" >"$dir/$1.ext"
	openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 825 \
		-extfile "$dir/$1.ext" -out "$dir/$1.part" 2>/dev/null
	mv "$dir/$1.part" "$dir/$1.pem" # whole, or not there
	rm "$dir/$1.csr" "$dir/$1.ext"
	chmod 644 "$dir/$1.pem"
	echo "made  $dir/$1.pem"
}

names=
for name in $(printf '%s' "$host" | tr , ' '); do
	case "$name" in
	*[!0-9.]*) names="$names,DNS:$name" ;;
	*) names="$names,IP:$name" ;;
	esac
done
issue broker "${host%%,*}" "extendedKeyUsage=serverAuth
subjectAltName=${names#,}"
for user in "$@"; do
	issue "$user" "$user" "extendedKeyUsage=clientAuth"
done
chmod 644 "$dir/ca.pem"
