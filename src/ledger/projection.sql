-- Projections: derived from leaves, rebuilt and compared by the audit.

-- Entry 0.
CREATE TABLE genesis (
    seq INTEGER PRIMARY KEY CHECK (seq = 0),
    doc TEXT NOT NULL                       -- the body of entry 0, JSON
) STRICT;

-- Adopted settings; the newest row is in force.
CREATE TABLE settings (
    seq    INTEGER PRIMARY KEY,             -- the entry that adopted them
    sha256 TEXT NOT NULL,                   -- of their canonical form, lower-case hex
    doc    TEXT NOT NULL                    -- canonical JSON
) STRICT;

-- Tokens and their modules as they were adopted, JSON; of each name the newest row is in force.
CREATE TABLE tokens (
    hsm TEXT NOT NULL,                      -- its [hsm.NAME] entry
    seq INTEGER NOT NULL,                   -- the entry that recorded it
    doc TEXT NOT NULL,
    PRIMARY KEY (hsm, seq)
) STRICT;

-- Every intent and, once it is closed, the entry that closed it.
CREATE TABLE intents (
    seq        INTEGER PRIMARY KEY,         -- the intent's entry
    type       TEXT NOT NULL,               -- entry type
    object     TEXT NOT NULL,               -- what it is about: a file's SHA-256 or a generation
    generation TEXT,                        -- the key generation it acts with or on
    hsm        TEXT,                        -- the token it makes a key on; NULL for other operations
    process    TEXT NOT NULL,               -- lock of the process that owns it
    request    TEXT,                        -- the request, JSON, for closing it; NULL once closed
    outcome    INTEGER CHECK (outcome > seq), -- the outcome's entry; NULL while open
    result     TEXT CHECK (result IN ('ok', 'failed', 'unknown')), -- what came out; NULL while open
    CHECK ((request IS NULL) = (outcome IS NOT NULL)),
    CHECK ((result IS NULL) = (outcome IS NULL))
) STRICT;
CREATE INDEX intents_open ON intents (seq) WHERE outcome IS NULL;

-- The register of keys.
CREATE TABLE generations (
    key    TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    state  TEXT NOT NULL,                   -- design §4
    doc    TEXT NOT NULL,                   -- the whole record, JSON
    PRIMARY KEY (key, number)
) STRICT;
CREATE UNIQUE INDEX one_active ON generations (key) WHERE state = 'active';

-- Every public key ever seen; none may come twice (K5).
CREATE TABLE public_keys (
    spki_sha256 TEXT PRIMARY KEY,
    generation  TEXT NOT NULL
) STRICT;

-- Serial numbers, reserved before signing, unique for each issuer (H5).
CREATE TABLE serials (
    issuer  TEXT NOT NULL,                  -- generation of the CA
    serial  TEXT NOT NULL,                  -- lower-case hex
    seq     INTEGER NOT NULL,               -- the intent that reserved it
    expires TEXT,                           -- notAfter of the certificate, RFC 3339; NULL where the intent does not say
    PRIMARY KEY (issuer, serial)
) STRICT;

-- Artifacts that were signed and put in place.
CREATE TABLE artifacts (
    seq            INTEGER PRIMARY KEY,     -- the outcome's entry
    artifact_id    TEXT NOT NULL UNIQUE,
    correlation_id TEXT NOT NULL,
    operation      TEXT NOT NULL,
    hash_before    TEXT NOT NULL,           -- SHA-256 of the file before, lower-case hex
    hash_after     TEXT NOT NULL,           -- and after
    generation     TEXT NOT NULL,           -- the signing key
    time           TEXT NOT NULL,           -- of the outcome, RFC 3339
    timestamped    INTEGER NOT NULL CHECK (timestamped IN (0, 1)), -- whether an authority says when it was signed
    repository     TEXT                     -- folder of an APT repository, whose newest signature replaces the others
) STRICT;
CREATE INDEX artifacts_before ON artifacts (hash_before);
CREATE INDEX artifacts_after ON artifacts (hash_after);
CREATE INDEX artifacts_correlation ON artifacts (correlation_id, operation);
CREATE INDEX artifacts_repository ON artifacts (repository) WHERE repository IS NOT NULL;

-- The keyrings of APT keys as they were last published.
CREATE TABLE keyrings (
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,              -- of a key in it, lower-case hex
    seq         INTEGER NOT NULL,           -- the entry that published it last
    sha256      TEXT NOT NULL,              -- of the binary file
    since       TEXT NOT NULL,              -- from when on it has been in there without a break, RFC 3339
    PRIMARY KEY (key, fingerprint)
) STRICT;

-- The last entry that moved something which approvals were given for: a key, 'settings', or 'roster'.
CREATE TABLE touched (
    subject TEXT PRIMARY KEY,
    seq     INTEGER NOT NULL
) STRICT;

-- Approval requests that were consumed; none is consumed twice (governance D5).
CREATE TABLE requests (
    request_id TEXT PRIMARY KEY,
    seq        INTEGER NOT NULL UNIQUE,     -- the entry that consumed it
    sha256     TEXT NOT NULL,               -- of its bytes, lower-case hex
    doc        TEXT NOT NULL                -- its bytes, canonical JSON
) STRICT;

-- What became of their steps.
CREATE TABLE request_steps (
    request_id TEXT NOT NULL,
    step       INTEGER NOT NULL,            -- from 0
    intent     INTEGER NOT NULL,            -- the newest intent that does it
    result     TEXT,                        -- ok, failed, unknown; NULL while the intent is open
    PRIMARY KEY (request_id, step)
) STRICT;

-- Duties with a deadline, such as what follows break-glass.
CREATE TABLE follow_ups (
    seq     INTEGER NOT NULL,               -- the entry it follows from
    kind    TEXT NOT NULL,
    object  TEXT NOT NULL,                  -- what it is about
    due     TEXT NOT NULL,                  -- RFC 3339
    closed  INTEGER CHECK (closed > seq),   -- the entry that closed it; NULL while open
    PRIMARY KEY (seq, kind)
) STRICT;

-- Rosters; the newest row is in force.
CREATE TABLE rosters (
    seq     INTEGER PRIMARY KEY,            -- the entry that adopted it
    version INTEGER NOT NULL UNIQUE,
    sha256  TEXT NOT NULL,                  -- of its canonical form, lower-case hex
    doc     TEXT NOT NULL                   -- canonical JSON
) STRICT;

-- Keys that neither sign nor issue for the time being.
CREATE TABLE suspensions (
    key    TEXT PRIMARY KEY,
    seq    INTEGER NOT NULL,                -- the entry that suspended it
    reason TEXT NOT NULL
) STRICT;

-- People whose signatures do not count for the time being.
CREATE TABLE roster_suspensions (
    email TEXT PRIMARY KEY,
    seq   INTEGER NOT NULL                  -- the entry that suspended them
) STRICT;

-- Standing approvals.
CREATE TABLE grants (
    grant_id TEXT PRIMARY KEY,
    key      TEXT NOT NULL,
    seq      INTEGER NOT NULL,              -- the outcome that gave it
    doc      TEXT NOT NULL,                 -- its parameters, canonical JSON
    people   TEXT NOT NULL,                 -- e-mail addresses of those who gave it, a JSON list
    ended    INTEGER CHECK (ended > seq)    -- the entry that ended it; NULL while it stands
) STRICT;

-- The generations that were made under them.
CREATE TABLE grant_uses (
    grant_id   TEXT NOT NULL,
    generation TEXT NOT NULL,
    seq        INTEGER NOT NULL,            -- the first intent
    PRIMARY KEY (grant_id, generation)
) STRICT;
