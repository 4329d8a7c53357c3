//! Writes man pages and completions from the command line's own definition: `cargo xtask package` runs it.

use std::{fs, io, path::PathBuf};

use clap_complete::Shell;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or(io::ErrorKind::InvalidInput)?);
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder)?;
    }
    let mut command = pacs_guard::cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "pacs-guard", &completions)?;
    }
    clap_mangen::generate_to(pacs_guard::cli::command(), &man)
}
