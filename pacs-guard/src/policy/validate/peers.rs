//! The peers that are spot-checked, and that each lies in some segment.

use std::net::IpAddr;

use super::{Names, Owner, named, take};
use crate::policy::{
    document::{At, Mark, RawPeer, RawTls},
    fault::Fault,
    findings::Findings,
    model::{Peer, PeerTls, TlsVersion},
    prefix::Cover,
    value,
};

/// The most peers of a policy.
pub(super) const MAX_PEERS: usize = 4096;
/// The calling AE title where a peer names none.
const CALLING_AE_TITLE: &str = "PACSGUARD";

/// Peers, and which of them were met in a segment so far.
pub(super) struct Peers {
    peers: Vec<Candidate>,
    /// Whether some segment's sources were not all understood: then no peer is known to be outside.
    doubtful: bool,
}

struct Candidate {
    peer: Peer,
    address: Mark,
    met: bool,
}

impl Peers {
    /// Reads up to [`MAX_PEERS`]; the caller books what is over.
    ///
    /// `doubtful` where a key of the policy was not understood, such as the one of the segments.
    pub(super) fn read(written: Vec<At<RawPeer<'_>>>, doubtful: bool, found: &mut Findings<'_>) -> Self {
        let mut names = Names::new("peer");
        let mut peers = Vec::new();
        for at in written.iter().take(MAX_PEERS) {
            let raw = &at.value;
            let owner = match &raw.name {
                Some(name) => Owner::new("peer", name, &raw.slips),
                None => Owner::unnamed(at.mark, "this peer", &raw.slips),
            };
            let name = owner.require(raw.name.as_ref(), "name", found);
            if let Some(name) = name {
                names.add(name, found);
            }
            let name = name.map(|at| named(at, value::peer_name, found));
            let address_at = owner.require(raw.address.as_ref(), "address", found);
            let address = address_at.and_then(|at| take(at, value::address, found));
            let port = owner.require(raw.port.as_ref(), "port", found);
            let port = port.and_then(|at| take(at, value::port, found));
            let ae_title = owner.require(raw.ae_title.as_ref(), "ae_title", found);
            let ae_title = ae_title.and_then(|at| take(at, value::ae_title, found));
            let calling = raw.calling_ae_title.as_ref().and_then(|at| take(at, value::ae_title, found));
            let every = raw.every.as_ref().and_then(|at| take(at, value::interval, found));
            let do_not_probe = raw.do_not_probe.as_ref().and_then(|at| take(at, value::flag, found));
            let tls = raw.tls.as_ref().map(|at| tls(at, found));
            let Some((address, address_at)) = address.zip(address_at) else {
                continue;
            };
            let peer = Peer {
                name: name.unwrap_or_default(),
                address,
                port: port.unwrap_or_default(),
                ae_title: ae_title.unwrap_or_default(),
                calling_ae_title: calling.unwrap_or_else(|| CALLING_AE_TITLE.to_owned()),
                every,
                do_not_probe: do_not_probe.unwrap_or(false),
                tls,
                place: found.place(owner.mark),
            };
            peers.push(Candidate { peer, address: address_at.mark, met: false });
        }
        for at in written.into_iter().take(MAX_PEERS) {
            found.book(at.value.slips);
            if let Some(tls) = at.value.tls {
                found.book(tls.value.slips);
            }
        }
        Self { peers, doubtful }
    }

    /// Marks the peers that are in a segment: in its sources, and in none of its exceptions.
    pub(super) fn meet(&mut self, sources: &Cover, except: &Cover, whole: bool) {
        let within = |cover: &Cover, address: IpAddr| cover.holds(address, address);
        self.doubtful |= !whole;
        for Candidate { peer, met, .. } in &mut self.peers {
            *met |= within(sources, peer.address) && !within(except, peer.address);
        }
    }

    /// Books the peers that were met in no segment.
    pub(super) fn finish(self, found: &mut Findings<'_>) -> Vec<Peer> {
        for Candidate { peer, address, met } in &self.peers {
            if !met && !self.doubtful {
                let fault = Fault::PeerOutside { peer: peer.name.clone(), address: peer.address };
                found.push(*address, fault);
            }
        }
        self.peers.into_iter().map(|candidate| candidate.peer).collect()
    }
}

fn tls(at: &At<RawTls<'_>>, found: &mut Findings<'_>) -> PeerTls {
    let raw = &at.value;
    let owner = Owner::unnamed(at.mark, "this `tls`", &raw.slips);
    let ca = owner.require(raw.ca.as_ref(), "ca", found);
    let ca = ca.and_then(|at| take(at, value::path, found));
    for (one, there, other, missing) in [
        (&raw.certificate, "certificate", &raw.key, "key"),
        (&raw.key, "key", &raw.certificate, "certificate"),
    ] {
        if let (Some(one), None) = (one, other)
            && raw.slips.is_empty()
        {
            found.push(one.mark, Fault::TlsPair { there, missing });
        }
    }
    let certificate = raw.certificate.as_ref().and_then(|at| take(at, value::path, found));
    let key = raw.key.as_ref().and_then(|at| take(at, value::path, found));
    let server_name = raw.server_name.as_ref().and_then(|at| take(at, value::server_name, found));
    let min_version = raw.min_version.as_ref().and_then(|at| take(at, value::tls_version, found));
    PeerTls {
        ca: ca.unwrap_or_default(),
        client: certificate.zip(key),
        server_name,
        min_version: min_version.unwrap_or(TlsVersion::Tls12),
    }
}
