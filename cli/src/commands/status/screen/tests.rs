use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;

fn status() -> Value {
    let pod = |name: &str, state: &str, ready: &str, well: bool| json!({"namespace": "platform", "name": name, "state": state, "ready": ready, "well": well, "restarts": 0, "created": "2026-11-25T09:58:30Z"});
    let node = |name: &str, state: &str, cpu: Value| json!({"name": name, "pool": "backend", "state": state, "pods": 3, "cpu": cpu, "cpuAllocatable": 1900, "created": "2026-11-25T09:00:00Z"});
    json!({
        "environment": "local", "console": "http://127.0.0.1:8080", "isolation": "none",
        "stacks": [{"name": "base", "state": "succeeded"}, {"name": "deploy", "state": "rolling out"}],
        "pools": [
            {"name": "systempool", "vmSize": "Standard_B2s", "min": 1, "max": 1, "nodes": 1, "ready": 1, "pods": 5},
            {"name": "backend", "vmSize": "Standard_B2s", "min": 1, "max": 5, "nodes": 2, "ready": 1, "pods": 4},
        ],
        "hpas": [{"name": "backend", "min": 2, "max": 10, "current": 2, "desired": 4, "metrics": [{"name": "cpu", "utilization": 130, "target": 70}],
            "reason": "SucceededRescale: the HPA controller was able to update the target scale to 4"}],
        "nodes": [node("aks-backend-1", "Ready", json!(950)), node("aks-backend-2", "NotReady", Value::Null)],
        "pods": [pod("backend-7d9-x2x8z", "Pending", "0/1", false), pod("backend-7d9-k4j2p", "Running", "1/1", true)],
        "events": [{"at": "2026-11-25T09:59:48Z", "type": "Warning", "reason": "FailedScheduling", "object": "pod/backend-7d9-x2x8z", "message": "0/3 nodes are available:\n1 Insufficient cpu."}],
        "cost": {"hour": 0.277, "month": 202.45, "currency": "USD", "region": "eastus"},
    })
}

/// What a terminal of that size shows, without trailing spaces.
fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let now = "2026-11-25T10:00:00Z".parse().unwrap();
    terminal.draw(|frame| screen.draw(frame, now)).unwrap();
    let buffer = terminal.backend().buffer();
    let lines = (0..height).map(|y| {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn screen() -> Screen {
    let mut screen = Screen::new(false);
    screen.read(Ok(status()));
    screen
}

#[test]
fn everything_stands_on_one_screen() {
    let found = drawn(&mut screen(), 120, 30);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/status/screen/dashboard.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &found).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert!(found == expected, "UPDATE_GOLDEN=1 writes it anew; it is now:\n{found}");
}

#[test]
fn a_small_terminal_shows_the_pane_in_focus() {
    let mut screen = screen();
    let text = drawn(&mut screen, 60, 12);
    assert!(text.contains("Pools 2") && !text.contains("Events"), "{text}");
    screen.act(Action::Previous);
    let text = drawn(&mut screen, 60, 12);
    assert!(text.contains("Events 1") && text.contains("FailedScheduling") && !text.contains("Pools"), "{text}");
    for (width, height) in [(1, 1), (10, 3), (80, 2), (3, 80), (250, 100)] {
        drawn(&mut screen, width, height);
    }
}

#[test]
fn keys_move_within_bounds_and_close_help_first() {
    let mut screen = screen();
    for action in [Action::Up, Action::Down, Action::Last, Action::Down, Action::PageDown] {
        assert!(screen.act(action));
    }
    assert_eq!(screen.selected[0].selected(), Some(1));
    screen.act(Action::PageUp);
    assert_eq!(screen.selected[0].selected(), Some(0));
    assert!(screen.act(Action::Help));
    assert!(drawn(&mut screen, 100, 30).contains("Shift-Tab"));
    assert!(screen.act(Action::Close), "the first closes the help");
    assert!(!screen.act(Action::Close));
}

#[test]
fn a_failed_reading_keeps_what_was_seen_and_says_so() {
    let mut screen = screen();
    screen.read(Err("no local cloud runs in /x\nmore".into()));
    let text = drawn(&mut screen, 120, 30);
    assert!(
        text.contains("No answer, trying again: no local cloud runs in /x") && text.contains("aks-backend-1"),
        "{text}"
    );
    // Rows that went leave the selection on one that is there.
    screen.act(Action::Last);
    let mut fewer = status();
    fewer["pools"] = json!([]);
    screen.read(Ok(fewer));
    assert_eq!(screen.selected[0].selected(), Some(0));
    let mut empty = Screen::new(true);
    assert!(drawn(&mut empty, 100, 30).contains("Reading …"));
}

#[test]
fn ages_are_kubectl_s() {
    let now = "2026-11-25T10:00:00Z".parse().unwrap();
    for (since, expected) in [
        ("2026-11-25T09:58:01Z", "119s"),
        ("2026-11-25T09:58:00Z", "2m"),
        ("2026-11-25T08:00:01Z", "119m"),
        ("2026-11-25T08:00:00Z", "2h"),
        ("2026-11-20T10:00:00Z", "5d"),
        ("2026-11-25T10:00:05Z", "0s"),
        ("soon", "-"),
    ] {
        assert_eq!(age(&json!(since), now), expected, "{since}");
    }
}

#[test]
fn bars_are_at_most_ten_wide() {
    for (nodes, max, expected) in
        [(2, 5, "■■□□□"), (0, 0, ""), (3, 2, "■■■"), (50, 100, "■■■■■□□□□□"), (1, 100, "■□□□□□□□□□")]
    {
        assert_eq!(bar(nodes, max), expected, "{nodes} of {max}");
    }
}
