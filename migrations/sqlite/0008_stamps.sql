-- A random value that each change renews beside its number, so that a node notices a file that was restored from a
-- backup: it gives the same numbers again, but never the same stamps.
ALTER TABLE heads ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0;

-- The stamps of earlier changes: a node that was cut off looks for the one that it has seen last.
CREATE TABLE stamps (
    number INTEGER PRIMARY KEY,
    stamp INTEGER NOT NULL
) STRICT;

INSERT INTO stamps (number, stamp) SELECT last, stamp FROM heads;

CREATE TRIGGER stamps_of_changes AFTER UPDATE OF last ON heads WHEN NEW.last <> OLD.last BEGIN
    INSERT INTO stamps (number, stamp) VALUES (NEW.last, NEW.stamp)
        ON CONFLICT (number) DO UPDATE SET stamp = excluded.stamp;
END;
