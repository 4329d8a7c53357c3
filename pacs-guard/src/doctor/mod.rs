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

use crate::{
    host::{Forwarding, HostError, LocalPorts},
    policy::model::Policy,
};

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

/// The checks that every change is worth: whether a policy would cut this host's own connections, or those that it
/// passes on. What they find and ask for; a few files of /proc are all that is read.
///
/// # Errors
/// Where a setting can't be read.
pub fn own_traffic(policy: &Policy) -> Result<Vec<Finding>, HostError> {
    let mut findings = ports::check(&LocalPorts::read()?, policy);
    let forwarding = Forwarding::read(policy.interfaces.iter().map(String::as_str));
    findings.extend(bypass::forwarding(&forwarding, policy));
    findings.retain(|finding| finding.severity >= Severity::Warn);
    Ok(findings)
}
