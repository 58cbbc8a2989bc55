-- A random value that each change renews beside its number, so that a node notices a database that was restored from a
-- backup: it gives the same numbers again, but never the same stamps.
ALTER TABLE heads ADD COLUMN stamp BIGINT NOT NULL DEFAULT 0;

-- The stamps of earlier changes: a node that was cut off looks for the one that it has seen last.
CREATE TABLE stamps (
    number BIGINT CONSTRAINT stamp_number PRIMARY KEY,
    stamp BIGINT NOT NULL
);

INSERT INTO stamps (number, stamp) SELECT last, stamp FROM heads;
