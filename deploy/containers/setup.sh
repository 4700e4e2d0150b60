#!/bin/sh
# Prepare compose.yaml, once: secrets/ (certificates, page token, Grafana's password) and line/ (the configuration).
# What is there already is left alone. As root, because each container's account gets its own keys and no others.
#   sudo ./setup.sh [BROKER_NAME]      the name or address by which the PLC gateway reaches this machine
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
[ "$(id -u)" = 0 ] || { echo "run it as root: sudo ./setup.sh" >&2; exit 1; }
# Sorter and broker talk by the service's name; the certificate carries that of the machine beside it.
outside=${1:-$(hostname -f)}
cell=line03.vis01
umask 077
mkdir -p secrets/ca secrets/sorter secrets/broker/certs secrets/prometheus secrets/grafana secrets/gateway line
../mosquitto/make-certs.sh secrets/ca "broker,$outside" "sorter.$cell" "gateway.$cell" monitor

# $1 account, $2 from, $3 to
hand() { install -m 400 -o "$1" -g "$1" "$2" "$3"; }
[ -f secrets/page.token ] || openssl rand -base64 18 >secrets/page.token
[ -f secrets/grafana.password ] || openssl rand -base64 18 | tr -d '\n' >secrets/grafana.password
for name in ca.pem "sorter.$cell.pem" "sorter.$cell.key"; do hand 10001 "secrets/ca/$name" "secrets/sorter/$name"; done
hand 10001 secrets/page.token secrets/sorter/page.token
for name in ca.pem broker.pem broker.key; do hand 1883 "secrets/ca/$name" "secrets/broker/certs/$name"; done
hand 1883 ../mosquitto/acl.conf secrets/broker/acl.conf
hand 65534 secrets/page.token secrets/prometheus/page.token
hand 472 secrets/grafana.password secrets/grafana/admin.password
for name in ca.pem "gateway.$cell.pem" "gateway.$cell.key"; do cp "secrets/ca/$name" secrets/gateway/; done
chown 10001 secrets/sorter
chown -R 1883 secrets/broker
chown 65534 secrets/prometheus
chown 472 secrets/grafana

[ -f line/line.yaml ] || cp starter/line.yaml line/line.yaml
[ -f line/plan.yaml ] || cp ../jetson/starter/plan.yaml line/plan.yaml
chmod 755 line
chmod 644 line/*.yaml
cat <<TEXT
ready. Next:
  edit line/line.yaml (camera, decision line) and line/plan.yaml
  docker compose run --rm sorter check -c /etc/edge-sorter/line.yaml
  docker compose up -d
page     http://127.0.0.1:9464/  token: secrets/page.token
Grafana  http://127.0.0.1:3000/  admin, password: secrets/grafana.password
gateway  $outside:8883 with the certificates in secrets/gateway
Keep secrets/ca/ca.key somewhere else.
TEXT
