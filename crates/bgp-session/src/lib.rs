//! One BGP peering without I/O: state machine, negotiation, collision, timers, restart.
