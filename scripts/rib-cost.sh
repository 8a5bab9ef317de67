#!/bin/sh
# What a route costs a shard in a cold load: instructions (callgrind) and peak memory.
# Fails when either is more than 5 % above crates/bgp-rib/benches/cost.toml, or when 16 shards take
# more than 1.4 times the instructions of one, or say more than 1.05 times the messages. The aim is
# 1.15 times; what is above it is handing out 16 times as many batches.
# `scripts/rib-cost.sh --update` writes new figures there.
set -eu

cd "$(dirname "$0")/.."
figures=crates/bgp-rib/benches/cost.toml
routes=50000
clients=10
shards=16
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v valgrind >/dev/null || {
    echo "rib-cost: valgrind is missing: apt-get install valgrind" >&2
    exit 2
}

bench=$(cargo bench -p bgp-rib --bench cold_load --no-run 2>&1 |
    sed -n 's/.*Executable .*(\(.*\)).*/\1/p')
[ -x "$bench" ] || {
    echo "rib-cost: the benchmark was not built" >&2
    exit 2
}

# Instructions of a load by that many shards, and the messages that one client gets of it.
count() {
    valgrind --tool=callgrind --toggle-collect='cold_load::measured*' \
        --callgrind-out-file="$work/callgrind" "$bench" "$routes" "$clients" "$1" \
        >"$work/out" 2>"$work/log"
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/log"
    sed -n 's/^routes .* messages \([0-9]*\).*/\1/p' "$work/out"
}
set -- "${1:-}" $(count 1) $(count "$shards")
instructions=$(($2 / routes))
apart=$(($4 * 100 / $2))
said=$(($5 * 100 / $3))
# More routes: what a process needs anyway must not count much.
peak=$("$bench" 400000 "$clients" | sed -n 's/^peak-octets-per-route \([0-9]*\).*/\1/p')

echo "instructions-per-route $instructions"
echo "peak-octets-per-route $peak"
echo "$shards shards: $apart % of the instructions, $said % of the messages"

if [ "$1" = --update ]; then
    cat >"$figures" <<TOML
# Written by scripts/rib-cost.sh --update: $routes routes (peak: 400000) to $clients clients.
instructions-per-route = $instructions
peak-octets-per-route = $peak
TOML
    exit 0
fi

status=0
check() {
    limit=$(sed -n "s/^$1 = \([0-9]*\)\$/\1/p" "$figures")
    if [ "$(($2 * 100))" -gt "$((limit * 105))" ]; then
        echo "rib-cost: $1 is $2, more than 5 % above $limit in $figures" >&2
        status=1
    fi
}
check instructions-per-route "$instructions"
check peak-octets-per-route "$peak"
if [ "$apart" -gt 140 ] || [ "$said" -gt 105 ]; then
    echo "rib-cost: $shards shards cost too much more than one" >&2
    status=1
fi
exit "$status"
