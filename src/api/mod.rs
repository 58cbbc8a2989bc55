//! The HTTP interface of scopegate itself, a file per group of endpoints.
