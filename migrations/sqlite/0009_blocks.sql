-- Blocks: revocations that hold until they are lifted, whenever a token was issued. Both moments are then the largest
-- number, which an earlier scopegate reads as "every token, for ever". A token may also be known by its actor. SQLite
-- cannot change a constraint, so the table is made anew.
CREATE TABLE new_revocations (
    id TEXT CONSTRAINT revocation_id PRIMARY KEY,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT revocation_kind
        CHECK (kind IN ('token_id', 'session', 'subject', 'client', 'actor', 'token_hash')),
    value TEXT NOT NULL,
    -- A hash of provider, kind and value: an index on the value itself has a limit to its length.
    key_hash TEXT NOT NULL,
    -- Milliseconds since 1970.
    issued_before INTEGER NOT NULL,
    -- Milliseconds since 1970. From then on no token that the record matches can be valid, and the row may go.
    expires_at INTEGER NOT NULL,
    reason TEXT,
    created_at INTEGER NOT NULL,
    -- The last change of this row: what a node that has read up to a number must still read.
    change INTEGER NOT NULL,
    -- 1 after it was taken back. The row stays until it expires, so that every node hears of it.
    deleted INTEGER NOT NULL DEFAULT 0 CONSTRAINT revocation_deleted CHECK (deleted IN (0, 1)),
    -- Counted by the nodes for blocks: requests refused, and streams cut.
    refused INTEGER NOT NULL DEFAULT 0,
    streams_cut INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO new_revocations
    (id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change, deleted)
    SELECT id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change, deleted
    FROM revocations;
DROP TABLE revocations;
ALTER TABLE new_revocations RENAME TO revocations;

CREATE INDEX revocations_by_change ON revocations (change, id);
CREATE INDEX revocations_by_key ON revocations (key_hash);
CREATE INDEX revocations_by_expiry ON revocations (expires_at);
