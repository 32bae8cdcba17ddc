use keyctl::gate::{Consent, Presented};
pub fn agree(presented: Box<Presented>) -> Consent {
    Consent::of_people(presented)
}
