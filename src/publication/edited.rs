//! A pipeline's file with one value changed: made, put in its place and read back.

use crate::error::{Error, Result};
use crate::files::{Placement, Source, SourcePolicy, Target, safe, shown_path};
use crate::gate::{Completes, Permit, sealed};
use crate::model::Hash256;
use crate::pipeline::{self, Format, Found, MAX_FILE, Value};
use crate::request::UpdatePipeline;
use serde_json::json;
use std::path::Path;

/// A pipeline's file that says what it should. It closes the permit.
#[derive(Debug)]
pub struct Edited {
    sha256: Hash256,
}

impl sealed::Sealed for Edited {}

impl Completes<UpdatePipeline> for Edited {
    fn done(&self) -> serde_json::Value {
        json!({ "sha256": self.sha256 })
    }
}

/// A pipeline's file as it is.
#[derive(Debug)]
pub struct Present {
    source: Source,
    /// Its text.
    pub text: String,
    /// Its form.
    pub format: Format,
    /// The field's value.
    pub found: Found,
}

/// Opens a pipeline's file, once, and finds the field. Links, files with a second name and files that are none are
/// refused.
///
/// # Errors
/// Those of [`Source::open`]; `not_utf8`; those of [`pipeline::find`].
pub fn open(path: &Path, field: &pipeline::FieldPath) -> Result<Present> {
    let about = |error: Error| error.about(shown_path(path));
    let source = Source::open(path, SourcePolicy { max_len: MAX_FILE, ..SourcePolicy::IN_PLACE })?;
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap_or(0)];
    source.read_at(&mut bytes, 0)?;
    source.still()?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Error::failed("not_utf8", format!("{}: is not UTF-8 text", shown_path(path))).because(error)
    })?;
    let format = Format::of(path)
        .ok_or_else(|| Error::usage("pipeline_malformed", format!("{}: neither TOML nor JSON", shown_path(path))))?;
    let found = pipeline::find(format, &text, field).map_err(about)?;
    Ok(Present { source, text, format, found })
}

/// Puts the value that the permit says into the file, which has to be the one that the permit was given for, and reads it
/// back. Mode, owner and attributes stay.
///
/// # Errors
/// `source_changed`; write errors; `pipeline_changed` when it does not read back as it was made.
pub fn edit(permit: &Permit<UpdatePipeline>, path: &Path) -> Result<Edited> {
    let params = &permit.request().params;
    let present = open(path, &params.field)?;
    if Hash256::of(present.text.as_bytes()) != params.before_sha256 {
        let message = format!("{}: it was changed meanwhile", shown_path(path));
        return Err(Error::failed("source_changed", message).hint("repeat the command"));
    }
    let value = match present.found.value {
        Value::Text(_) => Value::Text(params.to.clone()),
        Value::Number(_) => {
            Value::Number(params.to.parse().map_err(|_| Error::bug("a pipeline's number is no number"))?)
        }
    };
    let text = pipeline::replace(present.format, &present.text, &params.field, &value)?;
    if Hash256::of(text.as_bytes()) != params.after_sha256 {
        return Err(Error::bug("a pipeline's file would not be what the permit says"));
    }
    let mut target = Target::replacing(&present.source)?;
    target.append(text.as_bytes())?;
    target.place(Placement::Replace { expect: &present.source })?;
    edited(permit, path)?.ok_or_else(|| {
        Error::failed("pipeline_changed", format!("{}: does not read back as it was written", shown_path(path)))
    })
}

/// Whether the file says what the permit wants; for permits whose process was interrupted, too.
///
/// # Errors
/// It cannot be read.
pub fn edited(permit: &Permit<UpdatePipeline>, path: &Path) -> Result<Option<Edited>> {
    let bytes = safe::read_bounded(path, MAX_FILE)?;
    let sha256 = Hash256::of(&bytes);
    Ok((sha256 == permit.request().params.after_sha256).then_some(Edited { sha256 }))
}
