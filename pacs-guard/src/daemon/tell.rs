//! What came of a change, for the log.

use crate::control::ChangeResult;

pub(super) fn tell(result: &ChangeResult) {
    match result {
        ChangeResult::Loaded { policy, generation, until, draining, took_us, warnings, problems } => {
            tracing::info!(
                "policy {policy} is in force as generation {generation}, {:.1} ms",
                *took_us as f64 / 1e3
            );
            if let Some(until) = until {
                tracing::warn!("it ends by itself at {until:.0}");
            }
            for part in draining {
                tracing::warn!("{part}");
            }
            if !warnings.is_empty() {
                tracing::warn!("{warnings}");
            }
            for problem in problems {
                tracing::error!("{problem}");
            }
        }
        ChangeResult::Invalid { rendered, .. } => {
            tracing::error!("the policy is invalid; the old one stays in force\n{rendered}");
        }
        ChangeResult::Unfit { rendered, .. } => {
            tracing::error!("the policy does not fit this host; the old one stays in force\n{rendered}");
        }
        ChangeResult::Failed { why } => tracing::error!("the policy was not replaced: {why}"),
    }
}
