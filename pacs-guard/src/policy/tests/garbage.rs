//! No text makes the reader panic, and whatever it finds can be shown.

use proptest::prelude::*;

use super::{BASE, judge};

/// Every found place lies in the text, and rendering it works.
fn survives(text: &str) -> Result<(), TestCaseError> {
    if let Err(rejected) = judge(text) {
        prop_assert!(!rejected.diagnostics.is_empty());
        for found in &rejected.diagnostics {
            let Some(span) = &found.span else { continue };
            let text = &rejected.texts[0].text;
            prop_assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
        }
        prop_assert!(rejected.render(false).starts_with("error["));
        prop_assert!(!rejected.to_string().is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_yaml_like_text(text in r#"([a-z0-9\[\]{}:,&*!|>'"%@`#? \n\t.\-/\\éü]|10\.0\.0\.0/8|\n  |: ){0,60}"#) {
        survives(&text)?;
    }

    #[test]
    fn a_policy_with_a_piece_cut_out_or_put_in(at in 0..BASE.len(), len in 0..30_usize, piece in ".{0,6}") {
        let end = (at + len).min(BASE.len());
        survives(&format!("{}{piece}{}", &BASE[..at], &BASE[end..]))?;
    }

    #[test]
    fn any_value_in_any_place(value in r#"[ -~é]{0,20}"#, place in 0..8_usize) {
        let from = ["base", "eth0", "enforce", "8042", "10.30.0.0/23", "10.20.0.11", "5m", "10.20.0.66"];
        survives(&BASE.replacen(from[place], &value, 1))?;
    }
}
