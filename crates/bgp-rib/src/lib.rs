//! One shard of the BGP tables: paths, decision, policy, interest, update groups, packing.
