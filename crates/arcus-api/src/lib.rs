//! Shapes of the HTTP API, version 1.
