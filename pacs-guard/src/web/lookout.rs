//! The lookout: takes one look for all who ask, and samples the drops while nobody does.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    Reach,
    drops::{Drops, STEP},
    view::{Facts, View},
};
use crate::{
    control::{Control, DaemonStatus, Request},
    datapath::{Counters, Pins},
    observe::{Reading, Totals, ask},
    seen::SeenRecord,
    state::Store,
};

/// How long a look is good for: so the work is bounded, however many ask.
const FRESH: Duration = Duration::from_millis(900);
/// How long what the daemon said is good for: to say whether its file differs, it reads all of it.
const DAEMON_FRESH: Duration = Duration::from_secs(5);

/// A view as JSON; or in words, why there is none.
pub(super) type Look = Result<Arc<str>, Arc<str>>;

pub(super) struct Lookout {
    pins: Pins,
    state_dir: PathBuf,
    control: Control,
    drops: Mutex<Drops>,
    last: Mutex<Option<(Instant, Look)>>,
    daemon: Mutex<Option<(Instant, DaemonStatus, Reach)>>,
}

impl Lookout {
    pub(super) fn new(pins: Pins, state_dir: PathBuf, control: Control) -> Self {
        Self {
            pins,
            state_dir,
            control,
            drops: Mutex::default(),
            last: Mutex::default(),
            daemon: Mutex::default(),
        }
    }

    /// Samples the drops for ever.
    pub(super) async fn watch(&self) {
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let pins = self.pins.clone();
            // What can't be read now is in the next sample.
            if let Ok(Ok(Some(counters))) = spawn_blocking(move || Counters::read(&pins)).await {
                self.drops.lock().await.sample(&Totals::from(&counters));
            }
        }
    }

    /// What the page shows now. Whoever asks while another one looks waits for that look.
    pub(super) async fn look(&self) -> Look {
        let mut last = self.last.lock().await;
        if let Some((at, look)) = &*last
            && at.elapsed() < FRESH
        {
            return look.clone();
        }
        let look = match self.facts().await {
            Ok(facts) => serde_json::to_string(&View::from(facts)).map_err(|why| why.to_string()),
            Err(why) => Err(why),
        };
        let look = look.map(Arc::from).map_err(Arc::from);
        *last = Some((Instant::now(), look.clone()));
        look
    }

    async fn facts(&self) -> Result<Facts, String> {
        let reading = Reading::take(&self.pins).await.map_err(|why| why.to_string())?;
        let (pins, state_dir) = (self.pins.clone(), self.state_dir.clone());
        let kept = spawn_blocking(move || {
            let seen = SeenRecord::read(&pins).map_err(|why| why.to_string())?;
            let history = Store::open(&state_dir).and_then(|store| store.history());
            Ok::<_, String>((seen, history.map_err(|why| why.to_string())?))
        });
        let (seen, history) = kept.await.map_err(|why| why.to_string())??;
        let (daemon, reach) = self.ask().await.unzip();
        let drops = self.drops.lock().await.clone();
        Ok(Facts { reading, daemon, reach, drops, seen, history })
    }

    /// What only the daemon's loop knows; `None` where it hangs.
    async fn ask(&self) -> Option<(DaemonStatus, Reach)> {
        let mut known = self.daemon.lock().await;
        if known.as_ref().is_none_or(|(at, ..)| at.elapsed() >= DAEMON_FRESH) {
            *known = None;
            let status = ask(&self.control, Request::Status).await?;
            let reach = ask(&self.control, Request::Reach).await?;
            *known = Some((Instant::now(), status, reach));
        }
        known.clone().map(|(_, status, reach)| (status, reach))
    }
}
