-- The numbers of the last changes, in the one row that every change locks: numbers are given in the order of commits,
-- which a sequence would not do, and a node that has read up to a number has missed nothing.
CREATE TABLE heads (
    id INTEGER PRIMARY KEY CONSTRAINT heads_one_row CHECK (id = 1),
    -- Of any kind.
    last INTEGER NOT NULL,
    -- Of scopes and routes: a node reads them anew when it has not seen this number.
    policy INTEGER NOT NULL,
    revocations INTEGER NOT NULL,
    providers INTEGER NOT NULL
) STRICT;

INSERT INTO heads (id, last, policy, revocations, providers) VALUES (1, 0, 0, 0, 0);
