//! Any bytes as a policy file: it is read, or every mistake can be shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pacs_guard::{
    image::{Card, Ledger, compile},
    policy,
};

fuzz_target!(|bytes: &[u8]| {
    match policy::parse(Path::new("p.yaml"), String::from_utf8_lossy(bytes)) {
        Ok(checked) => {
            checked.render(true);
            let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
            let image = compile(&checked.policy, &mut Ledger::default(), 1, &card).unwrap();
            assert_eq!(image.card(), Some(card));
        }
        Err(rejected) => {
            assert!(!rejected.diagnostics.is_empty());
            for found in &rejected.diagnostics {
                let text = |span: std::ops::Range<usize>| rejected.texts.iter().find_map(|text| text.text.get(span.clone()));
                let inside = found.span.clone().is_none_or(|span| text(span).is_some());
                assert!(inside, "{:?} is not in the text", found.span);
            }
            assert!(rejected.render(false).starts_with("error["));
        }
    }
});
