//! Namespaces, veths, processes and waiting for a condition; for the demo and end-to-end tests.
