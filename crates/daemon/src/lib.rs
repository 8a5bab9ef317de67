//! What every daemon of Arcus has: tracing, metrics, signals, systemd, the HTTP shell.
