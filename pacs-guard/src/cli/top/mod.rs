//! `top`: the live screen. It reads the pinned maps each second, and asks the daemon where one answers.

mod draw;
mod keys;
mod sample;
mod screen;
#[cfg(test)]
mod tests;

use std::{
    io::IsTerminal,
    path::Path,
    sync::mpsc::{Sender, channel},
    thread,
    time::Duration,
};

use anyhow::bail;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, args::Args, block_on, explain, terminal};
use crate::datapath::Pins;
use keys::Wish;
use sample::Sample;
use screen::Screen;

/// Time from one look at the kernel to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the screen waits for.
enum News {
    Terminal(Event),
    Sample(Box<anyhow::Result<Sample>>),
    /// Somebody wants the process to end.
    End,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.json {
        bail!("`top` draws for people: `pacs-guard status --json` and `counters --json` are for machines");
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("`top` needs a terminal: `pacs-guard status` and `pacs-guard counters` write lines");
    }
    // What can't be read at all is said before the screen is taken.
    let mut screen = Screen::new(Sample::take(&args.pins()?, &args.socket())?, terminal::stdout_has_colour());
    // Restores the terminal after a panic too.
    let mut terminal = ratatui::try_init()?;
    let shown = show(args, &mut screen, &mut terminal);
    ratatui::try_restore()?;
    shown.map(|()| Exit::Fine)
}

fn show(args: &Args, screen: &mut Screen, terminal: &mut ratatui::DefaultTerminal) -> anyhow::Result<()> {
    let (send, news) = channel();
    // These end with the process.
    let (ends, keys, samples) = (send.clone(), send.clone(), send);
    let (pins, socket) = (args.pins()?, args.socket());
    thread::Builder::new().name("signals".into()).spawn(move || wait_for_end(&ends))?;
    thread::Builder::new().name("keys".into()).spawn(move || read_keys(&keys))?;
    thread::Builder::new().name("samples".into()).spawn(move || sample(&pins, &socket, &samples))?;
    loop {
        terminal.draw(|frame| draw::draw(frame, screen))?;
        match news.recv()? {
            News::End => return Ok(()),
            News::Sample(sample) => screen.take(*sample),
            News::Terminal(Event::Key(key)) => match screen.press(key) {
                Wish::Nothing => {}
                Wish::End => return Ok(()),
                Wish::Explain(source) => {
                    let (address, port) = (source.source, source.port);
                    let udp = source.protocol == 17;
                    screen.explained(&source, explain::in_force(args, address, port, udp));
                }
            },
            News::Terminal(_) => {}
        }
    }
}

fn sample(pins: &Pins, socket: &Path, to: &Sender<News>) {
    loop {
        thread::sleep(INTERVAL);
        if to.send(News::Sample(Box::new(Sample::take(pins, socket)))).is_err() {
            return;
        }
    }
}

fn read_keys(to: &Sender<News>) {
    // A terminal that is gone is an end too.
    while let Ok(event) = event::read() {
        if to.send(News::Terminal(event)).is_err() {
            return;
        }
    }
    to.send(News::End).ok();
}

/// Ctrl-C is a key while the screen is drawn; these come from elsewhere.
fn wait_for_end(to: &Sender<News>) {
    let ended = block_on(async {
        let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    });
    if ended.is_ok() {
        to.send(News::End).ok();
    }
}
