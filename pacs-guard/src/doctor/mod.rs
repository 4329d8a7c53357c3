//! The doctor: what of this host stands in the way of a policy, and what leads round it.
//!
//! [`Facts`] are gathered first; each check then is a function from facts to findings.

mod bypass;
mod facts;
mod finding;
mod interfaces;
mod kernel;
mod listeners;
mod machine;
mod ports;
#[cfg(test)]
mod sample;

pub use facts::{Clock, Facts, Nic, Program};
pub use finding::{Finding, Group, Severity};

use crate::policy::model::Policy;

/// Runs every check. Without a policy only the ones that need none.
pub fn examine(facts: &Facts, policy: Option<&Policy>) -> Vec<Finding> {
    let mut findings = kernel::check(facts);
    if let Some(policy) = policy {
        findings.extend(interfaces::check(facts, policy));
        findings.extend(ports::check(&facts.local_ports, policy));
    }
    findings.extend(listeners::check(&facts.network, policy));
    if let Some(policy) = policy {
        findings.extend(bypass::check(facts, policy));
    }
    findings.extend(machine::check(facts));
    findings
}
