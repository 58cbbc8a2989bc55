-- The numbers of the last changes, in the one row that every change locks: numbers are given in the order of commits,
-- which a sequence would not do, and a node that has read up to a number has missed nothing.
CREATE TABLE heads (
    id BIGINT PRIMARY KEY CONSTRAINT heads_one_row CHECK (id = 1),
    -- Of any kind.
    last BIGINT NOT NULL,
    -- Of scopes and routes: a node reads them anew when it has not seen this number.
    policy BIGINT NOT NULL,
    revocations BIGINT NOT NULL,
    providers BIGINT NOT NULL
);

INSERT INTO heads (id, last, policy, revocations, providers) VALUES (1, 0, 0, 0, 0);
