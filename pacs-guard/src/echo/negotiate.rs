//! A-ASSOCIATE, both ways: what we propose, and what a peer makes of it (DICOM PS3.8 sections 9.3.2 and 9.3.3).

use dicom_ul::{
    Pdu,
    pdu::{
        AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResult,
        PresentationContextResultReason as ContextResult, UserVariableItem,
    },
    write_pdu,
};

use super::{
    Target,
    failure::{ContextFault, Failure},
    printable::Printable,
    report::Identity,
    wire::MAX_PDU,
};

/// Implicit VR Little Endian, the transfer syntax that every peer must know (PS3.5 section 10.1).
const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// The DICOM application context (PS3.7 annex A.2.1).
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// This program's Implementation Class UID, of the UUID form (PS3.5 annex B.2).
const CLASS_UID: &str = "2.25.67281628028835678550494807420429717733";
/// At most 16 characters (PS3.7 annex D.3.3.2).
const VERSION_NAME: &str = "PACS_GUARD";
/// Longest text that is kept of what a peer says of itself, in characters: a UID's 64 (PS3.5 section 9.1).
const MAX_TEXT: usize = 64;

/// What a peer answers to an A-ASSOCIATE-RQ that it does not reject.
pub(super) struct Answer {
    pub(super) identity: Identity,
    /// For each context that was proposed, what is wrong with it; `None` where it is accepted.
    pub(super) contexts: Vec<Option<ContextFault>>,
}

/// The id of the context with an index; ids are odd (PS3.8 section 9.3.2.2).
pub(super) const fn context_id(index: u8) -> u8 {
    2 * index + 1
}

/// An A-ASSOCIATE-RQ for up to 128 abstract syntaxes.
pub(super) fn request(target: &Target, syntaxes: &[&str]) -> Result<Vec<u8>, Failure> {
    let plain = |title: &str| title.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\\');
    if !plain(&target.called) || !plain(&target.calling) {
        return Err(Failure::BadTitle);
    }
    let proposed = (0..).zip(syntaxes).map(|(index, syntax)| PresentationContextProposed {
        id: context_id(index),
        abstract_syntax: (*syntax).into(),
        transfer_syntaxes: vec![IMPLICIT_LITTLE_ENDIAN.into()],
    });
    let request = Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: target.calling.clone(),
        called_ae_title: target.called.clone(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: proposed.collect(),
        user_variables: vec![
            UserVariableItem::MaxLength(MAX_PDU),
            UserVariableItem::ImplementationClassUID(CLASS_UID.into()),
            UserVariableItem::ImplementationVersionName(VERSION_NAME.into()),
        ],
    });
    // All else in it is constant, so only a title's length can be wrong.
    encode(&request).ok_or(Failure::BadTitle)
}

/// A PDU's bytes; `None` where a part of it is too long.
pub(super) fn encode(pdu: &Pdu) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).ok().map(|()| bytes)
}

/// Judges the contexts of an A-ASSOCIATE-AC and takes what the peer says of itself.
pub(super) fn read_answer(accepted: AssociationAC, contexts: usize) -> Answer {
    let contexts = (0..).take(contexts).map(|index| {
        let id = context_id(index);
        let answered = accepted.presentation_contexts.iter().find(|context| context.id == id);
        answered.map_or(Some(ContextFault::Unanswered), fault)
    });
    Answer { contexts: contexts.collect(), identity: identity(accepted.user_variables) }
}

fn fault(context: &PresentationContextResult) -> Option<ContextFault> {
    match context.reason {
        ContextResult::Acceptance if unpadded(&context.transfer_syntax) == IMPLICIT_LITTLE_ENDIAN => None,
        ContextResult::Acceptance => Some(ContextFault::TransferSyntax),
        ContextResult::UserRejection => Some(ContextFault::User),
        ContextResult::NoReason => Some(ContextFault::Provider),
        ContextResult::AbstractSyntaxNotSupported => Some(ContextFault::AbstractSyntax),
        ContextResult::TransferSyntaxesNotSupported => Some(ContextFault::TransferSyntaxes),
    }
}

fn identity(items: Vec<UserVariableItem>) -> Identity {
    let mut identity = Identity::default();
    for item in items {
        match item {
            UserVariableItem::MaxLength(length) => identity.max_pdu = Some(length),
            UserVariableItem::ImplementationClassUID(uid) => identity.implementation_class_uid = safe(&uid),
            UserVariableItem::ImplementationVersionName(name) => {
                identity.implementation_version_name = safe(&name)
            }
            _ => {}
        }
    }
    identity
}

fn safe(text: &str) -> Option<String> {
    let text: String = unpadded(text).chars().take(MAX_TEXT).collect();
    (!text.is_empty()).then(|| Printable(&text).to_string())
}

/// Some peers pad with NUL where the standard wants no padding.
fn unpadded(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}
