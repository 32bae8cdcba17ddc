//! Rotation where people have to agree: a staging workspace.
