//! The README and the pages of docs: the policy shown is valid, links lead somewhere, and what is set as a command is one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_policy_is_valid() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let policies: Vec<&str> =
        text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(policies.len(), 1, "the README shows one policy");
    pacs_guard::policy::parse(Path::new("README.md"), policies[0].to_owned()).unwrap();
}

/// README.md, CHANGELOG.md and every page of docs.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.extend(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// The anchors that a page's headings make.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|one| one.is_alphanumeric() || matches!(one, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, at)| (file, Some(at)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}", page.display());
            if let Some(anchor) = anchor {
                let known = anchors(&fs::read_to_string(&target).unwrap());
                assert!(known.iter().any(|one| one == anchor), "{} links to {link}", page.display());
            }
        }
    }
    assert!(count > 10, "{count} links");
}

/// What is set as code in a page: between backquotes, and in blocks line by line.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        match index % 2 {
            1 => code.extend(part.lines().map(|line| line.trim().trim_start_matches("$ ").to_owned())),
            _ => code.extend(part.split('`').skip(1).step_by(2).map(|piece| piece.replace('\n', " "))),
        }
    }
    code
}

/// The words of a command line; what is quoted is one.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

#[test]
fn every_command_in_the_docs_is_one() {
    let mut count = 0;
    for page in pages() {
        for line in code(&fs::read_to_string(&page).unwrap()) {
            // Comments, pipes and other commands are the shell's.
            let line = line.split(['#', '|', '&', '>', '<', ';']).next().unwrap().trim();
            let Some(line) = line.strip_prefix("pacs-guard ") else { continue };
            let words = words(line);
            let place = format!("{}: `pacs-guard {}`", page.display(), words.join(" "));
            let verb = words.first().map(String::as_str).unwrap_or_default();
            let command = pacs_guard::cli::command();
            assert!(command.find_subcommand(verb).is_some(), "{place} is no command");
            // A verb alone need not bring what it asks for.
            let tried = command.try_get_matches_from(std::iter::once("pacs-guard".to_owned()).chain(words));
            if let Err(why) = tried {
                use clap::error::ErrorKind::{DisplayHelp, MissingRequiredArgument};
                assert!(matches!(why.kind(), DisplayHelp | MissingRequiredArgument), "{place}: {why}");
            }
            count += 1;
        }
    }
    assert!(count > 50, "{count} commands");
}
