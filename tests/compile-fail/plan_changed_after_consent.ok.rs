use keyctl::gate::Plan;
use keyctl::people::request::Step;
pub fn add(plan: &mut Plan, step: Step) {
    plan.steps.push(step);
}
