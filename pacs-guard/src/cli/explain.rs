//! `explain`: what happens to a packet, offline or by the loaded program itself.

use std::{
    io::{BufRead, Write},
    net::IpAddr,
};

use anyhow::{Context, bail};
use pacs_guard_common::{packet::parse, verdict::judge};

use super::{
    Exit, args,
    live::{Asked, Facts, Live},
    terminal,
};
use crate::{
    capture,
    datapath::{Counters, InForce, SHORTEST_FRAME, Trial},
    explain::Explanation,
    first_packet::{first_packet, protected_at},
    image::{Card, Image, Ledger, compile},
    policy::{
        Checked,
        model::{Policy, Transport},
    },
    state::Store,
};

pub(super) fn run(args: &args::Args, verb: &args::Explain) -> anyhow::Result<Exit> {
    let mut judge = if verb.live {
        match Judge::live(args)? {
            Some(judge) => judge,
            None => {
                terminal::error("nothing is in force here: without `--live`, a policy file is judged by");
                return Ok(Exit::NotEnforcing);
            }
        }
    } else {
        match super::read_policy(&verb.file.policy) {
            Some(checked) => Judge::new(checked, verb.kernel)?,
            None => return Ok(Exit::Invalid),
        }
    };
    let packet = match (verb.source, verb.port) {
        (Some(source), Some(port)) => Some(frame_of(&judge.checked.policy, source, verb.to, port, verb.udp)?),
        _ => None,
    };
    if let (Some(frame), Some(source), Some(port), Some(live)) =
        (&packet, verb.source, verb.port, judge.live.clone())
    {
        let asked = Asked { source, port, udp: verb.udp, echo: verb.echo };
        let explanation = judge.explain(frame)?;
        let facts = Facts::gather(args, &asked, &explanation, &judge.checked.policy)?;
        facts.tell(args.json, &asked, &explanation, &live)?;
        return Ok(Exit::Fine);
    }
    let mut out = std::io::stdout().lock();
    let mut tell = |frame: &[u8]| -> anyhow::Result<()> {
        let explanation = judge.explain(frame)?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&explanation)?)?;
        } else {
            writeln!(out, "{explanation}")?;
            if let Some(live) = &judge.live {
                writeln!(out, "  {}", live.words(&explanation))?;
            }
        }
        Ok(())
    };
    if let Some(path) = &verb.pcap {
        capture::read(path, |frame, _| tell(frame)).with_context(|| path.display().to_string())?;
    } else if verb.frame.as_deref() == Some("-") {
        for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
            let line = line?;
            if !line.trim().is_empty() {
                capture::from_hex(&line)
                    .map_err(anyhow::Error::from)
                    .and_then(|frame| tell(&frame))
                    .with_context(|| format!("line {number} of standard input"))?;
            }
        }
    } else if let Some(hex) = &verb.frame {
        tell(&capture::from_hex(hex).context("--frame")?)?;
    } else if let Some(frame) = packet {
        tell(&frame)?;
    }
    Ok(Exit::Fine)
}

/// What happens to the first packet of a source by what is in force, in words.
///
/// # Errors
/// Where nothing is in force or that can't be read, or no packet of the source can be made.
pub(super) fn in_force(args: &args::Args, source: IpAddr, port: u16, udp: bool) -> anyhow::Result<String> {
    let mut judge = Judge::live(args)?.context("nothing is in force here")?;
    let frame = frame_of(&judge.checked.policy, source, None, port, udp)?;
    let explanation = judge.explain(&frame)?;
    let live = judge.live.as_ref().map(|live| live.words(&explanation)).unwrap_or_default();
    Ok(format!("{explanation}\n  {live}"))
}

/// The first packet that a source sends to a port.
fn frame_of(
    policy: &Policy,
    source: IpAddr,
    to: Option<IpAddr>,
    port: u16,
    udp: bool,
) -> anyhow::Result<Vec<u8>> {
    let transport = if udp { Transport::Udp } else { Transport::Tcp };
    let to = to.unwrap_or_else(|| protected_at(policy, source, transport, port));
    first_packet(source, to, transport, port)
        .with_context(|| format!("{source} and {to} are not of one address family"))
}

/// Who judges the frames.
struct Judge {
    checked: Checked,
    image: Image,
    ledger: Ledger,
    trial: Option<Trial>,
    live: Option<Live>,
}

impl Judge {
    fn new(checked: Checked, kernel: bool) -> anyhow::Result<Self> {
        let mut ledger = Ledger::default();
        let card = Card::new(&checked, jiff::Timestamp::now(), None);
        let image = compile(&checked.policy, &mut ledger, 1, &card)?;
        let trial = if kernel { Some(Trial::new(&image, ledger.clone())?) } else { None };
        Ok(Self { checked, image, ledger, trial, live: None })
    }

    /// Judges by the image that the kernel holds; `None` where nothing is in force.
    fn live(args: &args::Args) -> anyhow::Result<Option<Self>> {
        let pins = args.pins()?;
        let (Some(in_force), Some(counters)) = (InForce::read(&pins)?, Counters::read(&pins)?) else {
            return Ok(None);
        };
        let image = in_force.image;
        let card = image.card().context("what is in force does not say which policy it is")?;
        let checked = Store::open(&args.state_dir)?.read(&card.sha256)?;
        let ledger = counters.ledger().clone();
        Ok(Some(Self { checked, image, ledger, trial: None, live: Some(Live { card, counters }) }))
    }

    fn explain(&mut self, frame: &[u8]) -> anyhow::Result<Explanation> {
        let (packet, counter) = match &mut self.trial {
            None => {
                let judgement = judge(&frame, &self.image);
                (judgement.packet, judgement.ruling.counter)
            }
            Some(trial) => {
                if frame.len() < SHORTEST_FRAME {
                    bail!(
                        "the kernel takes no frame under {SHORTEST_FRAME} bytes, and this one has {}",
                        frame.len()
                    );
                }
                let answer = trial.run(frame)?.context("the program booked the frame on no counter")?;
                (parse(&frame).packet, answer.counter)
            }
        };
        let booking =
            self.ledger.booking(counter).context("the frame was booked on a counter without a name")?;
        Ok(Explanation::new(packet, booking, &self.checked.policy))
    }
}
