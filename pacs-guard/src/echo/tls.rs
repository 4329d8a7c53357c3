//! DICOM over TLS (PS3.15 annex B): whom we trust, what we show, and what goes wrong, by name.
//!
//! The files are read for each probe, so a renewed certificate needs no reload.

use std::{io, net::IpAddr, path::Path, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
        SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
        version::{TLS12, TLS13},
    },
};
use x509_cert::der::Decode;

use super::failure::{Failure, Phase};
use crate::{
    credential::{self, Unusable, certificates},
    hex::hex,
    policy::model::{PeerTls, TlsVersion},
};

/// The certificate that a peer has shown and proved to hold the key of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub struct Certificate {
    /// SHA-256 of the certificate as sent (DER), in lower-case hex.
    pub sha256: String,
    /// When it ends.
    pub expires: jiff::Timestamp,
}

impl Certificate {
    /// Reads one in DER; `None` where it is none.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let ends = certificate.tbs_certificate.validity.not_after.to_unix_duration();
        Some(Self {
            sha256: hex(&Sha256::digest(der)),
            expires: jiff::Timestamp::from_second(i64::try_from(ends.as_secs()).ok()?).ok()?,
        })
    }

    /// Whole days left at a time; negative once it has ended.
    #[must_use]
    pub fn days_left(&self, now: jiff::Timestamp) -> i64 {
        days_until(self.expires, now)
    }
}

/// Whole days from one time to another, rounded down.
pub(crate) fn days_until(end: jiff::Timestamp, now: jiff::Timestamp) -> i64 {
    (end.as_second() - now.as_second()).div_euclid(86_400)
}

/// What is wrong with TLS between a peer and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum TlsFault {
    /// Its bytes are no TLS record.
    #[error("it does not speak TLS: does the port take plain DICOM?")]
    NotTls,
    /// Nobody that we trust vouches for its certificate.
    #[error("its certificate comes from nobody in `ca`")]
    UnknownIssuer,
    /// The certificate is another host's.
    #[error("its certificate holds another name: see `server_name`")]
    WrongName,
    /// The certificate has ended.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate begins later, or a clock is wrong.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The certificate can't be used for another reason.
    #[error("its certificate can't be used")]
    BadCertificate,
    /// No common version, cipher suite or signature scheme.
    #[error("it speaks no version or cipher that is accepted here")]
    Incompatible,
    /// It wants a certificate and has got none.
    #[error("it asks for a client certificate: see `certificate` and `key`")]
    ClientCertificateRequired,
    /// It does not accept ours.
    #[error("it does not accept our certificate")]
    ClientCertificateRefused,
    /// Another alert (RFC 8446 section 6).
    #[error("it ends the handshake with alert {alert}{}", if *.alert == 40 {         " (handshake failure): no common cipher, or it asks for a client certificate" } else { "" })]
    Alert {
        /// The number of the description.
        alert: u8,
    },
    /// It breaks the protocol.
    #[error("it breaks the protocol")]
    Protocol,
}

impl TlsFault {
    /// The fault in what an I/O operation over TLS returned; `None` where it was the network's.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::InvalidCertificate(why) => match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                // Bad signature: it names one of ours, who did not sign it.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName
                }
                _ => Self::BadCertificate,
            },
            Error::PeerIncompatible(_) => Self::Incompatible,
            Error::AlertReceived(alert) => match *alert {
                AlertDescription::CertificateRequired => Self::ClientCertificateRequired,
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => Self::ClientCertificateRefused,
                AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
                    Self::Incompatible
                }
                other => Self::Alert { alert: other.into() },
            },
            _ => Self::Protocol,
        })
    }
}

/// Everything for a handshake, read from the files.
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads the files of a peer's settings.
    pub(super) fn read(settings: &PeerTls, address: IpAddr) -> Result<Self, Failure> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Trust::read(&settings.ca, &provider)?);
        let versions: &[_] = match settings.min_version {
            TlsVersion::Tls12 => &[&TLS12, &TLS13],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|why| unusable(&settings.ca, why))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key_der = credential::key(key, &credential::read(key)?)?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, key_der)
                    .map_err(|why| unusable(key, why))?
            }
        };
        let name = match &settings.server_name {
            Some(name) => ServerName::try_from(name.clone()).map_err(|why| unusable(&settings.ca, why))?,
            None => ServerName::IpAddress(address.into()),
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shows no certificate and believes any: to see what a stranger would get, and for nothing that is kept secret.
    pub(super) fn of_a_stranger(address: IpAddr) -> Result<Self, Failure> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS12, &TLS13])
            .map_err(|_| Failure::Internal)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trust { known: None, authorities: None, provider }))
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::IpAddress(address.into()),
        })
    }

    /// The handshake. The certificate is the peer's, verified.
    pub(super) async fn connect(
        self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<Certificate>), Failure> {
        let stream = self
            .connector
            .connect(self.name, stream)
            .await
            .map_err(|error| Failure::from_io(&error, Phase::Tls))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = shown.and_then(Certificate::read);
        Ok((stream, certificate))
    }
}

/// Whom a peer's certificate is believed from.
#[derive(Debug)]
struct Trust {
    /// The certificates of the file. One of them shown by the peer itself is trusted as it is, whatever its names:
    /// many devices have certificates that they signed themselves. `None` trusts everybody.
    known: Option<Vec<CertificateDer<'static>>>,
    /// The authorities among them; `None` where there is none.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    fn read(file: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, Failure> {
        let known = certificates(file)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.iter().cloned());
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        Ok(Self { authorities: builder.build().ok(), known: Some(known), provider: provider.clone() })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        if known.iter().any(|known| known == shown) {
            valid_at(shown, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(shown, chain, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a time lies in the validity of a certificate (RFC 5280 section 4.1.2.5).
fn valid_at(shown: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let certificate = x509_cert::Certificate::from_der(shown).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        Err(CertificateError::NotValidYet)
    } else if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        Err(CertificateError::Expired)
    } else {
        Ok(())
    }
}

fn unusable(file: &Path, why: impl std::fmt::Display) -> Failure {
    Unusable::new(file, why).into()
}

impl From<Unusable> for Failure {
    fn from(Unusable { file, why }: Unusable) -> Self {
        Self::TlsSetup { file, why }
    }
}
