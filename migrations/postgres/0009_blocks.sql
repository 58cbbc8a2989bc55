-- Blocks: revocations that hold until they are lifted, whenever a token was issued. Both moments are then the largest
-- number, which an earlier scopegate reads as "every token, for ever". A token may also be known by its actor.
ALTER TABLE revocations DROP CONSTRAINT revocation_kind;
ALTER TABLE revocations ADD CONSTRAINT revocation_kind
    CHECK (kind IN ('token_id', 'session', 'subject', 'client', 'actor', 'token_hash'));

-- Counted by the nodes for blocks: requests refused, and streams cut.
ALTER TABLE revocations ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revocations ADD COLUMN streams_cut BIGINT NOT NULL DEFAULT 0;
