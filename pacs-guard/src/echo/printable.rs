//! Text that is safe to show on a terminal, wherever it came from.

use std::fmt::{self, Write};

/// Shows text with every character escaped that a terminal could obey or that hides or reorders what is
/// beside it: control characters of both sets, bidirectional overrides, zero-width and other invisible format
/// characters. A backslash is escaped too, so that an escape can't be forged.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            c if c.is_control() || is_invisible(c) => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_obeys_and_leaves_the_rest() {
        let cases = [
            ("OFFIS_DCMTK_367", "OFFIS_DCMTK_367"),
            ("Röntgen 2", "Röntgen 2"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\r\nb\0", "a\\u{d}\\u{a}b\\u{0}"),
            ("CT1\u{202e}1TC", "CT1\\u{202e}1TC"),
            ("\\u{1b}", "\\\\u{1b}"),
        ];
        for (raw, shown) in cases {
            assert_eq!(Printable(raw).to_string(), shown);
        }
    }
}
