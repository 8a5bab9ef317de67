//! BGP messages: octets to values and back.
