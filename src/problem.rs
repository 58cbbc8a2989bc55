//! Refusals and failures as HTTP responses: the only place that knows status, body and challenge.
