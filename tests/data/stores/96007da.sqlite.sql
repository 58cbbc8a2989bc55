-- A store as scopegate 0.1.0 (commit 96007da) wrote it: its migrations, and an entry of every kind.
CREATE TABLE scopegate_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL);

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
INSERT INTO scopegate_migrations VALUES (1, 'items', '4a4942fff108e78654b2a118184029d261d91a1bf14d3da331abb62717a6ca36', 1790000000000);

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
INSERT INTO scopegate_migrations VALUES (2, 'heads', '7ea0d6a6f0a6b174b91825694c429076055e0428530e937f410f41efe9f24932', 1790000000000);

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
INSERT INTO scopegate_migrations VALUES (3, 'policy', 'e27ffdaa2424bae859a0e8298183983ec94eaf0643b4c0430941f75d482614c0', 1790000000000);

-- Records that deny tokens.
CREATE TABLE revocations (
    id TEXT CONSTRAINT revocation_id PRIMARY KEY,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT revocation_kind
        CHECK (kind IN ('token_id', 'session', 'subject', 'client', 'token_hash')),
    value TEXT NOT NULL,
    -- A hash of provider, kind and value: an index on the value itself has a limit to its length.
    key_hash TEXT NOT NULL,
    -- Milliseconds since 1970.
    issued_before INTEGER NOT NULL,
    -- Milliseconds since 1970. From then on no token that the record matches can be valid, and the row may go.
    expires_at INTEGER NOT NULL,
    reason TEXT,
    created_at INTEGER NOT NULL,
    -- The last change of this row: what a node that has read up to a number must still read.
    change INTEGER NOT NULL,
    -- 1 after it was taken back. The row stays until it expires, so that every node hears of it.
    deleted INTEGER NOT NULL DEFAULT 0 CONSTRAINT revocation_deleted CHECK (deleted IN (0, 1))
) STRICT;

CREATE INDEX revocations_by_change ON revocations (change, id);
CREATE INDEX revocations_by_key ON revocations (key_hash);
CREATE INDEX revocations_by_expiry ON revocations (expires_at);
INSERT INTO scopegate_migrations VALUES (4, 'revocations', '51438300cbae14fd7d1104887ae04dc6c84b9d81c9b7609cb1813bdf8786362a', 1790000000000);

-- What administrators have decided about providers. No row: nothing.
CREATE TABLE provider_states (
    provider TEXT CONSTRAINT provider_name PRIMARY KEY,
    disabled INTEGER NOT NULL DEFAULT 0 CONSTRAINT provider_disabled CHECK (disabled IN (0, 1)),
    -- A JSON array of key ids that are not trusted, whatever the issuer publishes.
    distrusted TEXT NOT NULL
) STRICT;
INSERT INTO scopegate_migrations VALUES (5, 'providers', '20b9245b22ac471651edaf4e12ae19e456d4245eef1d3e5c6b7cd42166cc2dcc', 1790000000000);

-- Who changed what and when: written in the transaction of the change.
CREATE TABLE audit (
    -- Begins with the number of the change, so that the order of ids is the order of changes.
    id TEXT CONSTRAINT audit_id PRIMARY KEY,
    -- Milliseconds since 1970.
    at INTEGER NOT NULL,
    -- The provider that vouched for the actor; null: scopegate's own commands.
    actor_provider TEXT,
    actor_subject TEXT,
    actor_client TEXT,
    action TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON: what was written.
    detail TEXT NOT NULL,
    change INTEGER NOT NULL
) STRICT;

-- For a time range, and for forgetting what is older than the retention time.
CREATE INDEX audit_by_time ON audit (at);

-- What was denied, counted, because a flood of denials must not become a flood of rows.
CREATE TABLE denials (
    -- The start of the minute, in milliseconds since 1970.
    minute INTEGER NOT NULL,
    route TEXT NOT NULL,
    reason TEXT NOT NULL,
    client TEXT NOT NULL,
    count INTEGER NOT NULL,
    CONSTRAINT denial_key PRIMARY KEY (minute, route, reason, client)
) STRICT;
INSERT INTO scopegate_migrations VALUES (6, 'audit', '94110fdaaddc7dc8dc049d8955e682bb4563a0382a4f765fa8d58c7a0b5287c6', 1790000000000);

-- The private keys that tokens for services behind are signed with (`identity: { forward: mint }`). Whoever reads this
-- table can sign such tokens, unless `identity.mint.seal` is configured.
CREATE TABLE signing_keys (
    -- 1, 2, …: the order of use. Two nodes that make the same key at the same time make one.
    number INTEGER PRIMARY KEY CONSTRAINT signing_key_number CHECK (number > 0),
    -- From when on it signs, in milliseconds since 1970; it is published from the moment that it is here.
    active_from INTEGER NOT NULL,
    -- PEM (PKCS #8), or that sealed.
    private_key TEXT NOT NULL
) STRICT;
INSERT INTO scopegate_migrations VALUES (7, 'signing_keys', '0f61dc3737ec1ee1434d5771480892ced63302619cbe8e3e8b2396daef5bcc21', 1790000000000);

INSERT INTO items (id, name, version) VALUES (5, 'kept', 2);
DELETE FROM items WHERE id = 2;
INSERT INTO scopes VALUES ('reports', 'Read reports', '["GET /reports/**"]', 1);
INSERT INTO routes VALUES ('000000000002000000', '{"allow":"anonymous","match":"GET /x"}', 2);
INSERT INTO revocations (id, provider, kind, value, key_hash, issued_before, expires_at, reason, created_at, change, deleted) VALUES
    ('000000000003000000', 'okta', 'client', 'web', '25a557b1d86b667df7d69bf0684dc1dd', 1790000000000, 4000000000000, 'leaked', 1790000000000, 3, 0),
    ('000000000003000001', 'okta', 'token_id', 't1', 'bc950a251460ff0f770bd56f707a7630', 1790000000000, 4000000000000, NULL, 1790000000000, 4, 1);
INSERT INTO provider_states VALUES ('okta', 1, '["k1"]');
INSERT INTO audit VALUES
    ('000000000001000000', 1790000000000, 'okta', 'admin', NULL, 'put_scope', 'reports', '{"description":"Read reports","routes":["GET /reports/**"]}', 1),
    ('000000000002000000', 1790000000000, NULL, NULL, NULL, 'create_route', '000000000002000000', '{"allow":"anonymous","match":"GET /x"}', 2),
    ('000000000003000000', 1790000000000, 'okta', NULL, 'cli', 'revoke', '000000000003000000', '{}', 3),
    ('000000000004000000', 1790000000000, NULL, NULL, NULL, 'delete_revocation', '000000000003000001', '{}', 4),
    ('000000000005000000', 1790000000000, NULL, NULL, NULL, 'disable_provider', 'okta', '{}', 5),
    ('000000000006000000', 1790000000000, NULL, NULL, NULL, 'distrust_key', 'okta', '{"kid":"k1"}', 6);
INSERT INTO denials VALUES (1790000040000, 'GET /items/**', 'insufficient_scope', 'web', 7);
INSERT INTO signing_keys VALUES (1, 1790000000000, '-----BEGIN PRIVATE KEY-----');
UPDATE heads SET last = 6, policy = 2, revocations = 4, providers = 6 WHERE id = 1;
UPDATE sqlite_sequence SET seq = 6 WHERE name = 'items';
