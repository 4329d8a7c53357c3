//! The C-ECHO probe against peers that break the connection or its bounds: one named test for each way.

use std::time::{Duration, Instant};

use crate::scp::{
    AMPLE, SHORT, accept, ask, failure, fragment, frugal, hole, outlast, refusing, success, target,
};
use pacs_guard::echo::{Failure, GarbageSign, Limit, Phase};

#[tokio::test]
async fn refused() {
    let (at, _socket) = refusing();
    let begun = Instant::now();
    let report = frugal(&target(at), AMPLE).await;
    assert!(begun.elapsed() < SHORT, "a refusal need not be waited for");
    assert_eq!(failure(report), Failure::Refused);
}

#[tokio::test]
async fn syn_into_a_hole() {
    let (at, _listener, _fillers) = hole().await;
    let begun = Instant::now();
    let report = frugal(&target(at), SHORT).await;
    assert!(begun.elapsed() < SHORT + Duration::from_millis(300));
    assert_eq!(report.phases, Default::default());
    assert_eq!(failure(report), Failure::NoAnswer);
}

#[tokio::test]
async fn accepts_and_is_silent() {
    let report = outlast(|peer| peer.wait()).await;
    assert!(report.phases.connect_us.is_some());
    assert_eq!(failure(report), Failure::TooSlow { phase: Phase::Associate });
}

#[tokio::test]
async fn associates_and_is_silent() {
    let report = outlast(|mut peer| async move {
        peer.associate().await;
        peer.wait().await;
    })
    .await;
    assert!(report.phases.associate_us.is_some());
    assert_eq!(failure(report), Failure::TooSlow { phase: Phase::Echo });
}

#[tokio::test]
async fn drips_a_byte_at_a_time() {
    let report = outlast(|mut peer| async move {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        for byte in accept(crate::scp::IMPLICIT) {
            beat.tick().await;
            peer.write(&[byte]).await;
        }
    })
    .await;
    assert_eq!(failure(report), Failure::TooSlow { phase: Phase::Associate });
}

#[tokio::test]
async fn pdu_length_of_all_ones() {
    for pdu_type in 1..=7u8 {
        let report = ask(move |mut peer| async move {
            peer.write(&[pdu_type, 0, 0xFF, 0xFF, 0xFF, 0xFF]).await;
            peer.wait().await;
        })
        .await;
        let limit = Limit::PduLength { stated: u32::MAX };
        assert_eq!(failure(report), Failure::TooLarge { phase: Phase::Associate, limit });
    }
}

#[tokio::test]
async fn pdu_length_just_over_what_was_negotiated() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        peer.write(&[4, 0, 0, 0, 0x40, 0x01]).await;
        peer.wait().await;
    })
    .await;
    let limit = Limit::PduLength { stated: 16_385 };
    assert_eq!(failure(report), Failure::TooLarge { phase: Phase::Echo, limit });
}

#[tokio::test]
async fn pdu_length_zero() {
    for pdu_type in [1, 2, 3, 5, 6, 7u8] {
        let report = ask(move |mut peer| async move {
            peer.write(&[pdu_type, 0, 0, 0, 0, 0]).await;
            peer.wait().await;
        })
        .await;
        let sign = GarbageSign::MalformedPdu { pdu_type };
        assert_eq!(failure(report), Failure::Garbage { phase: Phase::Associate, sign });
    }
}

#[tokio::test]
async fn data_of_length_zero_without_end() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        for _ in 0..100_000 {
            peer.write(&[4, 0, 0, 0, 0, 0]).await;
        }
        peer.wait().await;
    })
    .await;
    assert_eq!(failure(report), Failure::TooLarge { phase: Phase::Echo, limit: Limit::Pdus });
}

#[tokio::test]
async fn many_tiny_pdus() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        for _ in 0..100_000 {
            peer.write(&fragment(&[0], false)).await;
        }
        peer.wait().await;
    })
    .await;
    assert_eq!(failure(report), Failure::TooLarge { phase: Phase::Echo, limit: Limit::Pdus });
}

#[tokio::test]
async fn large_pdus_of_empty_fragments() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        let values = [0u8, 0, 0, 2, 1, 1].repeat(2_730);
        let mut pdu = vec![4, 0];
        pdu.extend_from_slice(&(values.len() as u32).to_be_bytes());
        pdu.extend_from_slice(&values);
        for _ in 0..20 {
            peer.write(&pdu).await;
        }
        peer.wait().await;
    })
    .await;
    assert_eq!(failure(report), Failure::TooLarge { phase: Phase::Echo, limit: Limit::Bytes });
}

#[tokio::test]
async fn a_command_without_end() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        for _ in 0..5 {
            peer.write(&fragment(&[0; 1_000], false)).await;
        }
        peer.wait().await;
    })
    .await;
    assert_eq!(failure(report), Failure::TooLarge { phase: Phase::Echo, limit: Limit::Command });
}

#[tokio::test]
async fn garbage() {
    for (bytes, first) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b'H'), (b"SSH-2.0-x\r\n", b'S'), (&[0; 64], 0)]
    {
        let report = ask(move |mut peer| async move {
            peer.write(bytes).await;
            peer.wait().await;
        })
        .await;
        let sign = GarbageSign::NotAPdu { first };
        assert_eq!(failure(report), Failure::Garbage { phase: Phase::Associate, sign });
    }
}

#[tokio::test]
async fn tls_on_a_plain_port() {
    let report = ask(|mut peer| async move {
        // A fatal alert, unexpected_message: what a TLS server says to an A-ASSOCIATE-RQ.
        peer.write(&[0x15, 3, 3, 0, 2, 2, 10]).await;
        peer.wait().await;
    })
    .await;
    assert!(report.to_string().ends_with("it answers with TLS, so the port may want TLS"), "{report}");
    assert_eq!(failure(report), Failure::Garbage { phase: Phase::Associate, sign: GarbageSign::Tls });
}

#[tokio::test]
async fn rst_in_mid_pdu() {
    let report = ask(|mut peer| async move {
        peer.hear_echo().await;
        let half = success();
        peer.write(&half[..half.len() / 2]).await;
        peer.stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(failure(report), Failure::Closed { phase: Phase::Echo, reset: true });
}

#[tokio::test]
async fn fin_in_mid_pdu() {
    let report = ask(|mut peer| async move {
        peer.read().await;
        let half = accept(crate::scp::IMPLICIT);
        peer.write(&half[..half.len() / 2]).await;
    })
    .await;
    assert_eq!(failure(report), Failure::Closed { phase: Phase::Associate, reset: false });
}
