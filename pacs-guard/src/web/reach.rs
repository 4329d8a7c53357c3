//! Who may reach what: the segments of the policy in force and the services that each is granted.

use jiff::Timestamp;
use serde::Serialize;

use crate::policy::model::{Mode, Policy, Segment, Service, Transport};

/// Segments that are listed; a page with more is read by nobody.
const LISTED: usize = 200;

/// The map of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct Reach {
    services: Vec<Target>,
    segments: Vec<Origin>,
    /// Segments that are not listed.
    left_out: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Target {
    name: String,
    transport: Transport,
    /// Ports and ranges, such as `104, 11112-11115`.
    ports: String,
    mode: Mode,
}

#[derive(Clone, Debug, Serialize)]
struct Origin {
    name: String,
    description: Option<String>,
    /// How many prefixes.
    sources: usize,
    /// How many are carved out of them.
    except: usize,
    /// Positions among the services.
    services: Vec<usize>,
    until: Option<Timestamp>,
    ended: bool,
    /// Its own mode, stronger than a service's.
    mode: Option<Mode>,
}

impl Reach {
    /// Draws the map of a policy as it is now.
    pub fn of(policy: &Policy) -> Self {
        let now = Timestamp::now();
        Self {
            services: policy.services.iter().map(|service| Target::new(service, policy.mode)).collect(),
            segments: policy.segments.iter().take(LISTED).map(|segment| Origin::new(segment, now)).collect(),
            left_out: policy.segments.len().saturating_sub(LISTED),
        }
    }
}

impl Target {
    fn new(service: &Service, mode: Mode) -> Self {
        let ports = service.ports.iter().map(|ports| match (ports.start(), ports.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        });
        Self {
            name: service.name.clone(),
            transport: service.transport,
            ports: ports.collect::<Vec<_>>().join(", "),
            mode: service.mode.unwrap_or(mode),
        }
    }
}

impl Origin {
    fn new(segment: &Segment, now: Timestamp) -> Self {
        Self {
            name: segment.name.clone(),
            description: segment.description.clone(),
            sources: segment.sources.len(),
            except: segment.except.len(),
            services: segment.services.clone(),
            until: segment.until,
            ended: segment.has_ended(now),
            mode: segment.mode,
        }
    }
}
