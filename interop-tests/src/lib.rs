//! Whole daemons against other people's, in namespaces.
