#!/usr/bin/env bash
# Makes this checkout ready to run: virtual environment, system packages, a Docker engine.
#
#   .ci/setup.sh            everything (what `make test` and `make demo` call)
#   .ci/setup.sh python     the virtual environment only (enough for `make lint`)
#
# Doing it again costs well under a second. Nothing is installed or started without saying so, and an
# engine that already answers is left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin # not everybody's has them

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}
quietly() { # command... : its output is shown only when it fails
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ $status = 0 ] || cat "$log" >&2
    rm -f "$log"
    return $status
}
is_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# --- system packages -------------------------------------------------------------------------------

apt_is_fresh=
install_packages() { # package...
    is_debian_root || fail "missing: $*." \
        "Install them (Debian and Ubuntu: sudo apt-get install $*), or run this as root."
    say "installing $* (apt-get)"
    if [ -z "$apt_is_fresh" ]; then
        apt_run update
        apt_is_fresh=1
    fi
    apt_run install -y --no-install-recommends "$@"
}

apt_run() {
    DEBIAN_FRONTEND=noninteractive quietly apt-get -q "$@" || fail "apt-get $1 failed (output above)."
}

# What the tests and the demo run, as command:package. The multi-host testbed works as root only.
ensure_tools() {
    local missing=() tool tools=(curl:curl busybox:busybox-static docker-registry:docker-registry)
    if [ "$(id -u)" = 0 ]; then
        tools+=(ip:iproute2 iptables:iptables nft:nftables nsenter:util-linux)
    fi
    for tool in "${tools[@]}"; do
        command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
    done
    # A busybox that needs shared libraries cannot be the only file of an image.
    if command -v busybox >/dev/null && grep -qa /ld-linux "$(command -v busybox)"; then
        missing+=(busybox-static)
    fi
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# --- Python ----------------------------------------------------------------------------------------

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

ensure_python() {
    local python stamp wanted
    python=$(find_python) || {
        install_packages python3 python3-venv
        python=$(find_python) || fail "Python 3.11 or newer is needed; set PYTHON=/path/to/it."
    }
    # The stamp names everything the environment depends on: this folder (scripts hold its path),
    # the interpreter, and what is to be installed.
    stamp=.venv/.longshore-stamp
    wanted="$PWD $("$python" -VV | tr '\n' ' ') $(sha256sum pyproject.toml)"
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    if ! .venv/bin/python -c "import sys; sys.exit(sys.prefix != '$PWD/.venv')" 2>/dev/null ||
        [ "$(.venv/bin/python -VV)" != "$("$python" -VV)" ]; then
        say "creating .venv with $python ($("$python" -V))"
        rm -rf .venv
        if ! "$python" -m venv .venv >/dev/null 2>&1; then # Debian keeps ensurepip in a package
            install_packages python3-venv
            rm -rf .venv
            "$python" -m venv .venv || fail "$python cannot make a virtual environment."
        fi
    fi
    say "installing Longshore and its tools into .venv (pip)"
    quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' ||
        fail "pip could not install the dependencies (output above)."
    printf '%s\n' "$wanted" >"$stamp"
}

# --- Docker ----------------------------------------------------------------------------------------

DOCKERD_LOG=/var/log/longshore-dockerd.log

engine_answers() {
    case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix://*) curl -fs -m 3 --unix-socket "${DOCKER_HOST#unix://}" http://docker/_ping ;;
    tcp://*) curl -fs -m 3 "http://${DOCKER_HOST#tcp://}/_ping" ;;
    *) docker version ;;
    esac >/dev/null 2>&1
}

ensure_engine() {
    DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
    engine_answers && return
    [ "$DOCKER_HOST" = unix:///var/run/docker.sock ] ||
        fail "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST." "Start it, or unset DOCKER_HOST."
    [ ! -S /var/run/docker.sock ] || [ -w /var/run/docker.sock ] ||
        fail "you may not use the Docker engine at /var/run/docker.sock." \
            "Join its group (sudo usermod -aG docker $(id -un)), log in again, and repeat."
    [ "$(id -u)" = 0 ] || fail "no Docker engine answers at /var/run/docker.sock." \
        "Install and start one (Debian and Ubuntu: sudo apt-get install docker.io), or run this as root."
    command -v dockerd >/dev/null || install_packages docker.io
    start_engine
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        say "starting the Docker engine (systemctl start docker)"
        systemctl start docker || fail "docker.service does not start: see journalctl -u docker."
    else # Nothing here starts services. All of its descriptors point elsewhere, so nobody waits for it.
        say "starting the Docker engine (dockerd, log in $DOCKERD_LOG)"
        setsid dockerd >"$DOCKERD_LOG" 2>&1 </dev/null &
        disown
    fi
    for _ in $(seq 150); do # 30 s
        engine_answers && return
        sleep 0.2
    done
    tail -n 20 "$DOCKERD_LOG" >&2 2>/dev/null || true
    fail "the Docker engine did not come up in 30 s."
}

# ---------------------------------------------------------------------------------------------------

case ${1:-all} in
python) ensure_python ;;
all)
    ensure_tools
    ensure_python
    ensure_engine
    ;;
*) fail "unknown: $1 (there are: python, all)" ;;
esac
