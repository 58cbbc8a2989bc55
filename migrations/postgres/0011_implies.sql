-- The narrower scopes that a stored scope implies: a JSON array of names.
ALTER TABLE scopes ADD COLUMN implies TEXT NOT NULL DEFAULT '[]';
