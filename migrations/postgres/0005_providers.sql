-- What administrators have decided about providers. No row: nothing.
CREATE TABLE provider_states (
    provider TEXT CONSTRAINT provider_name PRIMARY KEY,
    disabled BIGINT NOT NULL DEFAULT 0 CONSTRAINT provider_disabled CHECK (disabled IN (0, 1)),
    -- A JSON array of key ids that are not trusted, whatever the issuer publishes.
    distrusted TEXT NOT NULL
);
