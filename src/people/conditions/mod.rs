//! Each condition of what people hand in by itself: a good document, and one change at a time that is refused for what it is.

mod cab;
mod documents;
mod roster;
