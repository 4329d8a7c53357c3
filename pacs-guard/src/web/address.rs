//! The address of the page: loopback, for it is served in clear and asks nobody who he is.

use std::net::SocketAddr;

/// Reads `ADDRESS:PORT`.
///
/// # Errors
/// In words, where it is no such thing, or where other hosts would reach it.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:9105".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("no loopback address. The page is served in clear and asks for no password: serve it at \
         127.0.0.1:9105 and put a proxy that speaks TLS and asks who comes before it, or use \
         `ssh -L 9105:127.0.0.1:9105`"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_other_hosts_do_not_reach() {
        for good in ["127.0.0.1:9105", "127.1.2.3:1", "[::1]:9105"] {
            assert_eq!(loopback(good).map(|address| address.to_string()).as_deref(), Ok(good));
        }
        for bad in ["0.0.0.0:9105", "[::]:9105", "10.0.0.1:9105", "[::ffff:127.0.0.1]:9105"] {
            assert!(loopback(bad).is_err_and(|why| why.contains("proxy")), "{bad}");
        }
        for bad in ["9105", "localhost:9105", "on", "127.0.0.1"] {
            assert!(loopback(bad).is_err_and(|why| why.contains("ADDRESS:PORT")), "{bad}");
        }
    }
}
