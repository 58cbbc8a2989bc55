-- The items of the sample API.
CREATE TABLE items (
    -- AUTOINCREMENT, because no number may be used twice: its ETag would be right for another item.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL CONSTRAINT item_name_length CHECK (length(name) BETWEEN 1 AND 200),
    -- Counts replacements: what an ETag is made of.
    version INTEGER NOT NULL DEFAULT 1
) STRICT;

-- What the first start finds. Here, not in the program: it is done once, however often the items are deleted.
INSERT INTO items (name) VALUES ('red ball');
INSERT INTO items (name) VALUES ('blue square');
INSERT INTO items (name) VALUES ('purple ellipse');
