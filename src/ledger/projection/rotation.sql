-- Rotations that were completed: the log that audits ask for (B21).
CREATE TABLE rotations (
    seq            INTEGER PRIMARY KEY,     -- the outcome's entry
    key            TEXT NOT NULL,
    generation     TEXT NOT NULL UNIQUE,    -- who took over
    predecessor    TEXT,                    -- from whom; NULL where nobody signed any more
    correlation_id TEXT NOT NULL,
    time           TEXT NOT NULL            -- of the outcome, RFC 3339: the predecessor is retiring since then
) STRICT;

-- Rotations that failed (B24).
CREATE TABLE rotation_failures (
    seq       INTEGER PRIMARY KEY,          -- the alert's entry
    key       TEXT NOT NULL,
    doc       TEXT NOT NULL,                -- the alert, JSON
    validated INTEGER CHECK (validated > seq), -- the entry that found the new certificate good; NULL while none did
    closed    INTEGER CHECK (closed > seq)  -- the entry of the completed rotation; NULL while there is none
) STRICT;
CREATE INDEX rotation_failures_open ON rotation_failures (key) WHERE closed IS NULL;

-- Test signatures that held.
CREATE TABLE key_tests (
    generation  TEXT NOT NULL,
    certificate TEXT NOT NULL,              -- fingerprint of the certificate that it was checked with, lower-case hex
    seq         INTEGER NOT NULL,           -- the newest such outcome
    PRIMARY KEY (generation, certificate)
) STRICT;

-- Certificates between an old root and a new one.
CREATE TABLE root_links (
    subject TEXT NOT NULL,                  -- whose public key is certified
    issuer  TEXT NOT NULL,                  -- who certified it
    seq     INTEGER NOT NULL,               -- the outcome's entry
    doc     TEXT NOT NULL,                  -- the certificate, JSON
    PRIMARY KEY (subject, issuer)
) STRICT;

-- Certificate files as they were last published.
CREATE TABLE published_files (
    name       TEXT PRIMARY KEY,            -- within published/
    generation TEXT NOT NULL,
    sha256     TEXT NOT NULL,               -- lower-case hex
    seq        INTEGER NOT NULL             -- the outcome's entry
) STRICT;

-- What reviews of CA keys decided; of each generation the newest is in force.
CREATE TABLE key_reviews (
    generation TEXT PRIMARY KEY,
    seq        INTEGER NOT NULL,            -- the outcome's entry
    decision   TEXT NOT NULL,               -- keep or roll
    keep_until TEXT                         -- RFC 3339; NULL for a roll
) STRICT;

-- Alerts that a certificate is about to expire, each given once.
CREATE TABLE expiry_alerts (
    generation TEXT NOT NULL,
    days       INTEGER NOT NULL,            -- the threshold that was crossed
    seq        INTEGER NOT NULL,            -- the alert's entry
    PRIMARY KEY (generation, days)
) STRICT;
