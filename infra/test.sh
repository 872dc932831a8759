#!/bin/bash
# Every test: the fast ones, then those with a whole stack, with a container engine, and last those that kill things.
# As root it installs and starts what is missing. The last line is the sum of all runs. Arguments go to each pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0 status=0
scratch=$(mktemp -d)
engine=

finish() {
    if [ -n "$engine" ]; then kill "$engine"; wait "$engine"; fi
    rm -rf "$scratch"
} 2>/dev/null
trap finish EXIT

install() { # the packages of which a program is missing: program=package ...
    local missing=() each
    for each in "$@"; do command -v "${each%=*}" >/dev/null || missing+=("${each#*=}"); done
    [ ${#missing[@]} = 0 ] && return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "installing ${missing[*]}"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } \
        >"$scratch/apt.log" 2>&1 </dev/null || { tail -n 5 "$scratch/apt.log"; return 1; }
}

engine_answers() { timeout 10 docker version >/dev/null 2>&1; }

start_engine() { # 0 if a container engine answers, or can be made to
    engine_answers && return 0
    [ "$(id -u)" = 0 ] || { echo "no container engine, and only root can start one"; return 1; }
    install dockerd=docker.io docker=docker.io iptables=iptables || { echo "no container engine can be installed"; return 1; }
    setsid dockerd >"$scratch/dockerd.log" 2>&1 </dev/null &
    engine=$!
    for _ in $(seq 60); do
        engine_answers && return 0
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.5
    done
    echo "dockerd does not start:"
    tail -n 5 "$scratch/dockerd.log"
    return 1
}

azurite() { # 0 if Azurite is there, or can be installed from npm: 370 MB, once
    export LONGSHORE_AZURITE=${LONGSHORE_AZURITE:-${XDG_CACHE_HOME:-$HOME/.cache}/longshore/azurite}
    [ -e "$LONGSHORE_AZURITE/done" ] && return 0
    install npm=npm node=nodejs || { echo "npm is missing"; return 1; }
    mkdir -p "$LONGSHORE_AZURITE" && echo "installing Azurite into $LONGSHORE_AZURITE"
    timeout 300 npm install --prefix "$LONGSHORE_AZURITE" --no-audit --no-fund --no-package-lock azurite@3 \
        >"$scratch/npm.log" 2>&1 </dev/null || { tail -n 5 "$scratch/npm.log"; return 1; }
    touch "$LONGSHORE_AZURITE/done"
}

registry() { # 0 if there is a registry's program; unpacked, not installed, since the package would start a service
    command -v docker-registry >/dev/null && return 0
    [ "$(id -u)" = 0 ] && command -v apt-get dpkg >/dev/null || return 1
    (cd "$scratch" && apt-get download -q docker-registry && dpkg -x docker-registry_*.deb registry) >>"$scratch/apt.log" 2>&1 </dev/null || return 1
    export PATH="$PATH:$scratch/registry/usr/bin"
}

count() { grep -oE "[0-9]+ $1" <<<"$2" | grep -oE '[0-9]+' | head -n 1 || true; }

run() { # name, seconds, marker expression, arguments
    local name=$1 seconds=$2 which=$3 code closing
    shift 3
    echo "== $name"
    timeout -s INT -k 60 "$seconds" .venv/bin/python -m pytest -m "$which" --durations=5 "$@" </dev/null 2>&1 | tee "$scratch/out"
    code=${PIPESTATUS[0]}
    closing=$(tail -n 3 "$scratch/out" | grep -E '(passed|failed|error|deselected|no tests ran).* in ' | tail -n 1)
    local n_passed n_failed n_errors
    n_passed=$(count passed "$closing") n_failed=$(count failed "$closing") n_errors=$(count 'errors?' "$closing")
    passed=$((passed + ${n_passed:-0})) failed=$((failed + ${n_failed:-0} + ${n_errors:-0}))
    case $code in
        0 | 5) ;; # 5: none of this kind
        124 | 137) echo "$name: not done in $seconds s, stopped"; failed=$((failed + 1)) status=1 ;;
        *) [ $((${n_failed:-0} + ${n_errors:-0})) -gt 0 ] || failed=$((failed + 1)); status=1 ;;
    esac
}

install busybox=busybox-static setpriv=util-linux || echo "busybox is missing: tests that make an image of it cannot run"
install cc=gcc || echo "cc is missing: the tests of GPUs and of clocks that are set, which make a library, cannot run"
install mkfs.btrfs=btrfs-progs || echo "btrfs-progs is missing: clones of resources are not tried"
# Most of these wait more than they compute, and none counts on being alone. What shares a stack stays together.
run "fast" 1500 "not slow and not chaos and not engine and not azurite and not programs and not browser" -n 3 --dist worksteal "$@"
run "whole stack" 1200 "slow and not chaos and not engine and not programs" -n 3 --dist loadfile "$@"
run "programs that drive us" 1800 "programs and not chaos" "$@"
if install chromium=chromium; then
    run "browser" 420 "browser" "$@"
else
    echo "== browser: NOT RUN, there is no Chromium here"
fi
if azurite; then
    run "counterparts" 240 "azurite" "$@"
else
    echo "== counterparts: NOT RUN, there is no Azurite here"
fi
if start_engine; then
    install mmdebstrap=mmdebstrap || echo "mmdebstrap is missing: the compose test cannot make its base images"
    install podman=podman runc=runc conmon=conmon || echo "== Podman: NOT RUN, it cannot be installed here"
    registry || echo "== registry: NOT RUN, there is no docker-registry here"
    run "container engine" 1200 "engine and not chaos" "$@"
    run "chaos" 900 "chaos" "$@"
else
    echo "== container engine: NOT RUN, there is none here"
    run "chaos" 900 "chaos and not engine" "$@"
fi
[ $((passed + failed)) -gt 0 ] || { echo "no test was run"; status=1; }
echo "$passed passed, $failed failed"
exit "$status"
