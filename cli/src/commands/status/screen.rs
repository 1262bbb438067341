//! The dashboard's state and how it is drawn. No terminal is touched here, so that tests draw into a buffer.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState};
use serde_json::Value;

use super::rate;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Pools,
    Hpas,
    Nodes,
    Pods,
    Events,
}

impl Pane {
    const ALL: [Pane; 5] = [Pane::Pools, Pane::Nodes, Pane::Hpas, Pane::Pods, Pane::Events];

    fn key(self) -> &'static str {
        match self {
            Pane::Pools => "pools",
            Pane::Hpas => "hpas",
            Pane::Nodes => "nodes",
            Pane::Pods => "pods",
            Pane::Events => "events",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Pane::Pools => "Pools",
            Pane::Hpas => "Autoscalers",
            Pane::Nodes => "Nodes",
            Pane::Pods => "Pods",
            Pane::Events => "Events",
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Next,
    Previous,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Help,
    Close,
}

pub struct Screen {
    /// As `marea status --json` has it, with nodes, pods, events and cost.
    status: Value,
    /// Why the last reading failed, if it did.
    problem: Option<String>,
    focus: usize,
    selected: [TableState; 5],
    help: bool,
    colours: bool,
}

/// Below either, one pane has the whole screen.
const SMALL: (u16, u16) = (80, 20);
const PAGE: isize = 10;

impl Screen {
    pub fn new(colours: bool) -> Screen {
        Screen {
            status: Value::Null,
            problem: None,
            focus: 0,
            selected: std::array::from_fn(|_| TableState::default().with_selected(0)),
            help: false,
            colours,
        }
    }

    /// A failed reading leaves what was seen last and says so.
    pub fn read(&mut self, reading: Result<Value, String>) {
        match reading {
            Ok(status) => (self.status, self.problem) = (status, None),
            Err(problem) => self.problem = Some(problem),
        }
        for (index, pane) in Pane::ALL.into_iter().enumerate() {
            let last = self.rows(pane).len().saturating_sub(1);
            let state = &mut self.selected[index];
            state.select(Some(state.selected().unwrap_or(0).min(last)));
        }
    }

    /// `false` where the key closes the dashboard.
    pub fn act(&mut self, action: Action) -> bool {
        let panes = Pane::ALL.len();
        match action {
            Action::Close if self.help => self.help = false,
            Action::Close => return false,
            Action::Help => self.help = !self.help,
            Action::Next => self.focus = (self.focus + 1) % panes,
            Action::Previous => self.focus = (self.focus + panes - 1) % panes,
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-PAGE),
            Action::PageDown => self.step(PAGE),
            Action::First => self.step(isize::MIN),
            Action::Last => self.step(isize::MAX),
        }
        true
    }

    fn step(&mut self, rows: isize) {
        let last = self.rows(Pane::ALL[self.focus]).len().saturating_sub(1);
        let state = &mut self.selected[self.focus];
        let now = state.selected().unwrap_or(0);
        state.select(Some(now.saturating_add_signed(rows).min(last)));
    }

    fn rows(&self, pane: Pane) -> &[Value] {
        self.status[pane.key()].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// `now` in RFC 3339, for ages.
    pub fn draw(&mut self, frame: &mut Frame<'_>, now: jiff::Timestamp) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
        frame.render_widget(self.head(), head);
        if body.width < SMALL.0 || body.height + 3 < SMALL.1 {
            self.pane(frame, Pane::ALL[self.focus], body, now);
        } else {
            let lines = |pane: Pane| u16::try_from(self.rows(pane).len()).unwrap_or(u16::MAX).saturating_add(3);
            let third = body.height / 3;
            let top = lines(Pane::Pools).max(lines(Pane::Nodes)).clamp(4, third);
            // The reasons of autoscalers are long, so they have the whole width.
            let middle = lines(Pane::Hpas).clamp(4, third);
            let [above, hpas, pods, events] = Layout::vertical([
                Constraint::Length(top),
                Constraint::Length(middle),
                Constraint::Fill(1),
                Constraint::Fill(1),
            ])
            .areas(body);
            let [pools, nodes] = Layout::horizontal([Constraint::Percentage(46), Constraint::Fill(1)]).areas(above);
            for (pane, area) in [
                (Pane::Pools, pools),
                (Pane::Nodes, nodes),
                (Pane::Hpas, hpas),
                (Pane::Pods, pods),
                (Pane::Events, events),
            ] {
                self.pane(frame, pane, area, now);
            }
        }
        frame.render_widget(Paragraph::new("q quit  Tab next pane  ↑↓ move  ? help").style(self.dim()), foot);
        if self.help {
            self.draw_help(frame);
        }
    }

    fn head(&self) -> Paragraph<'_> {
        let text = |key: &str| self.status[key].as_str().unwrap_or_default().to_owned();
        let mut first = vec![Span::styled("marea ", self.strong()), Span::raw(text("environment"))];
        for part in [text("console"), text("isolation")].into_iter().filter(|part| !part.is_empty()) {
            first.push(Span::raw(format!("  {part}")));
        }
        let stacks = self.status["stacks"].as_array().into_iter().flatten();
        for stack in stacks {
            let state = stack["state"].as_str().unwrap_or_default();
            let style = if state == "succeeded" { self.good() } else { self.warn() };
            first.push(Span::raw(format!("  {} ", stack["name"].as_str().unwrap_or_default())));
            first.push(Span::styled(state.to_owned(), style));
        }
        let second = match (&self.problem, rate::text(&self.status["cost"])) {
            (Some(problem), _) => Line::styled(
                format!("No answer, trying again: {}", problem.lines().next().unwrap_or_default()),
                self.bad(),
            ),
            (None, Some(cost)) => Line::from(vec![Span::raw("Cost: "), Span::styled(cost, self.strong())]),
            (None, None) if self.status.is_null() => Line::raw("Reading …"),
            (None, None) => Line::raw(""),
        };
        Paragraph::new(vec![Line::from(first), second])
    }

    fn pane(&mut self, frame: &mut Frame<'_>, pane: Pane, area: Rect, now: jiff::Timestamp) {
        let focused = Pane::ALL[self.focus] == pane;
        let rows = self.rows(pane);
        let (header, widths) = columns(pane);
        let title = format!(" {} {} ", pane.title(), rows.len());
        let border = if focused { self.strong() } else { self.dim() };
        let table_rows: Vec<Row<'_>> = rows.iter().map(|row| self.row(pane, row, now)).collect();
        let highlight = if focused { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let table = Table::new(table_rows, widths)
            .header(Row::new(header.iter().copied()).style(self.dim()))
            .block(Block::bordered().title(title).border_style(border))
            .row_highlight_style(highlight)
            .column_spacing(1);
        let index = Pane::ALL.iter().position(|other| *other == pane).unwrap_or_default();
        frame.render_stateful_widget(table, area, &mut self.selected[index]);
    }

    fn row(&self, pane: Pane, row: &Value, now: jiff::Timestamp) -> Row<'static> {
        let text = |key: &str| text(&row[key]);
        let cells: Vec<Cell<'static>> = match pane {
            Pane::Pools => {
                let (nodes, max) = (row["nodes"].as_u64().unwrap_or(0), row["max"].as_u64().unwrap_or(0));
                let style = if row["ready"].as_u64() == Some(nodes) { self.good() } else { self.warn() };
                vec![
                    text("name").into(),
                    text("vmSize").trim_start_matches("Standard_").to_owned().into(),
                    Cell::from(bar(nodes, max)).style(style),
                    format!("{nodes} of {}-{}", text("min"), text("max")).into(),
                    text("pods").into(),
                ]
            }
            Pane::Hpas => {
                let metrics = row["metrics"].as_array().into_iter().flatten();
                let metrics: Vec<String> = metrics
                    .map(|metric| {
                        format!(
                            "{} {}/{}%",
                            text_of(metric, "name"),
                            text_of(metric, "utilization"),
                            text_of(metric, "target")
                        )
                    })
                    .collect();
                let moving = row["current"] != row["desired"];
                let replicas =
                    if moving { format!("{}→{}", text("current"), text("desired")) } else { text("current") };
                let style = if moving { self.warn() } else { Style::new() };
                vec![
                    text("name").into(),
                    Cell::from(format!("{replicas} of {}-{}", text("min"), text("max"))).style(style),
                    metrics.join(" ").into(),
                    row["reason"].as_str().unwrap_or_default().to_owned().into(),
                ]
            }
            Pane::Nodes => {
                let style = if row["state"] == "Ready" { self.good() } else { self.bad() };
                let cpu = match (row["cpu"].as_i64(), row["cpuAllocatable"].as_i64().filter(|all| *all > 0)) {
                    (Some(used), Some(all)) => format!("{} %", 100 * used / all),
                    _ => "-".to_owned(),
                };
                vec![
                    text("name").into(),
                    Cell::from(text("state")).style(style),
                    cpu.into(),
                    text("pods").into(),
                    age(&row["created"], now).into(),
                ]
            }
            Pane::Pods => {
                let style = if row["well"] == true { self.good() } else { self.warn() };
                vec![
                    format!("{}/{}", text("namespace"), text("name")).into(),
                    Cell::from(text("state")).style(style),
                    text("ready").into(),
                    text("restarts").into(),
                    text("node").into(),
                    age(&row["created"], now).into(),
                ]
            }
            Pane::Events => {
                let style = if row["type"] == "Warning" { self.warn() } else { Style::new() };
                vec![
                    age(&row["at"], now).into(),
                    Cell::from(text("reason")).style(style),
                    text("object").into(),
                    row["message"].as_str().unwrap_or_default().replace('\n', " ").into(),
                ]
            }
        };
        Row::new(cells)
    }

    fn draw_help(&self, frame: &mut Frame<'_>) {
        let lines = [
            "Tab, →        next pane",
            "Shift-Tab, ←  previous pane",
            "↑ ↓, k j      move in the pane",
            "PgUp PgDn     ten rows",
            "Home End      first, last row",
            "? or h        this help",
            "q, Esc        close",
            "",
            "Cost is of the nodes that are there now, without traffic, at the price",
            "sheet's prices; `marea cost` shows it by meter. A local cloud costs",
            "nothing: the figure is what the same would cost on Azure.",
        ];
        let [area] = Layout::horizontal([Constraint::Max(74)]).flex(ratatui::layout::Flex::Center).areas(frame.area());
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
        let [area] = Layout::vertical([Constraint::Max(height)]).flex(ratatui::layout::Flex::Center).areas(area);
        frame.render_widget(Clear, area);
        let block = Block::bordered().title(" Keys ").border_style(self.strong());
        frame.render_widget(Paragraph::new(lines.map(Line::raw).to_vec()).block(block), area);
    }

    /// Without colours, what matters is bold.
    fn coloured(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn strong(&self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn good(&self) -> Style {
        self.coloured(Color::Green)
    }

    fn warn(&self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    fn bad(&self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }
}

fn columns(pane: Pane) -> (&'static [&'static str], Vec<Constraint>) {
    use Constraint::{Fill, Length, Max};
    match pane {
        Pane::Pools => (&["NAME", "SIZE", "", "NODES", "PODS"], vec![Fill(1), Max(10), Max(10), Length(9), Length(4)]),
        Pane::Hpas => (&["NAME", "REPLICAS", "METRICS", "WHY"], vec![Max(14), Max(13), Max(30), Fill(1)]),
        Pane::Nodes => {
            (&["NAME", "STATE", "CPU", "PODS", "AGE"], vec![Fill(1), Max(14), Length(5), Length(4), Length(4)])
        }
        Pane::Pods => (
            &["NAME", "STATE", "READY", "RST", "NODE", "AGE"],
            vec![Fill(1), Max(17), Length(5), Length(3), Max(34), Length(4)],
        ),
        Pane::Events => (&["AGE", "REASON", "OBJECT", "MESSAGE"], vec![Length(4), Max(22), Max(40), Fill(1)]),
    }
}

/// `■■□□□`, at most ten of them.
fn bar(nodes: u64, max: u64) -> String {
    const WIDEST: u64 = 10;
    let (nodes, max) = if max > WIDEST { ((nodes * WIDEST).div_ceil(max), WIDEST) } else { (nodes, max) };
    let filled = nodes.min(WIDEST);
    "■".repeat(usize::try_from(filled).unwrap_or_default())
        + &"□".repeat(usize::try_from(max.saturating_sub(filled)).unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { "-".to_owned() } else { value.to_string() }, str::to_owned)
}

fn text_of(value: &Value, key: &str) -> String {
    text(&value[key])
}

/// `12s`, `3m`, `4h`, `5d`, as kubectl has it.
fn age(since: &Value, now: jiff::Timestamp) -> String {
    let Some(since) = since.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
        return "-".to_owned();
    };
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
