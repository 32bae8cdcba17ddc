use keyctl::gate::{Consent, Plan};
pub fn agree(consent: Consent) -> Plan {
    consent.plan().clone()
}
