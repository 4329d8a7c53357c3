//! The C-ECHO probe against peers that speak DICOM, well or badly: one named test for each answer.

use std::time::{Duration, Instant};

use crate::scp::{
    AMPLE, accept, ask, associate_ac, encode, failure, fragment, refusing, response, serve, success, target,
};
use dicom_ul::{Pdu, pdu::PresentationContextResultReason as Reason};
use pacs_guard::echo::{ContextFault, Failure, GarbageSign, Identity, Phase, Surprise, Target, probe};
use tokio::{sync::mpsc, time::timeout};

#[tokio::test]
async fn an_honest_peer_passes() {
    let (tell, mut heard) = mpsc::unbounded_channel();
    let report = ask(move |mut peer| {
        let tell = tell.clone();
        async move {
            peer.hear_echo().await;
            peer.write(&success()).await;
            tell.send(peer.read().await.0).unwrap();
            peer.write(&encode(&Pdu::ReleaseRP)).await;
            peer.wait().await;
        }
    })
    .await;
    assert_eq!(heard.try_recv(), Ok(5), "no A-RELEASE-RQ");
    let said = Identity {
        implementation_class_uid: Some("1.2.3.4".into()),
        implementation_version_name: Some("HOSTILE_1".into()),
        max_pdu: Some(32_768),
        certificate: None,
    };
    assert_eq!(report.outcome, Ok(said));
    assert!(report.phases.connect_us.is_some() && report.phases.associate_us.is_some());
    assert!(report.phases.echo_us.is_some());
}

#[tokio::test]
async fn an_answer_in_many_fragments_passes() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        let command = response(0x8030, 1, 0);
        for piece in command.chunks(1) {
            peer.write(&fragment(piece, false)).await;
        }
        peer.write(&fragment(&[], true)).await;
        peer.wait().await;
    })
    .await;
    assert!(report.outcome.is_ok(), "{report}");
}

#[tokio::test]
async fn a_release_that_is_never_answered_passes() {
    let at = serve(|mut peer| async move {
        peer.hear_echo().await;
        peer.write(&success()).await;
        peer.wait().await;
    })
    .await;
    let begun = Instant::now();
    assert!(probe(&target(at), AMPLE).await.outcome.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(2));
    let begun = Instant::now();
    assert!(probe(&target(at), Duration::from_millis(200)).await.outcome.is_ok());
    assert!(begun.elapsed() < Duration::from_millis(450), "the release outran the deadline");
}

#[tokio::test]
async fn associate_rj() {
    let report = ask(|mut peer| async move {
        peer.read().await;
        peer.write(&[3, 0, 0, 0, 0, 4, 0, 1, 1, 7]).await;
        peer.wait().await;
    })
    .await;
    let words = "rejects the association: called AE title not recognised (permanent, by the service user)";
    assert!(report.to_string().ends_with(words), "{report}");
    assert_eq!(failure(report).kind(), "rejected");
}

#[tokio::test]
async fn associate_rj_before_the_request_is_read() {
    let report = ask(|mut peer| async move {
        peer.write(&[3, 0, 0, 0, 0, 4, 0, 2, 3, 1]).await;
        peer.wait().await;
    })
    .await;
    assert!(report.to_string().contains("temporary congestion (transient"), "{report}");
}

#[tokio::test]
async fn abort_instead_of_an_association() {
    let report = ask(|mut peer| async move {
        peer.read().await;
        peer.write(&[7, 0, 0, 0, 0, 4, 0, 0, 2, 1]).await;
        peer.wait().await;
    })
    .await;
    let words = "aborts the association, while associating: unrecognised PDU (by the service provider)";
    assert!(report.to_string().ends_with(words), "{report}");
    assert_eq!(failure(report).kind(), "aborted");
}

#[tokio::test]
async fn abort_right_after_accepting() {
    let report = ask(|mut peer| async move {
        peer.associate().await;
        peer.write(&[7, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
        peer.wait().await;
    })
    .await;
    let words = "aborts the association, while answering C-ECHO: no reason given (by the service user)";
    assert!(report.to_string().ends_with(words), "{report}");
}

#[tokio::test]
async fn wrong_transfer_syntax() {
    let (tell, mut heard) = mpsc::unbounded_channel();
    let report = ask(move |mut peer| {
        let tell = tell.clone();
        async move {
            peer.read().await;
            peer.write(&accept(crate::scp::EXPLICIT)).await;
            tell.send(peer.read().await.0).unwrap();
        }
    })
    .await;
    let goodbye = timeout(AMPLE, heard.recv()).await.expect("no A-ABORT");
    assert_eq!(goodbye, Some(7), "no A-ABORT");
    assert_eq!(failure(report), Failure::WrongContext { fault: ContextFault::TransferSyntax });
}

#[tokio::test]
async fn verification_not_accepted() {
    let cases = [
        (Reason::UserRejection, ContextFault::User),
        (Reason::NoReason, ContextFault::Provider),
        (Reason::AbstractSyntaxNotSupported, ContextFault::AbstractSyntax),
        (Reason::TransferSyntaxesNotSupported, ContextFault::TransferSyntaxes),
    ];
    for (reason, fault) in cases {
        let answer = associate_ac(reason, crate::scp::IMPLICIT, "X");
        let report = ask(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.read().await;
                peer.write(&answer).await;
                peer.wait().await;
            }
        })
        .await;
        assert_eq!(failure(report), Failure::WrongContext { fault });
    }
}

#[tokio::test]
async fn failure_status() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        peer.write(&fragment(&response(0x8030, 1, 0x0122), true)).await;
        peer.wait().await;
    })
    .await;
    assert!(report.to_string().ends_with("failure status 0122h (SOP class not supported)"), "{report}");
    assert_eq!(failure(report), Failure::Status { code: 0x0122 });
}

#[tokio::test]
async fn answers_another_message_or_command() {
    for (field, id) in [(0x8030, 2), (0x8001, 1), (0x0030, 1)] {
        let report = ask(move |mut peer| async move {
            peer.hear_echo().await;
            peer.write(&fragment(&response(field, id, 0), true)).await;
            peer.wait().await;
        })
        .await;
        let failure = failure(report);
        assert!(
            matches!(failure, Failure::Unexpected { surprise: Surprise::Response(_), .. }),
            "{failure:?} for {field:04X} {id}"
        );
    }
}

#[tokio::test]
async fn releases_instead_of_answering() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        peer.write(&encode(&Pdu::ReleaseRQ)).await;
        peer.wait().await;
    })
    .await;
    let surprise = Surprise::Pdu { pdu_type: 5 };
    assert_eq!(failure(report), Failure::Unexpected { phase: Phase::Echo, surprise });
}

#[tokio::test]
async fn answers_with_data_instead_of_a_command() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        peer.write(&[4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 2]).await;
        peer.wait().await;
    })
    .await;
    let surprise = Surprise::DataValue { context: 1 };
    assert_eq!(failure(report), Failure::Unexpected { phase: Phase::Echo, surprise });
}

#[tokio::test]
async fn huge_element_length_in_the_command() {
    let begun = Instant::now();
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        let mut command = response(0x8030, 1, 0);
        command[4..8].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
        peer.write(&fragment(&command, true)).await;
        peer.wait().await;
    })
    .await;
    println!("huge element length judged in {:?}", begun.elapsed());
    assert!(matches!(
        failure(report),
        Failure::Garbage { phase: Phase::Echo, sign: GarbageSign::Command(_) }
    ));
}

#[tokio::test]
async fn terminal_escapes_in_names() {
    let answer = associate_ac(Reason::Acceptance, crate::scp::IMPLICIT, "\u{1b}]0;owned\u{7}");
    let report = ask(move |mut peer| {
        let answer = answer.clone();
        async move {
            peer.read().await;
            peer.write(&answer).await;
            peer.read().await;
            peer.write(&success()).await;
            peer.wait().await;
        }
    })
    .await;
    assert!(report.to_string().ends_with("\\u{1b}]0;owned\\u{7})"), "{report}");
    assert!(!report.to_string().contains(char::is_control));
}

#[tokio::test]
async fn titles_that_cannot_be_sent_are_never_asked() {
    // Another failure would mean that it was tried.
    let (at, _socket) = refusing();
    let good = target(at);
    for title in ["SEVENTEEN_LETTERS", "", "   ", "CT\u{7}", "RÖNTGEN", "A\\B"] {
        let bad = Target { called: title.into(), ..good.clone() };
        assert_eq!(failure(probe(&bad, AMPLE).await), Failure::BadTitle, "{title:?}");
        let bad = Target { calling: title.into(), ..good.clone() };
        assert_eq!(failure(probe(&bad, AMPLE).await), Failure::BadTitle, "{title:?}");
    }
    assert_eq!(failure(probe(&good, AMPLE).await), Failure::Refused);
}
