// error: E0382
use keyctl::error::Result;
use keyctl::signing::artifact::Placed;
use keyctl::gate::Permit;
use keyctl::ledger::Ledger;
use keyctl::ledger::genesis::Tool;
use keyctl::request::SignArtifact;
pub fn close(ledger: &mut Ledger, tool: &Tool, permit: Permit<SignArtifact>, placed: Placed) -> Result<String> {
    keyctl::outcome::close(ledger, tool, vec![(permit, Ok(placed))])?;
    Ok(permit.request().object.clone())
}
