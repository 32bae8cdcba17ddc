// error: E0451
use keyctl::gate::{Consent, Plan};
pub fn agree(consent: Consent, plan: Plan) -> Consent {
    Consent { plan, ..consent }
}
