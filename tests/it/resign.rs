//! Signing again: new artifacts in place of old ones, whose marks are closed by them.
