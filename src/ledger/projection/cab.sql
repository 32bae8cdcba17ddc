
-- Approvals of the change advisory board as they were handed in, good or not.
CREATE TABLE cab_papers (
    sha256      TEXT PRIMARY KEY,           -- of the approval with its signature, lower-case hex
    seq         INTEGER NOT NULL,           -- the entry that recorded it first
    approval_id TEXT NOT NULL,
    doc         TEXT NOT NULL               -- canonical JSON
) STRICT;
CREATE INDEX cab_papers_of ON cab_papers (approval_id);

-- Approvals that the board withdrew.
CREATE TABLE cab_withdrawn (
    approval_id TEXT PRIMARY KEY,
    seq         INTEGER NOT NULL            -- the entry that recorded it first
) STRICT;

-- Each signature that rests on such an approval. What failed is not among them.
CREATE TABLE cab_uses (
    intent      INTEGER PRIMARY KEY,        -- the intent's entry
    approval_id TEXT NOT NULL,
    signed      INTEGER NOT NULL CHECK (signed IN (0, 1)) -- whether the approval carries a signature
) STRICT;
CREATE INDEX cab_uses_of ON cab_uses (approval_id);

-- What each artifact is, whatever its signatures say: the format's own digest.
CREATE TABLE artifact_contents (
    seq    INTEGER PRIMARY KEY,             -- the artifact's entry
    digest TEXT NOT NULL                    -- with its algorithm before it (sha256:…)
) STRICT;
CREATE INDEX artifact_contents_digest ON artifact_contents (digest);

-- Artifacts that take the place of others.
CREATE TABLE resigned (
    seq         INTEGER PRIMARY KEY,        -- the outcome's entry
    artifact_id TEXT NOT NULL,              -- the new one
    resigns     TEXT NOT NULL               -- the old one
) STRICT;
CREATE INDEX resigned_of ON resigned (resigns);
