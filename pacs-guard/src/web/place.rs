//! Where the page is asked to be, and what stands before it there.

use std::{net::SocketAddr, path::PathBuf};

/// The files of the lock that stands before the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFiles {
    /// The certificate and its chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The token that everybody is asked for.
    pub token: PathBuf,
}

/// Where the page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address and port.
    pub address: SocketAddr,
    /// `None` on loopback only.
    pub lock: Option<LockFiles>,
}

impl Place {
    /// Puts the words of the command line together.
    ///
    /// # Errors
    /// In words, where other hosts would reach the page and a file of the lock is missing, and where some of them are
    /// there and not all.
    pub fn new(
        address: SocketAddr,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        token: Option<PathBuf>,
    ) -> Result<Self, String> {
        let options = ["--web-cert FILE", "--web-key FILE", "--web-token-file FILE"];
        let given = [certificate.is_some(), key.is_some(), token.is_some()];
        let lock = match (certificate, key, token) {
            (Some(certificate), Some(key), Some(token)) => Some(LockFiles { certificate, key, token }),
            (None, None, None) if address.ip().is_loopback() => None,
            _ => {
                let missing = options.iter().zip(given).filter(|(_, given)| !given);
                let missing = missing.map(|(option, _)| *option).collect::<Vec<_>>().join(", ");
                return Err(if address.ip().is_loopback() {
                    format!(
                        "TLS and a token go together. Missing: {missing}. On loopback all three may be left out"
                    )
                } else {
                    format!(
                        "{address} is no loopback address: other hosts reach it, and there the status page needs TLS \
                         and a token. Missing: {missing}. Or serve it at 127.0.0.1:9105, with a proxy that speaks TLS \
                         and asks who comes before it, or by `ssh -L 9105:127.0.0.1:9105`"
                    )
                });
            }
        };
        Ok(Self { address, lock })
    }

    /// What a browser is pointed at.
    pub(super) fn url(&self) -> String {
        format!("http{}://{}/", if self.lock.is_some() { "s" } else { "" }, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str, files: [bool; 3]) -> Result<Place, String> {
        let [certificate, key, token] = files.map(|given| given.then(|| "/file".into()));
        Place::new(address.parse().map_err(|_| address.to_owned())?, certificate, key, token)
    }

    const BEYOND: [&str; 4] = ["0.0.0.0:9105", "[::]:9105", "10.0.0.1:9105", "[::ffff:127.0.0.1]:9105"];

    #[test]
    fn in_clear_only_where_other_hosts_do_not_reach() {
        for good in ["127.0.0.1:9105", "127.1.2.3:1", "[::1]:9105"] {
            assert!(place(good, [false; 3]).is_ok_and(|place| place.lock.is_none()), "{good}");
            assert!(place(good, [true; 3]).is_ok_and(|place| place.lock.is_some()), "{good}");
            assert!(
                place(good, [true, false, true]).is_err_and(|why| why.contains("Missing: --web-key FILE."))
            );
        }
        for bad in BEYOND {
            assert!(place(bad, [false; 3]).is_err_and(|why| why.contains("proxy")), "{bad}");
            assert!(place(bad, [true; 3]).is_ok_and(|place| place.lock.is_some()), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = "--web-cert FILE, --web-key FILE, --web-token-file FILE";
        for (files, missing) in [
            ([false, false, false], all),
            ([true, false, false], "--web-key FILE, --web-token-file FILE"),
            ([false, true, false], "--web-cert FILE, --web-token-file FILE"),
            ([true, true, false], "--web-token-file FILE"),
            ([false, true, true], "--web-cert FILE"),
        ] {
            for beyond in BEYOND {
                let said = format!("Missing: {missing}. ");
                assert!(place(beyond, files).is_err_and(|why| why.contains(&said)), "{beyond} {files:?}");
            }
        }
    }
}
