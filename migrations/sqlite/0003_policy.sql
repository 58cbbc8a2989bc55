-- Scopes that were added at run time.
CREATE TABLE scopes (
    name TEXT CONSTRAINT scope_name PRIMARY KEY,
    description TEXT NOT NULL,
    -- A JSON array of patterns. Text, because the program compares what it wrote with what it reads.
    routes TEXT NOT NULL,
    -- The change that wrote it: never the same after a scope was deleted and created again.
    version INTEGER NOT NULL
) STRICT;

-- Routes that were added at run time.
CREATE TABLE routes (
    id TEXT CONSTRAINT route_id PRIMARY KEY,
    -- The route in JSON, as the configuration would write it: what a newer scopegate adds needs no new column.
    definition TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
