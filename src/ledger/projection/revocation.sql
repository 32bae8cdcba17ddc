-- Further keys that signed an artifact.
CREATE TABLE cosigned (
    artifact   INTEGER NOT NULL,            -- the artifact's entry
    generation TEXT NOT NULL,
    PRIMARY KEY (generation, artifact)
) STRICT;

-- Who certified each generation; itself for a root, no row if somebody outside.
CREATE TABLE issuers (
    generation TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL
) STRICT;
CREATE INDEX issuers_issuer ON issuers (issuer);

-- Revoked generations, from the intent to revoke them on.
CREATE TABLE revocations (
    generation      TEXT PRIMARY KEY,
    seq             INTEGER NOT NULL,       -- the intent that decided it first
    decided         TEXT NOT NULL,          -- when that was, RFC 3339
    reason          TEXT NOT NULL,          -- RFC 5280 §5.3.1
    revocation_date TEXT NOT NULL,          -- RFC 3339
    invalidity_date TEXT,                   -- RFC 3339; NULL if nobody said since when
    issuer          TEXT,                   -- who has to tell verifiers; NULL if nobody of ours can
    told            INTEGER                 -- the entry after which all lists and keyrings said so; NULL until then
) STRICT;

-- What is on a CA's lists: serial numbers of revoked generations.
CREATE TABLE crl_entries (
    issuer     TEXT NOT NULL,               -- generation of the CA
    serial     TEXT NOT NULL,               -- lower-case hex
    generation TEXT NOT NULL,
    seq        INTEGER NOT NULL,            -- the intent that put it there, or changed what is said of it
    expires    TEXT,                        -- notAfter, RFC 3339; the entry stays for years after it (CSBR 7.2), or for ever
    listed     INTEGER,                     -- the entry that published the first list with it; NULL until then
    PRIMARY KEY (issuer, serial)
) STRICT;
CREATE INDEX crl_entries_unlisted ON crl_entries (generation) WHERE listed IS NULL;

-- Every number that a CA's list ever had, burned by the intent (governance C3).
CREATE TABLE crls (
    issuer      TEXT NOT NULL,
    number      INTEGER NOT NULL CHECK (number > 0),
    intent      INTEGER NOT NULL,
    this_update TEXT NOT NULL,              -- RFC 3339
    next_update TEXT NOT NULL,              -- RFC 3339
    entries     INTEGER NOT NULL,
    outcome     INTEGER,                    -- the entry after which it was published; NULL if it never was
    sha256      TEXT,                       -- of the published file, lower-case hex
    served      INTEGER,                    -- the entry that saw it at its URL
    PRIMARY KEY (issuer, number),
    CHECK ((outcome IS NULL) = (sha256 IS NULL)),
    CHECK (served IS NULL OR outcome IS NOT NULL)
) STRICT;

-- Artifacts that have to be signed again (B13).
CREATE TABLE resign (
    artifact   INTEGER PRIMARY KEY,         -- the artifact's entry
    seq        INTEGER NOT NULL,            -- the revocation's intent, or the artifact itself if it came later
    generation TEXT NOT NULL,               -- whose revocation
    told       INTEGER,                     -- the entry that told the outside; NULL until then
    closed     INTEGER                      -- the entry of the artifact that took its place; NULL while open
) STRICT;
CREATE INDEX resign_open ON resign (artifact) WHERE closed IS NULL;
CREATE INDEX resign_untold ON resign (seq) WHERE told IS NULL;
