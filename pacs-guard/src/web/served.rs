//! The page as it is served: where, behind which lock, and what came of that.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lock::Lock;
use crate::{credential::Unusable, echo::days_until};

/// A page that is served.
pub struct Served {
    pub(super) url: String,
    pub(super) lock: Option<Arc<Lock>>,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What a browser is pointed at.
    pub url: String,
    /// When its certificate ends; `None` where it is served in clear.
    pub certificate_expires: Option<Timestamp>,
    /// Tokens that were wrong, or came too fast after wrong ones to be looked at, since the daemon started.
    pub refused_tokens: u64,
}

impl Standing {
    /// Whole days that its certificate has left at a time; negative once it has ended.
    pub fn certificate_days(&self, now: Timestamp) -> Option<i64> {
        self.certificate_expires.map(|end| days_until(end, now))
    }
}

impl Served {
    /// Reads certificate, key and token again.
    ///
    /// # Errors
    /// Where a file can't be used. Those that were read before then stay.
    pub fn renew(&self) -> Result<(), Unusable> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.renew())
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        let lock = self.lock.as_ref();
        Standing {
            url: self.url.clone(),
            certificate_expires: lock.and_then(|lock| lock.expires()),
            refused_tokens: lock.map_or(0, |lock| lock.refused()),
        }
    }
}
