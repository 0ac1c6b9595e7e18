#!/bin/bash
# Makes the virtual environment $1 with exactly what requirements.lock names, and the project itself.
# On a Debian without Python's venv module, and as root, it installs that first.
set -euo pipefail
venv=$1
python=$(command -v python3 || true)
if [ -z "$python" ] || ! "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  line="apt-get install -y --no-install-recommends python3 python3-venv git"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Python 3.11 with venv is missing: $line"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive $line >/dev/null
    python=/usr/bin/python3
  else
    echo "Python 3.11 or newer with its venv module is needed. On Debian, as root: $line" >&2
    exit 1
  fi
fi
# git, and the two programs that check signatures on commits: the tests sign with them.
missing=""
command -v git >/dev/null || missing+=" git ca-certificates"
command -v ssh-keygen >/dev/null || missing+=" openssh-client"
command -v gpg >/dev/null || missing+=" gnupg"
if [ -n "$missing" ]; then
  line="apt-get install -y --no-install-recommends$missing"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Debian packages are missing: $line"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive $line >/dev/null
  else
    echo "These Debian packages are needed:$missing. As root: $line" >&2
    exit 1
  fi
fi
echo "Python packages into $venv (about a minute)"
# Without pip it is what an interrupted first call has left.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
