//! `restore`: the last good policy in force again, for a boot, with no daemon left behind.

use super::{
    Exit,
    args::{Args, Restore},
    log, terminal,
};
use crate::{
    daemon::{self, Options, StartError},
    datapath::LogLevel,
    observe::MetricsAddress,
};

pub(super) fn run(args: &Args, verb: &Restore) -> anyhow::Result<Exit> {
    log::start()?;
    let options = Options {
        // Not looked at: what was in force comes from the state folder.
        policy: Default::default(),
        interfaces: Vec::new(),
        xdp_mode: verb.xdp.mode,
        pins: args.pins()?,
        state_dir: args.state_dir.clone(),
        socket: args.socket(),
        watch: false,
        detach: false,
        program_log: LogLevel::Off,
        metrics: MetricsAddress::Off,
        web: None,
        last_good: true,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match runtime.block_on(daemon::restore(options)) {
        Ok(names) if names.is_empty() => {
            terminal::error("none of the policy's interfaces is there yet: nothing is enforced");
            Ok(Exit::NotEnforcing)
        }
        Ok(_) => Ok(Exit::Fine),
        Err(why @ StartError::NothingToRestore) => {
            terminal::error(&why.to_string());
            Ok(Exit::NotEnforcing)
        }
        Err(why) => Err(why.into()),
    }
}
