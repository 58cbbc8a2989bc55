-- Who changed what and when: written in the transaction of the change.
CREATE TABLE audit (
    -- Begins with the number of the change, so that the order of ids is the order of changes.
    id TEXT CONSTRAINT audit_id PRIMARY KEY,
    -- Milliseconds since 1970.
    at BIGINT NOT NULL,
    -- The provider that vouched for the actor; null: scopegate's own commands.
    actor_provider TEXT,
    actor_subject TEXT,
    actor_client TEXT,
    action TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON: what was written.
    detail TEXT NOT NULL,
    change BIGINT NOT NULL
);

-- For a time range, and for forgetting what is older than the retention time.
CREATE INDEX audit_by_time ON audit (at);

-- What was denied, counted, because a flood of denials must not become a flood of rows.
CREATE TABLE denials (
    -- The start of the minute, in milliseconds since 1970.
    minute BIGINT NOT NULL,
    route TEXT NOT NULL,
    reason TEXT NOT NULL,
    client TEXT NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT denial_key PRIMARY KEY (minute, route, reason, client)
);
