//! What may be asked for by whom, decided purely: no web framework, no database, no clock.
