//! Drives a BGP session over TCP: sockets, deadlines, listener, bounded writer.
