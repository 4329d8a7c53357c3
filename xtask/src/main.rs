//! `cargo xtask`: set-up, build, lint, tests and the demo, the same here as in CI.

mod bench;
mod bpf_toolchain;
mod build;
mod demo;
mod fuzz;
mod lint;
mod package;
mod setup;
mod shell;
mod test;

#[path = "../../tests/lab/mod.rs"]
mod lab;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Set-up, build, lint, tests and demo of pacs-guard")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find the BPF toolchain and the DICOM peers, and install what is missing
    Setup {
        /// Install without asking
        #[arg(long)]
        yes: bool,
    },
    /// Release binaries in target/release
    Build,
    /// Formatting, clippy, the XDP program by itself, dependencies
    Lint,
    /// Set-up, lint and every test (needs root)
    Test,
    /// Three hosts, a real DICOM archive, and who may talk to it (needs root)
    Demo,
    /// Any bytes into each parser of what strangers write (installs cargo-fuzz)
    Fuzz {
        /// For each target
        #[arg(long, default_value_t = 5)]
        minutes: u64,
    },
    /// What the kernel's verifier says of the XDP program, against a budget (needs root)
    Verify,
    /// What something costs
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// A Debian package and an RPM in target/package
    Package {
        /// Try them too: lintian, and a clean Debian that takes, upgrades and loses both (needs root and debootstrap)
        #[arg(long)]
        check: bool,
    },
    /// What listens on SSH's port in the demo
    #[command(hide = true)]
    Greet {
        /// TCP port, on every address
        port: u16,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Setup { yes } => setup::run(yes),
        Command::Build => build::run().map(|binary| println!("built {}", binary.display())),
        Command::Lint => lint::run(),
        Command::Test => test::run(),
        Command::Demo => demo::run(),
        Command::Fuzz { minutes } => fuzz::run(minutes),
        Command::Verify => test::verify(),
        Command::Bench { what } => what.run(),
        Command::Package { check } => package::run(check),
        Command::Greet { port } => demo::greet(port),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
