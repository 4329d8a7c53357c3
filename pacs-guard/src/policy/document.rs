//! The policy file as written: the shape of the YAML, every value still text with its place.
//!
//! Values stay text so that `validate` can report all mistakes at once; only the shape is judged here. The doc
//! comments of the keys are what the JSON Schema says of them.

use serde::{Deserialize, Deserializer, de::MapAccess};
use serde_saphyr::{
    Budget, DuplicateKeyPolicy, Error, MergeKeyPolicy, Options, alias_limits, budget, options,
};

use super::shape::{Field, mapping, read_mapping};
pub(super) use super::{
    mark::Mark,
    shape::{At, Entries, InFile, Key, Mapping, Slip, Text},
};

/// The most values of a policy, over all its files: a million prefixes in 4,096 segments fit.
pub(super) const MOST_VALUES: usize = 1_250_000;

/// Parses one document. Costs at most about what a million prefixes cost, whatever the text.
///
/// # Errors
/// Syntax, a collection in place of a single value, and texts over the budget; the first one found. Other
/// mistakes of shape are in the document's slips.
pub(super) fn parse(text: &str) -> Result<Document<'_>, Error> {
    serde_saphyr::from_str_with_options(text, reader())
}

fn reader() -> Options {
    options! {
        budget: limits(),
        // Aliases may share a list of hosts, and never multiply one.
        alias_limits: alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 4 },
        // A key that is there twice is found by whoever reads the mapping.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        with_snippet: false,
    }
}

fn limits() -> Option<Budget> {
    budget! {
        max_nodes: MOST_VALUES,
        max_events: 1_500_000,
        max_depth: 16,
        max_aliases: 10_000,
        max_anchors: 10_000,
        max_documents: 2,
    }
}

mapping! {
    /// Who may reach the protected services of this host.
    Document<'a> {
        /// The version of the file format: 1. Every file of a policy states it.
        version: Option<At<Text<'a>>>,
        /// The policy's name, shown in status, metrics and errors.
        name: Option<At<Text<'a>>>,
        /// Interfaces to guard. May be left out where `run --interface` names them.
        interfaces: Vec<At<Text<'a>>>,
        /// Whether a refusal drops the packet (enforce) or is only counted and reported (audit), where neither
        /// segment nor service says its own.
        mode: Option<At<Text<'a>>>,
        /// Allows a service to protect port 22. A mistake may then lock you out of SSH.
        allow_management_port: Option<At<Text<'a>>>,
        /// Protected services by name. Every other port passes, whatever the policy says.
        services: Option<Entries<'a, RawService<'a>>>,
        /// Named sets of source addresses, and the services that each may reach.
        segments: Option<Entries<'a, RawSegment<'a>>>,
        /// DICOM peers to ask with a C-ECHO.
        peers: Vec<At<RawPeer<'a>>>,
        /// What is done with packets that can't be parsed, by cause. A cause that is left out is dropped.
        unparsed: Option<Entries<'a, At<Text<'a>>>>,
    }
}

impl Document<'_> {
    /// Lets every refusal drop, whatever mode the texts state.
    pub(super) fn enforce(&mut self) {
        if let Some(mode) = &mut self.mode {
            mode.value = Text("enforce".into());
        }
        let services = self.services.iter_mut().flat_map(|Entries(entries)| entries);
        services.for_each(|(_, service)| service.mode = None);
        let segments = self.segments.iter_mut().flat_map(|Entries(entries)| entries);
        segments.for_each(|(_, segment)| segment.mode = None);
    }
}

mapping! {
    /// A protected service: the ports whose traffic is judged.
    RawService<'a> {
        /// Ports and ranges of ports, 16 at most.
        ports: Vec<At<Text<'a>>>,
        /// The transport protocol of all its ports: tcp if left out.
        transport: Option<At<Text<'a>>>,
        /// Destination addresses that the protection is narrowed to. Left out: every destination.
        addresses: Vec<At<Text<'a>>>,
        /// Whether a refused connection is dropped in silence, or answered with a TCP reset to the sources of
        /// `reset_to`.
        on_refuse: Option<At<Text<'a>>>,
        /// Sources whose refused connections are answered with a reset: your own networks only.
        reset_to: Vec<At<Text<'a>>>,
        /// The service's own mode, stronger than the policy's.
        mode: Option<At<Text<'a>>>,
    }
}

mapping! {
    /// A named set of source addresses, and the services it may reach.
    RawSegment<'a> {
        /// Free text for people.
        description: Option<At<Text<'a>>>,
        /// Addresses and prefixes in CIDR notation that lie in the segment.
        sources: Vec<At<Text<'a>>>,
        /// Addresses and prefixes carved out of the sources.
        except: Vec<At<Text<'a>>>,
        /// Names of the services that the segment may reach.
        services: Vec<At<Text<'a>>>,
        /// When the segment ends by itself, such as 2027-03-01T00:00:00Z: from then on it grants nothing.
        until: Option<At<Text<'a>>>,
        /// The segment's own mode, stronger than the service's and the policy's.
        mode: Option<At<Text<'a>>>,
    }
}

mapping! {
    /// A DICOM peer that is spot-checked with C-ECHO.
    RawPeer<'a> {
        /// The peer's name, unique among the peers.
        name: Option<At<Text<'a>>>,
        /// Its IP address, which lies in some segment.
        address: Option<At<Text<'a>>>,
        /// The port that it listens on.
        port: Option<At<Text<'a>>>,
        /// Its AE title, called by the C-ECHO.
        ae_title: Option<At<Text<'a>>>,
        /// The AE title that the C-ECHO comes from: PACSGUARD if left out.
        calling_ae_title: Option<At<Text<'a>>>,
        /// The time between two C-ECHOs, from 10s to a week. Left out: only when asked.
        every: Option<At<Text<'a>>>,
        /// Never ask this peer: its site or vendor forbids it.
        do_not_probe: Option<At<Text<'a>>>,
        /// Ask over TLS (DICOM PS3.15 annex B). Left out: in clear.
        tls: Option<At<RawTls<'a>>>,
    }
}

mapping! {
    /// How a peer is asked over TLS. The files are read each time that it is asked.
    RawTls<'a> {
        /// Absolute path of a PEM file: the authorities that the peer's certificate must come from, or that
        /// very certificate.
        ca: Option<At<Text<'a>>>,
        /// Absolute path of a PEM file: the certificate chain to show to a peer that asks for one.
        certificate: Option<At<Text<'a>>>,
        /// Absolute path of a PEM file: the private key of `certificate`.
        key: Option<At<Text<'a>>>,
        /// The name that the peer's certificate must hold: its address if left out. Not looked at where `ca`
        /// holds that very certificate.
        server_name: Option<At<Text<'a>>>,
        /// The oldest version of TLS to speak: 1.2 if left out.
        min_version: Option<At<Text<'a>>>,
    }
}
