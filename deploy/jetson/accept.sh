#!/bin/sh
# Accept a model on the device it will run on: builds the TensorRT engine where there is TensorRT (minutes, once), then
# compares it with the float model's boxes and times it. Exit code of `edge-sorter accept`: 0 accepted, 1 not as
# configured, 71 nothing computes rightly.
#
#   deploy/jetson/accept.sh CONFIG [--budget-ms MS] [--pictures DIR] [--labelled DIR --set NAME] [--json] ...
#   EDGE_SORTER=/path/to/edge-sorter EVIDENCE=/path/to/FILE.json deploy/jetson/accept.sh CONFIG
#
# What was found lands in acceptance.json in the current folder, or where EVIDENCE says.
set -eu

if [ $# -lt 1 ] || [ "$1" = "-h" ] || [ "$1" = "--help" ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
fi
config=$1
shift
program=${EDGE_SORTER:-}
if [ -z "$program" ]; then
    for candidate in /opt/edge-sorter/current/bin/edge-sorter "$(command -v edge-sorter || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            program=$candidate
            break
        fi
    done
fi
if [ -z "$program" ]; then
    echo "accept.sh: edge-sorter is not installed; run install.sh, or name it with EDGE_SORTER=/path/to/edge-sorter" >&2
    exit 127
fi
if [ -r /etc/nv_tegra_release ]; then
    head -n 1 /etc/nv_tegra_release >&2
    # Clocks that follow the load make the first pictures slow and the figures worthless.
    if command -v nvpmodel >/dev/null 2>&1; then nvpmodel -q 2>/dev/null | head -n 2 >&2 || true; fi
fi
exec "$program" accept -c "$config" --out "${EVIDENCE:-acceptance.json}" "$@"
