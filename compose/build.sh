#!/usr/bin/env bash
# Builds the image longshore:latest from this checkout.
#
#   compose/build.sh                        on python:<the version of .venv>-slim
#   BASE=my/debian:1 compose/build.sh       on any image with the same python3 and its venv module
#   BASE=debootstrap compose/build.sh       on a Debian base that is made here (as root), where no
#                                           registry is reachable
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.ci/setup.sh

minor=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
rm -rf build/wheels build/lib build/bdist.*
.venv/bin/pip wheel --quiet --wheel-dir build/wheels .

BASE=${BASE:-python:$minor-slim}
if [ "$BASE" = debootstrap ]; then
    BASE=longshore/debian:python
    if [ -z "$(docker images -q "$BASE")" ]; then
        command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap
        root=$(mktemp -d)
        trap 'rm -rf "$root"' EXIT
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
            "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root"
        tar -C "$root" -c . | docker import - "$BASE"
    fi
fi
tar -c compose/Dockerfile build/wheels | # only what the image needs, not the whole checkout
    docker build --file compose/Dockerfile --build-arg "BASE=$BASE" --tag longshore:latest -
