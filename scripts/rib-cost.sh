#!/bin/bash
# What a route costs: instructions (callgrind) of each part of its way by itself and of a shard as a
# whole, peak memory, and what 16 shards cost against one. Prints a table, and fails when a figure is more
# than 3 % (memory: 5 %) above crates/bgp-rib/benches/cost.toml, or when 16 shards say more than
# 1.05 times the messages of one.
# `scripts/rib-cost.sh --update` writes the figures of now there, to be committed with the reason.
set -euo pipefail

cd "$(dirname "$0")/.."
figures=crates/bgp-rib/benches/cost.toml
routes=50000
many=400000
clients=10
shards=16
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v valgrind >/dev/null || {
  echo "rib-cost: valgrind is missing: apt-get install valgrind" >&2
  exit 2
}

cargo bench -p bgp-wire -p bgp-rib --bench codec --bench cold_load --no-run >"$work/build" 2>&1 || {
  cat "$work/build" >&2
  exit 2
}
built() { sed -n "s/.*Executable benches.$1\.rs (\(.*\))/\1/p" "$work/build"; }
codec=$(built codec)
load=$(built cold_load)

# instructions FUNCTION PER PROGRAM ARGUMENT..: how many are executed inside of a function, by PER.
# The output of the program stays in $work/out.
instructions() {
  local function=$1 per=$2 count
  shift 2
  valgrind --tool=callgrind --toggle-collect="$function" --callgrind-out-file="$work/callgrind" \
    "$@" >"$work/out" 2>"$work/log"
  count=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/log")
  [ "${count:-0}" -gt 0 ] || {
    echo "rib-cost: $function is no function of its own in $1: renamed, or inlined?" >&2
    return 2
  }
  echo $((count / per))
}
messages() { sed -n 's/^routes .* messages \([0-9]*\).*/\1/p' "$work/out"; }

names=()
declare -A is about
figure() {
  names+=("$1")
  is[$1]=$2
  about[$1]=$3
}

n=$(instructions codec::decoded $routes "$codec" decode $routes)
figure decode-instructions-per-route "$n" "an UPDATE of 10 VPNv4 routes, octets to values"
n=$(instructions codec::encoded $routes "$codec" encode $routes)
figure encode-instructions-per-route "$n" "values to octets, attributes once for 10 routes"
n=$(instructions bgp_rib::bucket::Buckets::intern $((routes / 10)) "$load" $routes $clients 1)
figure intern-instructions-per-set "$n" "an attribute set that was not there"
n=$(instructions '*::Table<F>::settle' $((4 * routes)) "$load" $routes 0 1 contended)
figure decide-instructions-per-path "$n" "a path that beats those of up to three others"
n=$(instructions cold_load::load::handled $routes "$load" $routes $clients 1)
figure handle-instructions-per-route "$n" "all that a shard does with what comes in"
n=$(instructions cold_load::load::packed $routes "$load" $routes $clients 1)
figure pack-instructions-per-route "$n" "all that a shard does for what goes out, $clients clients"
one=$(instructions 'cold_load::measured*' 1 "$load" $routes $clients 1)
said=$(messages)
figure instructions-per-route $((one / routes)) "a shard as a whole"
apart=$(instructions 'cold_load::measured*' 1 "$load" $routes $clients $shards)
figure many-shards-percent $((apart * 100 / one)) "the same by $shards shards, aim 115"
repeated=$(($(messages) * 100 / said))
# More routes: what a process needs anyway must not count much.
peak=$("$load" $many $clients | sed -n 's/^peak-octets-per-route \([0-9]*\).*/\1/p')
figure peak-octets-per-route "$peak" "memory of a shard at the most, $many routes"

limit() { sed -n "s/^$1 = \([0-9]*\)\$/\1/p" "$figures"; }
status=0
printf '%-31s %7s %7s\n' '' now limit
for name in "${names[@]}"; do
  percent=103
  [ "$name" != peak-octets-per-route ] || percent=105
  committed=$(limit "$name")
  mark=
  if [ -z "$committed" ] || [ $((${is[$name]} * 100)) -gt $((committed * percent)) ]; then
    mark=" <- above"
    status=1
  fi
  most=$((${committed:-0} * percent / 100))
  printf '%-31s %7d %7d  %s%s\n' "$name" "${is[$name]}" "$most" "${about[$name]}" "$mark"
done
printf '%-31s %7d %7d  %s\n' many-shards-messages-percent "$repeated" 105 "messages of $shards shards against one"

if [ "${1:-}" = --update ]; then
  {
    echo "# Written by scripts/rib-cost.sh --update: $routes routes (peak: $many) to $clients clients."
    for name in "${names[@]}"; do echo "$name = ${is[$name]}"; done
  } >"$figures"
  exit 0
fi
[ "$repeated" -le 105 ] || status=1
[ $status = 0 ] || echo "rib-cost: more than $figures allows" >&2
exit $status
