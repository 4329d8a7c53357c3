//! What the kernel's verifier says of the program: for `cargo xtask verify`.

use aya::{EbpfLoader, VerifierLogLevel, programs::ProgramError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Datapath, DatapathError, load};

/// The verifier's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The program's name, as the kernel cuts it.
    pub program: String,
    /// Instructions that the verifier walked through.
    pub walked: u32,
    /// Instructions of the program in the kernel, without those that the verifier took out.
    pub instructions: u32,
    /// Bytes of stack, the program first and then each of its functions, such as `232+16`.
    pub stack: String,
}

/// Loads the program twice, attached to nothing. `None` where the kernel gives no figures (before 5.16).
///
/// For a process with one thread: for a moment it can open no file.
pub fn verify() -> Result<Option<Verified>, DatapathError> {
    let info = Datapath::unpinned()?.program()?.info()?;
    let log = log()?;
    let stack = log.lines().find_map(|line| line.strip_prefix("stack depth ")).map(str::to_owned);
    Ok((|| {
        Some(Verified {
            program: info.name_as_str()?.to_owned(),
            walked: info.verified_instruction_count()?,
            instructions: info.size_translated()? / 8,
            stack: stack?,
        })
    })())
}

impl Datapath {
    /// Instructions that the verifier walked through; `None` before Linux 5.16.
    pub fn verified_instructions(&mut self) -> Result<Option<u32>, DatapathError> {
        Ok(self.program()?.info()?.verified_instruction_count())
    }
}

/// The verifier's log.
///
/// The loader shows it only where a load fails. So one does, after the verifier is done and content: the kernel
/// finds no number for the file descriptor of the program.
fn log() -> Result<String, DatapathError> {
    let mut loader = EbpfLoader::new();
    // Without its log calls, as the daemon loads it.
    loader.verifier_log_level(VerifierLogLevel::STATS).override_global(aya_log::LEVEL, &0_u8, true);
    let mut ebpf = loader.load(load::OBJECT)?;
    let program = load::program(&mut ebpf)?;
    let limits = |why: nix::Error| DatapathError::Limits(why.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(limits)?;
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).map_err(limits)?;
    let loaded = program.load();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(limits)?;
    match loaded {
        Err(ProgramError::LoadError { verifier_log, .. }) => Ok(verifier_log.to_string()),
        Err(other) => Err(other.into()),
        Ok(()) => Ok(String::new()),
    }
}
