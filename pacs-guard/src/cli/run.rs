//! `run`: the daemon, in the foreground.

use anyhow::Context;
use clap::{CommandFactory, error::ErrorKind};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{
    Exit,
    args::{Args, Run},
    status, terminal,
};
use crate::{
    daemon::{self, Options, StartError},
    datapath::{LogLevel, Pins},
    observe::MetricsAddress,
};

pub(super) fn run(args: &Args, verb: &Run) -> anyhow::Result<Exit> {
    refuse_what_strangers_reach(verb);
    start_log()?;
    let pins = args.pins()?;
    let options = Options {
        policy: verb.file.policy.clone(),
        interfaces: verb.interface.clone(),
        xdp_mode: verb.xdp.mode,
        pins: pins.clone(),
        state_dir: args.state_dir.clone(),
        socket: args.socket(),
        watch: verb.watch,
        detach: verb.detach,
        metrics: verb.metrics,
        web: verb.web,
        last_good: false,
        program_log: if verb.program_log { LogLevel::Debug } else { LogLevel::Off },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match runtime.block_on(daemon::run(options)) {
        Ok(()) => Ok(Exit::Fine),
        Err(why) => match why.downcast_ref::<StartError>() {
            Some(StartError::Invalid(rejected)) => {
                terminal::eprint!("{}", rejected.render(terminal::stderr_has_colour()));
                Ok(refused(&pins))
            }
            Some(unfit @ StartError::Unfit(_)) => {
                terminal::error(&unfit.to_string());
                Ok(refused(&pins))
            }
            _ => Err(why),
        },
    }
}

/// Says what stands after the policy was refused and no last good one was there.
fn refused(pins: &Pins) -> Exit {
    match status::policy_in_force(pins) {
        Ok(Some(policy)) => {
            tracing::error!("no daemon runs; policy {policy} was in force before, and stays so");
            Exit::Invalid
        }
        Ok(None) => {
            tracing::error!(
                "ALERT: NOT ENFORCING. The policy is refused, and there is no last good one: whoever reaches this \
                 host reaches its DICOM ports. Mend the policy, then start pacs-guard again"
            );
            Exit::NotEnforcing
        }
        Err(why) => {
            tracing::error!("ALERT: the policy is refused, and what is in force is not known: {why:#}");
            Exit::NotEnforcing
        }
    }
}

/// A wrong command line, said and ended as clap does.
fn refuse_what_strangers_reach(verb: &Run) {
    if let MetricsAddress::At(address) = verb.metrics
        && !address.ip().is_loopback()
        && !verb.metrics_beyond_loopback
    {
        let what = format!(
            "{address} is no loopback address: whoever reaches it would read the names and counters of the policy; \
             add --metrics-beyond-loopback where that is meant"
        );
        Args::command().error(ErrorKind::ArgumentConflict, what).exit()
    }
}

/// To standard error; under systemd the journal adds the time.
pub(super) fn start_log() -> anyhow::Result<()> {
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
