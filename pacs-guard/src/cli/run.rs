//! `run`: the daemon, in the foreground.

use anyhow::Context;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{
    Exit,
    args::{Args, Run},
    terminal,
};
use crate::{
    daemon::{self, Options, StartError},
    datapath::LogLevel,
};

pub(super) fn run(args: &Args, verb: &Run) -> anyhow::Result<Exit> {
    start_log()?;
    let options = Options {
        policy: verb.file.policy.clone(),
        interfaces: verb.interface.clone(),
        xdp_mode: verb.xdp_mode,
        pins: args.pins()?,
        state_dir: args.state_dir.clone(),
        socket: args.socket(),
        detach: verb.detach,
        program_log: if verb.program_log { LogLevel::Debug } else { LogLevel::Off },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match runtime.block_on(daemon::run(options)) {
        Ok(()) => Ok(Exit::Fine),
        Err(why) => match why.downcast_ref::<StartError>() {
            Some(StartError::Invalid(rejected)) => {
                anstream::eprint!("{}", rejected.render(terminal::stderr_has_colour()));
                Ok(Exit::Invalid)
            }
            _ => Err(why),
        },
    }
}

/// To standard error; under systemd the journal adds the time.
fn start_log() -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_env_var("PACS_GUARD_LOG")
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .context("PACS_GUARD_LOG")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::stderr_has_colour())
        .with_target(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    Ok(())
}
