//! Wanted and found state of a node, their difference, and the trait of a data plane.
