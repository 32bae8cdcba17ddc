// error: E0599
use keyctl::signing::artifact::{Placed, Prepared};
use keyctl::gate::Failure;
use keyctl::signing::kept::Folder;
pub fn skip(prepared: Prepared, folder: &Folder<'_>) -> Result<Placed, Failure> {
    Ok(prepared.place(folder)?)
}
