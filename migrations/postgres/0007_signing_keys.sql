-- The private keys that tokens for services behind are signed with (`identity: { forward: mint }`). Whoever reads this
-- table can sign such tokens, unless `identity.mint.seal` is configured.
CREATE TABLE signing_keys (
    -- 1, 2, …: the order of use. Two nodes that make the same key at the same time make one.
    number BIGINT CONSTRAINT signing_key_number_key PRIMARY KEY CONSTRAINT signing_key_number CHECK (number > 0),
    -- From when on it signs, in milliseconds since 1970; it is published from the moment that it is here.
    active_from BIGINT NOT NULL,
    -- PEM (PKCS #8), or that sealed.
    private_key TEXT NOT NULL
);
