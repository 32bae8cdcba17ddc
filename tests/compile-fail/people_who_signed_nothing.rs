// error: E0308
use keyctl::gate::{Consent, Plan};
pub fn agree(plan: Box<Plan>) -> Consent {
    Consent::of_people(plan)
}
