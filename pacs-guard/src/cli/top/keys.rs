//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::screen::{Screen, Sheet};
use crate::seen::SeenRecord;

/// The keys, for the screen that `?` shows.
pub(super) const HELP: &str = "\
Up Down, k j   select a source, PageUp and PageDown ten at once
Enter, e       explain what happens to it, and which line of the policy decides
/              show only what contains a text: Enter keeps it, Esc ends it
s              sort: recent, most, name
p, space       pause, and go on
?              these keys
q, Ctrl-C      end

A source is shown on the port that it asked for last, as the kernel keeps it.
AE titles are known where `pacs-guard learn --for 1d` had them noted.";

/// What a key asks of the loop.
#[derive(Debug)]
pub(super) enum Wish {
    Nothing,
    End,
    Explain(Box<SeenRecord>),
}

impl Screen {
    /// Does what a key stands for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::End;
        }
        if self.typing {
            self.type_filter(key.code);
            return Wish::Nothing;
        }
        // Any key takes a sheet away, and does nothing else.
        if self.sheet.take().is_some() {
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Wish::End,
            KeyCode::Char('?' | 'h') => self.sheet = Some(Sheet::Help),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p' | ' ') => self.pause(),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::PageUp => self.move_by(-10),
            KeyCode::PageDown => self.move_by(10),
            KeyCode::Enter | KeyCode::Char('e') => {
                return self.source().map_or(Wish::Nothing, |source| Wish::Explain(Box::new(source)));
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }
}
