// error: E0596
use keyctl::gate::Consent;
use keyctl::people::request::Step;
pub fn add(consent: &mut Consent, step: Step) {
    consent.plan().steps.push(step);
}
