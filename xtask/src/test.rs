//! `cargo xtask test`: everything that CI runs, with the time of each step.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{lab, lint, setup, shell};

/// Runs every step; the first that fails ends it. The table comes either way.
pub(crate) fn run() -> Result<()> {
    ensure!(
        lab::is_root(),
        "the tests load programs into the kernel and make network namespaces: run them as root"
    );
    let mut steps: Vec<lint::Step> = vec![("set-up", || setup::run(false))];
    steps.extend(lint::STEPS);
    // Before the tests, so that the runner's summary ends the output.
    steps.push(("demo", demo));
    let runner: &[lint::Step] = if shell::find("cargo-nextest").is_some() {
        &[("compile the tests", nextest_compile), ("examples in the documentation", doc), ("tests", nextest)]
    } else {
        &[("compile the tests", compile), ("tests", test)]
    };
    steps.extend(runner);
    let mut times = Vec::new();
    let done = steps.into_iter().try_for_each(|(name, step)| timed(name, step, &mut times));
    println!("\n{:>8}  step", "seconds");
    for (name, time) in &times {
        println!("{:>8.1}  {name}", time.as_secs_f64());
    }
    println!("{:>8.1}  in all", times.iter().map(|(_, time)| time.as_secs_f64()).sum::<f64>());
    done
}

/// Prints the verifier's figures; fails where they pass the budget in `tests/verifier.rs`.
pub(crate) fn verify() -> Result<()> {
    ensure!(lab::is_root(), "the verifier judges what is loaded into the kernel, and that needs root");
    shell::run(&mut shell::cargo(&["test", "--quiet", "--test", "verifier", "--", "--nocapture"]))
}

fn timed(name: &'static str, step: fn() -> Result<()>, times: &mut Vec<(&str, Duration)>) -> Result<()> {
    println!("\n== {name}");
    let start = Instant::now();
    let done = step();
    times.push((name, start.elapsed()));
    println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    done.context(name)
}

/// A process of its own, since the demo catches the signals that should end the tests.
fn demo() -> Result<()> {
    shell::run(Command::new(std::env::current_exe()?).arg("demo"))
}

// Unit, property and root tests are one run, so that the runner's summary counts them all.

fn nextest_compile() -> Result<()> {
    shell::run(&mut shell::cargo(&["nextest", "run", "--no-run"]))
}

fn nextest() -> Result<()> {
    shell::run(&mut shell::cargo(&["nextest", "run", "--no-fail-fast"]))
}

// nextest leaves these out.
fn doc() -> Result<()> {
    shell::run(&mut shell::cargo(&["test", "--doc"]))
}

fn compile() -> Result<()> {
    shell::run(&mut shell::cargo(&["test", "--no-run"]))
}

fn test() -> Result<()> {
    shell::run(&mut shell::cargo(&["test", "--no-fail-fast"]))
}
