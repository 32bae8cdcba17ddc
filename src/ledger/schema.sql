-- The ledger of one workspace. Everything that counts is in entries.leaf; the rest is derived from it, or
-- signed. The triggers catch accidents and sloppy hands; against a determined editor of this file only the
-- tree, its signed checkpoints and the anchors kept elsewhere prove anything.

-- The leaves of the Merkle tree, in order, without gaps.
CREATE TABLE entries (
    -- Place in the tree, from 0.
    seq       INTEGER PRIMARY KEY CHECK (seq >= 0),
    -- The exact canonical JSON (RFC 8785) of the entry, schema keyctl.entry/v1. At most 1 MiB.
    leaf      BLOB NOT NULL CHECK (length(leaf) BETWEEN 1 AND 1048576),
    -- SHA-256(0x00 || leaf), RFC 6962 section 2.1. Unique, since each leaf contains its own seq.
    leaf_hash BLOB NOT NULL UNIQUE CHECK (length(leaf_hash) = 32)
) STRICT;

-- Hashes of the complete inner subtrees. One that is not complete yet is never stored, so no row ever changes.
CREATE TABLE nodes (
    -- log2 of the number of leaves below. Level 0 is entries.leaf_hash.
    level INTEGER NOT NULL CHECK (level BETWEEN 1 AND 62),
    -- Which subtree of its level, from 0: it covers the leaves from idx * 2^level on.
    idx   INTEGER NOT NULL CHECK (idx >= 0),
    -- SHA-256(0x01 || left || right).
    hash  BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- Tree heads signed by the workspace's ledger keys.
CREATE TABLE checkpoints (
    -- Number of leaves that the head covers; each is greater than the one before.
    size INTEGER PRIMARY KEY CHECK (size >= 1),
    -- The RFC 6962 root over them, the same as in the note.
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- The C2SP signed note, byte for byte.
    note TEXT NOT NULL CHECK (length(note) BETWEEN 1 AND 65536)
) STRICT;

CREATE TRIGGER entries_grow BEFORE INSERT ON entries
WHEN NEW.seq IS NOT (SELECT ifnull(max(seq), -1) + 1 FROM entries)
  OR EXISTS (SELECT 1 FROM entries WHERE leaf_hash = NEW.leaf_hash)
BEGIN SELECT RAISE(ABORT, 'entries grow at the end, one by one'); END;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never removed'); END;

CREATE TRIGGER nodes_grow BEFORE INSERT ON nodes
WHEN EXISTS (SELECT 1 FROM nodes WHERE level = NEW.level AND idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'nodes are never replaced'); END;
CREATE TRIGGER nodes_stay BEFORE UPDATE ON nodes
BEGIN SELECT RAISE(ABORT, 'nodes are never changed'); END;
CREATE TRIGGER nodes_remain BEFORE DELETE ON nodes
BEGIN SELECT RAISE(ABORT, 'nodes are never removed'); END;

CREATE TRIGGER checkpoints_grow BEFORE INSERT ON checkpoints
WHEN NEW.size <= (SELECT max(size) FROM checkpoints)
BEGIN SELECT RAISE(ABORT, 'checkpoints only grow'); END;
CREATE TRIGGER checkpoints_stay BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never changed'); END;
CREATE TRIGGER checkpoints_remain BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never removed'); END;
