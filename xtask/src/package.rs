//! `cargo xtask package`: a Debian package and an RPM, and with `--check` what they do to a system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{build, lab, shell};

/// Makes both packages; with `check`, tries them as well.
pub(crate) fn run(check: bool) -> Result<()> {
    for tool in ["cargo-deb", "cargo-generate-rpm"] {
        ensure!(shell::find(tool).is_some(), "{tool} is missing: `cargo install --locked {tool}`");
    }
    let binary = build::run()?;
    // Named in Cargo.toml, where no other target folder can be.
    let folder = shell::root().join("target/package");
    fs::create_dir_all(&folder)?;
    println!("== man pages and completions");
    let out = folder.display().to_string();
    shell::run(&mut shell::cargo(&[
        "run",
        "--quiet",
        "--package",
        "pacs-guard",
        "--example",
        "manual",
        "--",
        &out,
    ]))?;
    fs::write(folder.join("changelog.deb"), changelog()?)?;
    println!("== Debian package");
    let deb =
        folder.join(format!("pacs-guard_{}-1_{}.deb", env!("CARGO_PKG_VERSION"), debian_architecture()?));
    shell::run(&mut cargo_deb(&deb, "1"))?;
    println!("== RPM");
    let rpm =
        folder.join(format!("pacs-guard-{}-1.{}.rpm", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH));
    shell::run(&mut generate_rpm(&rpm, "1"))?;
    if check {
        self::check(&folder, &deb, &rpm)?;
    }
    for file in [&binary, &deb, &rpm] {
        println!("{:>8.1} MiB  {}", fs::metadata(file)?.len() as f64 / f64::from(1 << 20), file.display());
    }
    Ok(())
}

fn cargo_deb(output: &Path, revision: &str) -> Command {
    let mut deb = shell::cargo(&[
        "deb",
        "--package",
        "pacs-guard",
        "--no-build",
        "--deb-revision",
        revision,
        "--output",
    ]);
    deb.arg(output);
    deb
}

fn generate_rpm(output: &Path, release: &str) -> Command {
    let mut rpm =
        shell::cargo(&["generate-rpm", "--package", "pacs-guard", "--auto-req", "builtin", "--set-metadata"]);
    rpm.arg(format!("release = \"{release}\"")).arg("--output").arg(output);
    rpm.arg("--target-dir").arg(shell::target_dir());
    rpm
}

/// lintian reads the first one; a clean Debian takes, upgrades and loses each of them, over a running enforcement.
fn check(folder: &Path, deb: &Path, rpm: &Path) -> Result<()> {
    ensure!(lab::is_root(), "a clean Debian is set up and entered, and that needs root");
    for tool in ["lintian", "debootstrap"] {
        ensure!(shell::find(tool).is_some(), "{tool} is missing: `apt-get install {tool}`");
    }
    println!("== completions");
    for (shell, file) in [("bash", "pacs-guard.bash"), ("zsh", "_pacs-guard"), ("fish", "pacs-guard.fish")] {
        match shell::find(shell) {
            Some(shell) => {
                shell::run(Command::new(shell).arg("-n").arg(folder.join("completions").join(file)))?
            }
            None => println!("not run: {shell} is not installed"),
        }
    }
    println!("== lintian");
    shell::run(Command::new("lintian").args(["--fail-on", "error,warning,info", "--display-info"]).arg(deb))?;
    println!("== a clean Debian");
    let trial = folder.join("trial");
    fs::create_dir_all(&trial)?;
    for (package, name) in [(deb, "first.deb"), (rpm, "first.rpm")] {
        fs::copy(package, trial.join(name))?;
    }
    shell::run(&mut cargo_deb(&trial.join("second.deb"), "2"))?;
    shell::run(&mut generate_rpm(&trial.join("second.rpm"), "2"))?;
    let root = clean_debian(folder)?;
    let mut tests = shell::cargo(&[
        "test",
        "--package",
        "pacs-guard",
        "--test",
        "e2e",
        "--",
        "--ignored",
        "--nocapture",
        "package",
    ]);
    shell::run(tests.env("PACS_GUARD_DEBIAN", root).env("PACS_GUARD_PACKAGES", trial))
}

/// An unpacked Debian with systemd's tools and rpm, made once. Each test works on a copy.
fn clean_debian(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("debian");
    if !root.join("usr/bin/rpm").exists() {
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        ensure!(
            shell::find("debootstrap").is_some(),
            "debootstrap is missing: `apt-get install debootstrap`"
        );
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", "--include=systemd,systemd-sysv,iproute2,rpm", "bookworm"]);
        shell::run(debootstrap.arg(&root))?;
    }
    Ok(root)
}

/// Debian wants its own form of it; what changed is in CHANGELOG.md.
fn changelog() -> Result<String> {
    let mut git = Command::new("git");
    let date = git.args(["log", "-1", "--format=%cD"]).current_dir(shell::root()).output().context("git")?;
    let date = String::from_utf8(date.stdout)?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "pacs-guard ({version}-1) unstable; urgency=medium\n\n  * Version {version}: see CHANGELOG.md.\n\n \
         -- The pacs-guard project <pacs-guard@localhost>  {}\n",
        date.trim()
    ))
}

fn debian_architecture() -> Result<String> {
    let out = Command::new("dpkg").arg("--print-architecture").output().context("dpkg")?;
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}
