//! IPsec on this host, as `ip xfrm` counts it (ip-xfrm(8)).

use std::io;

use super::run;

/// How many security associations this network namespace has; needs CAP_NET_ADMIN.
pub fn security_associations() -> io::Result<u32> {
    let text = run("ip", &["xfrm", "state", "count"])?;
    count(&text).ok_or_else(|| io::Error::other(format!("`ip xfrm state count` says `{}`", text.trim())))
}

fn count(text: &str) -> Option<u32> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "count");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn the_count_is_read() {
        assert_eq!(count("\t SAD count 12\n"), Some(12));
        assert_eq!(count(""), None);
    }
}
