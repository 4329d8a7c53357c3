//! The page and the form before it: each an HTML document with all that it needs inside, and the rules that a browser
//! holds it to.

use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The document.
pub(super) static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("page.html").replace("/* page.css */", STYLE).replace("/* page.js */", SCRIPT)
});

/// The form that asks for the token, with a message of ours.
pub(super) fn login(message: &str) -> String {
    let message = match message {
        "" => String::new(),
        text => format!("<p class=\"warning\" role=\"alert\">{}</p>", text.trim()),
    };
    include_str!("login.html").replace("/* page.css */", STYLE).replace("<!-- message -->", &message)
}

/// Its Content-Security-Policy: its own style and script, no other; nothing from anywhere else; nobody frames it;
/// and no script turns text into markup.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        source(SCRIPT),
        source(STYLE)
    )
});

/// The form's: no script at all, and it is sent to this host only.
pub(super) static LOGIN_POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src {}; img-src data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
        source(STYLE)
    )
});

/// The hash of an inline element's whole text (CSP level 3, section 2.3.1, hash-source).
fn source(text: &str) -> String {
    format!("'sha256-{}'", Base64::encode_string(&Sha256::digest(text)))
}
