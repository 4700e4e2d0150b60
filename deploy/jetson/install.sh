#!/usr/bin/env bash
# Installs edge_sorter as a service, or upgrades it; run again whenever you like. Start here: docs/install.md
set -euo pipefail
shopt -s nullglob

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE=$(cd "$HERE/../.." && pwd)
OPT=/opt/edge-sorter
ETC=/etc/edge-sorter
UNITS=/etc/systemd/system
ACCOUNT=edge-sorter
KEPT_RELEASES=2
READY_TIMEOUT_S=1260   # a little more than TimeoutStartSec: a new TensorRT engine takes minutes

usage() {
  cat <<'HELP'
usage: install.sh [--line NAME]... [--wheelhouse DIR] [--tensorrt | --no-tensorrt]
       install.sh wheelhouse DIR [--tensorrt]

Installs this copy of edge_sorter below /opt/edge-sorter and makes NAME (default line01) a service,
edge-sorter@NAME, configured in /etc/edge-sorter/NAME/. What is configured there is never touched.
Where another version is installed it is an upgrade: running lines are restarted one after the other,
and when one does not become ready, the version before is put back.

  --line NAME       a line to set up: letters, digits, - and _; may be given more than once
  --wheelhouse DIR  install from the packages in DIR; needs no network
  --tensorrt        also install NVIDIA's TensorRT from PyPI (default where nvidia-smi works; never on a Jetson,
                    which has its own)

  wheelhouse DIR    on a machine with network and of the same kind: collect those packages into DIR
HELP
}

say() { printf '\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# --- what this machine is -------------------------------------------------------------------------------------------

on_jetson() { [[ -e /etc/nv_tegra_release ]]; }

find_python() {
  # The system's own first: on a Jetson only that one sees JetPack's TensorRT and OpenCV.
  local name
  for name in python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
      command -v "$name"
      return
    fi
  done
  fail "Python 3.10 or newer is needed, here is $(python3 --version 2>&1 || echo none)." \
    "JetPack 5 has 3.8: install python3.10 beside it (it runs without JetPack's TensorRT), or move to JetPack 6."
}

system_has() { "$PYTHON" -I -c "import $1" 2>/dev/null; }

# --- packages -------------------------------------------------------------------------------------------------------

requirements() {
  # JetPack's OpenCV has GStreamer, pip's has not; it was built against numpy 1.
  if on_jetson && system_has cv2; then
    grep -v '^opencv-python' "$SOURCE/requirements.txt"
    echo 'numpy<2'
  else
    cat "$SOURCE/requirements.txt"
  fi
  if [[ $TENSORRT = yes ]]; then echo 'tensorrt>=8.6'; fi
}

# A copy, so that building leaves nothing behind in the source.
copy_of_source() {
  local to=$1
  mkdir -p "$to"
  cp -a "$SOURCE/edge_sorter" "$SOURCE/pyproject.toml" "$SOURCE/requirements.txt" "$SOURCE/README.md" "$to/"
  find "$to" -name __pycache__ -prune -exec rm -rf {} +
}

make_wheelhouse() {
  local to=$1 work
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # now is when its value is right
  trap "rm -rf '$work'" EXIT
  mkdir -p "$to"
  requirements >"$work/requirements.txt"
  "$PYTHON" -m venv "$work/venv" || fail "no virtual environments here; apt-get install python3-venv"
  say "Collecting packages into $to"
  "$work/venv/bin/pip" wheel --quiet --disable-pip-version-check --wheel-dir "$to" -r "$work/requirements.txt" setuptools
  say "$(find "$to" -name '*.whl' | wc -l) packages, $(du -sh "$to" | cut -f1). Install from them with:" \
    "install.sh --wheelhouse $to"
}

release_name() {
  local version digest
  version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$SOURCE/edge_sorter/__init__.py")
  digest=$(cd "$SOURCE" && find edge_sorter weights configs calibration deploy requirements.txt pyproject.toml -type f \
    ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-8)
  echo "$version-$digest"
}

make_venv() {
  local venv=$1 flags=()
  if on_jetson; then flags+=(--system-site-packages); fi
  if ! "$PYTHON" -m venv "${flags[@]}" "$venv" 2>/dev/null; then
    rm -rf "$venv"
    if [[ -n $WHEELHOUSE ]] || ! command -v apt-get >/dev/null; then
      fail "no virtual environments here; install python3-venv"
    fi
    say "Installing python3-venv"
    apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null
    "$PYTHON" -m venv "${flags[@]}" "$venv"
  fi
}

# Everything is put into a folder of its own; nothing that runs is touched before it is complete.
make_release() {
  local release=$1 pip work
  if [[ -e $release/.complete ]]; then
    say "$(basename "$release") is installed already"
    return
  fi
  say "Installing $(basename "$release") with $("$PYTHON" --version)"
  rm -rf "$release"
  mkdir -p "$release/share"
  make_venv "$release"
  pip=("$release/bin/python" -m pip --quiet --disable-pip-version-check install)
  if [[ -n $WHEELHOUSE ]]; then pip+=(--no-index --find-links "$WHEELHOUSE"); fi
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # now is when its value is right
  trap "rm -rf '$work'" RETURN
  requirements >"$work/requirements.txt"
  "${pip[@]}" -r "$work/requirements.txt"
  copy_of_source "$work/source"
  "${pip[@]}" --no-deps "$work/source"
  cp -a "$SOURCE/weights" "$SOURCE/configs" "$SOURCE/calibration" "$SOURCE/docs" "$release/share/"
  cp -a "$SOURCE/deploy" "$release/share/"
  chmod -R u=rwX,go=rX "$release"
  "$release/bin/edge-sorter" --version >/dev/null || fail "what was installed does not start; nothing was changed"
  touch "$release/.complete"
}

# --- the system around it ---------------------------------------------------------------------------------------------

make_account() {
  if ! id "$ACCOUNT" >/dev/null 2>&1; then
    useradd --system --user-group --no-create-home --home-dir /var/lib/edge-sorter --shell /usr/sbin/nologin "$ACCOUNT"
  fi
  local group
  for group in video render; do
    if getent group "$group" >/dev/null; then usermod -aG "$group" "$ACCOUNT"; fi
  done
}

install_units() {
  install -m 644 "$HERE/edge-sorter@.service" "$HERE/edge-sorter-retry@.service" "$UNITS/"
  if on_jetson; then install -D -m 644 -t "$UNITS/edge-sorter@.service.d" "$HERE/10-jetson.conf"; fi
  systemctl daemon-reload
  ln -sfn "$OPT/current/bin/edge-sorter" /usr/local/bin/edge-sorter
}

# The group may write: that is what lets the page save a commissioning. Others may not even read: passwords.
configure_line() {
  local line=$1 folder=$ETC/$1
  install -d -m 755 "$ETC"
  if [[ -e $folder/line.yaml ]]; then return; fi
  install -d -m 2770 -o root -g "$ACCOUNT" "$folder"
  install -m 660 -g "$ACCOUNT" "$HERE/starter/plan.yaml" "$folder/plan.yaml"
  sed "s/\bline01\b/$line/; s#/LINE/#/$line/#g; s/@LINE\b/@$line/g" "$HERE/starter/line.yaml" >"$folder/.line.yaml"
  chown root:"$ACCOUNT" "$folder/.line.yaml"
  chmod 660 "$folder/.line.yaml"
  mv "$folder/.line.yaml" "$folder/line.yaml"
  UNCONFIGURED+=("$line")
}

configured_lines() {
  local path
  for path in "$ETC"/*/line.yaml; do basename "$(dirname "$path")"; done
}

running_lines() {
  local line
  for line in $(configured_lines); do
    if systemctl is-active --quiet "edge-sorter@$line"; then echo "$line"; fi
  done
}

# --- switching ----------------------------------------------------------------------------------------------------------

point_current_at() {
  ln -sfn "$1" "$OPT/.current.new"
  mv -T "$OPT/.current.new" "$OPT/current"   # a rename: there is always one or the other
}

# `systemctl restart` returns when the line said READY, which it does with camera, model, plan and broker.
becomes_ready() {
  systemctl reset-failed "edge-sorter@$1" 2>/dev/null || true
  timeout "$READY_TIMEOUT_S" systemctl restart "edge-sorter@$1" && systemctl is-active --quiet "edge-sorter@$1"
}

configurations_suit() {
  local release=$1 line
  for line in $(configured_lines); do
    if systemctl is-enabled --quiet "edge-sorter@$line" 2>/dev/null \
      && ! "$release/bin/edge-sorter" check -c "$ETC/$line/line.yaml"; then
      fail "the new version does not accept /etc/edge-sorter/$line/line.yaml (above); nothing was changed"
    fi
  done
}

switch_to() {
  local release=$1 before=$2 line lines
  lines=$(running_lines)
  sync -f "$OPT"
  point_current_at "$release"
  for line in $lines; do
    say "Restarting line $line"
    if ! becomes_ready "$line"; then
      journalctl --no-pager -n 15 -u "edge-sorter@$line" >&2 || true
      roll_back "$before" "$line" "$lines"
    fi
  done
}

roll_back() {
  local before=$1 culprit=$2 lines=$3 line stuck=()
  [[ -n $before ]] || fail "line $culprit does not become ready, and there is no version before to go back to"
  say "Line $culprit does not become ready with the new version; going back to $(basename "$before")"
  point_current_at "$before"
  install -m 644 "$before"/share/deploy/jetson/edge-sorter{@,-retry@}.service "$UNITS/"
  systemctl daemon-reload
  for line in $lines; do becomes_ready "$line" || stuck+=("$line"); done
  [[ ${#stuck[@]} = 0 ]] || fail "went back, but these lines do not become ready either: ${stuck[*]}"
  fail "the upgrade was undone; all lines run $(basename "$before") again"
}

remove_old_releases() {
  local current release count=0
  current=$(readlink -f "$OPT/current")
  while read -r release; do
    if [[ $release = "$current" ]]; then continue; fi
    count=$((count + 1))
    if ((count >= KEPT_RELEASES)); then rm -rf "$release"; fi
  done < <(find "$OPT/releases" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2-)
}

# --- all of it ----------------------------------------------------------------------------------------------------------

tell_what_next() {
  local line
  for line in "${UNCONFIGURED[@]}"; do
    say "Line $line is set up. Now:"
    echo "  1. edit  $ETC/$line/line.yaml and plan.yaml (camera, broker, lanes)"
    echo "  2. edge-sorter check  -c $ETC/$line/line.yaml"
    echo "  3. edge-sorter doctor -c $ETC/$line/line.yaml"
    echo "  4. systemctl enable --now edge-sorter@$line"
  done
}

main() {
  local lines=() command=install wheelhouse_to=
  WHEELHOUSE='' TENSORRT=auto UNCONFIGURED=()
  while [[ $# -gt 0 ]]; do
    case $1 in
      wheelhouse) command=wheelhouse; wheelhouse_to=${2:?"name a folder for the packages"}; shift ;;
      --line) lines+=("${2:?"--line needs a name"}"); shift ;;
      --wheelhouse) WHEELHOUSE=$(realpath "${2:?"--wheelhouse needs a folder"}"); shift ;;
      --tensorrt) TENSORRT=yes ;;
      --no-tensorrt) TENSORRT=no ;;
      -h | --help) usage; exit 0 ;;
      *) usage >&2; exit 64 ;;
    esac
    shift
  done
  local line
  for line in "${lines[@]}"; do
    [[ $line =~ ^[a-z0-9_-]{1,32}$ ]] || fail "--line $line: 1 to 32 of a-z, 0-9, - and _"
  done
  PYTHON=$(find_python)
  if on_jetson; then
    TENSORRT=no
    system_has tensorrt || say "note: $PYTHON does not see JetPack's TensorRT (apt-get install python3-libnvinfer);" \
      "the CPU will do the work, at a few frames a second"
  elif [[ $TENSORRT = auto ]]; then
    if nvidia-smi >/dev/null 2>&1; then TENSORRT=yes; else TENSORRT=no; fi
  fi
  if [[ $command = wheelhouse ]]; then
    make_wheelhouse "$wheelhouse_to"
    return
  fi
  [[ $(id -u) = 0 ]] || fail "run it as root: sudo $0"
  [[ -d /run/systemd/system ]] || fail "systemd is not running here; it is what keeps a line alive"
  [[ -z $WHEELHOUSE || -d $WHEELHOUSE ]] || fail "--wheelhouse $WHEELHOUSE: no such folder"
  if [[ ${#lines[@]} = 0 && -z $(configured_lines) ]]; then lines=(line01); fi
  exec 9>/run/lock/edge-sorter-install
  flock -n 9 || fail "another installation is running"

  local before='' release
  if [[ -L $OPT/current ]]; then before=$(readlink -f "$OPT/current"); fi
  release=$OPT/releases/$(release_name)
  make_account
  make_release "$release"
  configurations_suit "$release"
  for line in "${lines[@]}"; do configure_line "$line"; done
  install_units
  if [[ $release != "$before" ]]; then switch_to "$release" "$before"; fi
  remove_old_releases
  say "edge_sorter $(basename "$release") is installed"
  tell_what_next
}

if [[ ${BASH_SOURCE[0]} = "$0" ]]; then main "$@"; fi
