//! Whether a policy fits this host. Asked before it comes into force for the first time, and never of a way back.

use super::error::StartError;
use crate::{doctor::own_traffic, policy::model::Policy};

/// What should be looked at, for people. A policy that was in force before is never refused: it stays what this host
/// runs, whatever its settings have become since.
///
/// # Errors
/// Where a new policy would cut this host's own connections.
pub(super) fn fit(policy: &Policy, known: bool) -> Result<String, StartError> {
    match own_traffic(policy) {
        Ok(findings) if !known && findings.iter().any(|finding| finding.stops_enforcement) => {
            Err(StartError::Unfit(findings))
        }
        Ok(findings) => Ok(findings.iter().map(|finding| format!("warning: {finding}\n")).collect()),
        Err(why) => Ok(format!("warning: whether the policy fits this host is not known: {why}\n")),
    }
}
