//! The one list of provider kinds.
