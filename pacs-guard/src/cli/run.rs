//! `run`: the daemon, in the foreground.

use clap::{CommandFactory, error::ErrorKind};

use super::{
    Exit,
    args::{Args, Run},
    log, status, terminal,
};
use crate::{
    daemon::{self, Options, StartError},
    datapath::{LogLevel, Pins},
    observe::MetricsAddress,
    web::Place,
};

pub(super) fn run(args: &Args, verb: &Run) -> anyhow::Result<Exit> {
    refuse_what_strangers_reach(verb);
    let web = place(verb);
    log::start()?;
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
        web,
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

/// Where the status page is served; a wrong command line, as above.
fn place(verb: &Run) -> Option<Place> {
    let (certificate, key, token) = (&verb.web_cert, &verb.web_key, &verb.web_token_file);
    let place = Place::new(verb.web?, certificate.clone(), key.clone(), token.clone());
    Some(place.unwrap_or_else(|what| Args::command().error(ErrorKind::MissingRequiredArgument, what).exit()))
}
