//! `marea status --watch` on a terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;
use tokio::sync::mpsc;

use super::screen::{Action, Screen};
use crate::error::{CliError, Result};

/// How often the platform is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the reader of keys waits before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// The terminal in its other screen; as it was before when this goes, whichever way. A panic restores it too, by the hook that
/// `ratatui::init` sets.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Reads keys on a thread of its own, which ends with this.
struct Keys {
    events: mpsc::Receiver<Event>,
    wanted: Arc<AtomicBool>,
}

impl Keys {
    fn start() -> Keys {
        let (sender, events) = mpsc::channel(64);
        let wanted = Arc::new(AtomicBool::new(true));
        let still = wanted.clone();
        std::thread::spawn(move || {
            while still.load(Ordering::Relaxed) {
                let sent = match event::poll(KEY_WAIT) {
                    Ok(true) => event::read().is_ok_and(|event| sender.blocking_send(event).is_ok()),
                    Ok(false) => true,
                    Err(_) => false,
                };
                if !sent {
                    return;
                }
            }
        });
        Keys { events, wanted }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

/// Shows the first reading, then reads again and again until a key closes it or the terminal goes away.
pub async fn run<F, R>(first: Value, read: F) -> Result<()>
where
    F: Fn() -> R,
    R: Future<Output = Result<Value>>,
{
    let mut terminal = ratatui::try_init().map_err(|error| {
        CliError::failed(format!("the terminal cannot be used: {error}"))
            .advice("`marea status --watch | cat` prints plain lines.")
    })?;
    let _guard = Guard;
    let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| CliError::failed(format!("signals cannot be received: {error}")))?;
    let mut keys = Keys::start();
    let mut screen = Screen::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    screen.read(Ok(first));
    let mut reading = Box::pin(read());
    let mut asking = true;
    let mut next = tokio::time::interval(INTERVAL);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        terminal
            .draw(|frame| screen.draw(frame, jiff::Timestamp::now()))
            .map_err(|error| CliError::failed(format!("the terminal cannot be drawn to: {error}")))?;
        // One question at a time: a slow platform is asked less often, and keys are answered meanwhile.
        tokio::select! {
            status = &mut reading, if asking => {
                asking = false;
                screen.read(status.map_err(|error| error.message));
            }
            _ = next.tick() => {
                if !asking {
                    reading = Box::pin(read());
                    asking = true;
                }
            }
            event = keys.events.recv() => match event {
                None => return Ok(()),
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if is_interrupt(key) || action(key).is_some_and(|action| !screen.act(action)) {
                        return Ok(());
                    }
                }
                // A resize draws anew with the new size.
                Some(_) => {}
            },
            _ = stop.recv() => return Ok(()),
        }
    }
}

/// In raw mode the terminal sends Ctrl-C as a key.
fn is_interrupt(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd'))
}

fn action(key: KeyEvent) -> Option<Action> {
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Action::Close,
        KeyCode::Char('?' | 'h') => Action::Help,
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Action::Next,
        KeyCode::BackTab | KeyCode::Left => Action::Previous,
        KeyCode::Up | KeyCode::Char('k') => Action::Up,
        KeyCode::Down | KeyCode::Char('j') => Action::Down,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_actions() {
        let press = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(action(press(KeyCode::Char('q'))), Some(Action::Close));
        assert_eq!(action(press(KeyCode::BackTab)), Some(Action::Previous));
        assert_eq!(action(press(KeyCode::Char('x'))), None);
        assert!(is_interrupt(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!is_interrupt(press(KeyCode::Char('c'))));
    }
}
