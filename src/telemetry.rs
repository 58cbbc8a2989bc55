//! Logs, metrics, audit.
