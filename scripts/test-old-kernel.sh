#!/bin/bash
# Tests the data plane on Linux 6.1, in the emulated machine of old-kernel.sh: that both objects load, and
# how large they are, then what depends on the kernel most.
#
#   scripts/test-old-kernel.sh                         the tests below
#   scripts/test-old-kernel.sh restart::a_purge_..     others of crates/dataplane-ebpf/tests/netns
set -euo pipefail
cd "$(dirname "$0")/.."

tests=(
  # filters of the classic queue: attached, replaced, swept, taken away
  restart::a_plane_that_is_closed_and_opened_loses_nothing
  restart::another_version_forwards_until_the_maps_of_this_one_are_filled
  restart::a_purge_leaves_nothing
  # every tunnel, IPv4 in IPv6 and the other way round, with large packets of the kernel's own TCP
  versions::both_versions_pass_in_every_tunnel_over_both_versions
  # short packets out of the same tunnels: all scenes would take an hour
  scenes::every_scene_is_played_as_written
  # devices that other kernels may lack
  uplinks::the_tunnel_address_is_a_loopback_behind_a_vlan_of_a_bond
  # the other object
  trace::a_trace_names_each_table_and_leaves_nothing_behind
)
scene=${SCENE-a packet from another node}
[ $# -eq 0 ] || tests=("$@")

built() {
  cargo test -p dataplane-ebpf --lib --test netns --no-run --message-format=json |
    jq -r --arg name "$1" 'select(.executable and .target.name == $name) | .executable'
}
unit=$(built dataplane_ebpf)
netns=$(built netns)

# A name that no test has would be left out without a word.
known=$("$netns" --list --ignored)
for name in "${tests[@]}"; do
  grep -qx "$name: test" <<<"$known" || {
    echo "test-old-kernel: there is no test $name" >&2
    exit 1
  }
done

options='--ignored --exact --nocapture --color=never --test-threads=1'
sizes=sizes::the_programs_load_and_are_no_larger_than_they_may_be
exec scripts/old-kernel.sh env SCENE="$scene" bash -ec "$unit $options $sizes; $netns $options ${tests[*]}"
