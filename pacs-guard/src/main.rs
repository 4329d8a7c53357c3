//! The command `pacs-guard`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pacs_guard::cli::main()
}
