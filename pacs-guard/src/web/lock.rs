//! The lock before a page that other hosts reach: TLS, and a token that everybody is asked for.

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        version::{TLS12, TLS13},
    },
};

use super::{place::LockFiles, sessions::Sessions, tries::Tries};
use crate::{
    credential::{self, Unusable},
    echo::{Certificate, EXPIRY_WARNING_DAYS},
};

/// Fewest and most characters of a token: `openssl rand -hex 32` makes 64.
const FEWEST: usize = 32;
const MOST: usize = 256;

/// Why somebody does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not the token.
    Wrong,
    /// Too many were wrong before: this one was not looked at, and none will be for so long.
    TooMany(Duration),
    /// The system has no random numbers.
    NoRandom,
}

/// What guards the page.
pub(super) struct Lock {
    files: LockFiles,
    state: Mutex<State>,
}

struct State {
    keys: Keys,
    sessions: Sessions,
    tries: Tries,
    refused: u64,
}

/// What the files hold.
struct Keys {
    tls: TlsAcceptor,
    expires: Option<Timestamp>,
    token: Token,
}

impl Lock {
    /// Reads the files.
    pub(super) fn read(files: LockFiles) -> Result<Self, Unusable> {
        let keys = Keys::read(&files)?;
        let state = State { keys, sessions: Sessions::default(), tries: Tries::default(), refused: 0 };
        Ok(Self { files, state: Mutex::new(state) })
    }

    /// Reads the files again. Another token ends every session; where a file is bad, all stays as it was.
    pub(super) fn renew(&self) -> Result<(), Unusable> {
        let keys = Keys::read(&self.files)?;
        let mut state = self.state();
        if keys.token != state.keys.token {
            state.sessions = Sessions::default();
        }
        state.keys = keys;
        Ok(())
    }

    /// What makes TLS of a connection.
    pub(super) fn tls(&self) -> TlsAcceptor {
        self.state().keys.tls.clone()
    }

    /// When the certificate ends.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.state().keys.expires
    }

    /// How many tokens were wrong, or not looked at.
    pub(super) fn refused(&self) -> u64 {
        self.state().refused
    }

    /// Looks at a token.
    pub(super) fn look_at(&self, token: &str, source: IpAddr) -> Result<(), Refused> {
        self.state().look_at(token, source)
    }

    /// Looks at a token, and gives out the number of a session.
    pub(super) fn log_in(&self, token: &str, source: IpAddr) -> Result<String, Refused> {
        let mut state = self.state();
        state.look_at(token, source)?;
        state.sessions.begin(Instant::now()).ok_or(Refused::NoRandom)
    }

    /// Whether somebody with the number of a session comes in.
    pub(super) fn knows(&self, session: &str) -> bool {
        self.state().sessions.know(session, Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look_at(&mut self, token: &str, source: IpAddr) -> Result<(), Refused> {
        let now = Instant::now();
        let wait = self.tries.wait(source, now);
        if !wait.is_zero() {
            self.refused += 1;
            return Err(Refused::TooMany(wait));
        }
        if self.keys.token.is(token) {
            return Ok(());
        }
        self.refused += 1;
        self.tries.wrong(source, now);
        // What comes too fast is counted, and logged no more: a guesser can't flood the log.
        tracing::warn!("status page: a wrong token from {source}");
        Err(Refused::Wrong)
    }
}

impl Keys {
    fn read(files: &LockFiles) -> Result<Self, Unusable> {
        let LockFiles { certificate, key, token } = files;
        let chain = credential::certificates(certificate)?;
        let expires = chain.first().and_then(Certificate::read).map(|shown| {
            let days = shown.days_left(Timestamp::now());
            if days < EXPIRY_WARNING_DAYS {
                tracing::warn!("{}: it ends at {:.0}, in {days} days", certificate.display(), shown.expires);
            }
            shown.expires
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS12, &TLS13])
            .map_err(|why| Unusable::new(certificate, why))?
            .with_no_client_auth()
            .with_single_cert(chain, credential::key(key, &credential::read_secret(key)?)?)
            .map_err(|why| Unusable::new(key, format!("with {}: {why}", certificate.display())))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsAcceptor::from(Arc::new(config)), expires, token: Token::read(token)? })
    }
}

/// The hash of a token.
#[derive(PartialEq, Eq)]
struct Token([u8; 32]);

impl Token {
    fn read(file: &Path) -> Result<Self, Unusable> {
        let bytes = credential::read_secret(file)?;
        let token = bytes.trim_ascii();
        let why = if !token.iter().all(u8::is_ascii_graphic) {
            "the token holds a space, or a character that is not ASCII"
        } else if !(FEWEST..=MOST).contains(&token.len()) {
            &format!("the token has {} characters, and needs {FEWEST} to {MOST}", token.len())
        } else {
            return Ok(Self(Sha256::digest(token).into()));
        };
        Err(Unusable::new(file, format!("{why}: `openssl rand -hex 32 > {}` makes one", file.display())))
    }

    /// Whether a token is this one, in a time that says nothing of how much of it is.
    fn is(&self, token: &str) -> bool {
        Sha256::digest(token).as_slice().ct_eq(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, os::unix::fs::PermissionsExt};

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    const GOOD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn files(token: &str) -> (TempDir, LockFiles) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = LockFiles { certificate: path("cert"), key: path("key"), token: path("token") };
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        fs::write(&files.certificate, certificate.pem()).unwrap();
        for (file, text) in [(&files.key, key.serialize_pem()), (&files.token, token.to_owned())] {
            fs::write(file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        (folder, files)
    }

    #[test]
    fn a_token_of_32_to_256_characters() {
        for good in [GOOD.to_owned(), format!("{GOOD}\r\n"), "x".repeat(256)] {
            let (_folder, files) = files(&good);
            assert!(Lock::read(files).unwrap().look_at(good.trim(), [10, 0, 0, 9].into()).is_ok());
        }
        let spaced = format!("{GOOD} {GOOD}");
        for (bad, said) in [
            ("", "has 0 characters"),
            (&GOOD[1..], "has 31 characters"),
            (&*"x".repeat(257), "has 257 characters"),
            (&spaced, "holds a space"),
            (&"ä".repeat(32), "not ASCII"),
        ] {
            let (_folder, files) = files(bad);
            let why = Lock::read(files).err().unwrap().to_string();
            assert!(why.contains(said) && why.contains("openssl rand -hex 32 > /"), "{why}");
            assert!(!why.contains(GOOD), "{why}");
        }
    }

    #[test]
    fn another_token_ends_the_sessions_and_a_bad_one_changes_nothing() {
        let (_folder, files) = files(GOOD);
        let lock = Lock::read(files.clone()).unwrap();
        let source = [10, 0, 0, 9].into();
        let session = lock.log_in(GOOD, source).unwrap();
        assert!(lock.knows(&session) && lock.expires().is_some());
        lock.renew().unwrap();
        assert!(lock.knows(&session), "the token is the same");
        fs::write(&files.token, "short").unwrap();
        assert!(lock.renew().is_err() && lock.knows(&session));
        fs::write(&files.token, "x".repeat(32)).unwrap();
        lock.renew().unwrap();
        assert!(!lock.knows(&session));
        assert_eq!(lock.log_in(GOOD, source), Err(Refused::Wrong));
        assert_eq!(lock.refused(), 1);
    }

    #[test]
    fn a_guesser_is_not_let_in_while_it_waits() {
        let (_folder, files) = files(GOOD);
        let lock = Lock::read(files).unwrap();
        let [guesser, other] = [[10, 0, 0, 9].into(), [10, 0, 0, 10].into()];
        for _ in 0..5 {
            assert_eq!(lock.look_at(&GOOD[..31], guesser), Err(Refused::Wrong));
        }
        assert!(matches!(lock.look_at(GOOD, guesser), Err(Refused::TooMany(_))));
        assert!(matches!(lock.log_in(GOOD, guesser), Err(Refused::TooMany(_))));
        assert!(lock.look_at(GOOD, other).is_ok());
        assert_eq!(lock.refused(), 7);
    }
}
