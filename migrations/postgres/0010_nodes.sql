-- What each node has reported of itself last: no history, and nothing that another node needs to decide.
CREATE TABLE nodes (
    id TEXT CONSTRAINT node_id PRIMARY KEY,
    -- Milliseconds since 1970.
    seen BIGINT NOT NULL,
    -- JSON.
    report TEXT NOT NULL
);

-- The secret that seals the sessions of the operator page, where `admin.session_secret` is not configured. A session holds
-- the token of its administrator, and is worth nothing without one.
CREATE TABLE session_secrets (
    id BIGINT CONSTRAINT session_secret_id PRIMARY KEY CONSTRAINT session_secret_one_row CHECK (id = 1),
    secret TEXT NOT NULL
);
