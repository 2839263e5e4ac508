//! What a screen of any size shows of a [`Shown`]. Lines at the top and the keys at the bottom come first; what is left is shared by tables,
//! of which each has as many rows as it can use. All texts of others are escaped: no terminal obeys them.

use std::time::Duration;

use blocker_core::time::format_span;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::super::output::shown as escaped;
use super::screen::{Shown, Sort};
use super::view::{Flow, Fought, View};

/// From this width on everything is shown; below it the less important columns are not.
const WIDE: u16 = 80;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    let paint = Paint { is_coloured: shown.is_coloured };
    let mut top = top(shown, paint, area);
    // The keys have the last line, if there is more than one.
    let keys_at = area.height.saturating_sub(1);
    top.truncate(usize::from(keys_at.max(1)));
    let used = u16::try_from(top.len()).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(top), Rect { height: used, ..area });
    if area.height > used {
        frame.render_widget(Paragraph::new(keys(shown, paint)), Rect { y: area.y + keys_at, height: 1, ..area });
    }
    let Some(view) = &shown.view else { return };
    let mut blocks = blocks(shown, view, area.width, paint);
    let heights = heights(keys_at.saturating_sub(used), blocks.each_ref().map(Block::wanted));
    let mut y = area.y + used;
    for (block, height) in blocks.iter_mut().zip(heights) {
        if height > 0 {
            frame.render_widget(block.table(usize::from(height)), Rect { y, height, ..area });
            y += height;
        }
    }
}

/// Styles, of which colours are left out where nobody wants them.
#[derive(Clone, Copy)]
struct Paint {
    is_coloured: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn alarm(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// What is said of the whole.
fn top(shown: &Shown, paint: Paint, area: Rect) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let paused = if shown.is_paused { "  PAUSED" } else { "" };
    let Some(view) = &shown.view else {
        lines.push(Line::styled(format!("blocker: not running, waiting{paused}"), REVERSED));
        lines.extend(shown.waiting.iter().map(|why| Line::styled(escaped(why), paint.alarm())));
        return lines;
    };
    let up = format_span(Duration::from_secs(view.uptime_s));
    let clock = view.time.split_once('T').map_or(view.time.as_str(), |(_, clock)| clock);
    let mode = escaped(&view.mode).to_uppercase();
    let version = escaped(&view.version);
    let mut words = vec![format!("blocker {version}"), mode, clock.to_owned(), format!("up {up}")];
    if shown.waiting.is_some() {
        words.insert(1, "NOT RUNNING, WAITING".to_owned());
    }
    if shown.is_paused {
        words.insert(1, "PAUSED".to_owned());
    }
    if view.holding.is_some() {
        words.insert(1, "BANS HELD".to_owned());
    }
    words.extend(view.watchdog_s.map(|wait| format!("watchdog {wait}s")));
    if view.problems.is_empty() {
        words.push("no problems".to_owned());
    }
    lines.push(Line::styled(words.join("  "), REVERSED));
    lines.extend(shown.waiting.iter().map(|why| Line::styled(escaped(why), paint.alarm())));
    let dropping = format!(
        "dropping {} packets/s, {}/s ",
        rate(view.packets.dropped.packets_per_s),
        bytes_rate(view.packets.dropped)
    );
    let columns = usize::from(area.width).saturating_sub(dropping.len());
    let would = view.packets.would_drop;
    lines.push(Line::from(vec![
        Span::styled(dropping, BOLD),
        Span::styled(spark(shown, columns), paint.of(Color::Red)),
    ]));
    if would.packets_per_s.is_some_and(|rate| rate > 0.0) {
        lines.push(Line::raw(format!("would drop {} packets/s, but for the mode", rate(would.packets_per_s))));
    }
    let failures: f64 = view.jails.iter().filter_map(|jail| jail.failures_per_s).sum();
    let in_force = view.bans.ipv4 + view.bans.ipv6 + view.bans.networks;
    let fill: Vec<String> = view
        .tables
        .iter()
        .map(|table| format!("{} {}%", escaped(&table.name), 100 * table.bans / table.capacity.max(1)))
        .collect();
    let (waits, of) = view.waiting_batches;
    let unread = view.lines.unreadable_per_s.unwrap_or_default() + view.lines.overlong_per_s.unwrap_or_default();
    lines.push(Line::raw(format!(
        "{in_force} bans in force ({}); {failures:.1} failures/s; {} lines/s, {unread:.1} unreadable; {waits} of {of} pieces wait",
        fill.join(", "),
        rate(view.lines.judged_per_s),
    )));
    let room = usize::from(area.height / 5).max(1);
    let told = if view.problems.len() > room { room - 1 } else { view.problems.len() };
    for problem in view.problems.iter().take(told) {
        lines.push(Line::styled(format!("! {}", escaped(problem)), paint.alarm()));
    }
    if told < view.problems.len() {
        let more = view.problems.len() - told;
        lines.push(Line::styled(format!("! {more} problems: see `blocker status`"), paint.alarm()));
    }
    lines
}

/// The rates of drops as a line of columns, the last one on the right.
fn spark(shown: &Shown, columns: usize) -> String {
    const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let skipped = shown.rates.len().saturating_sub(columns);
    let visible = shown.rates.iter().skip(skipped);
    let most = visible.clone().copied().fold(0.0_f64, f64::max);
    visible
        .map(|rate| {
            let height = COLUMNS.iter().zip(1_u8..).find(|(_, part)| rate * 8.0 <= most * f64::from(*part));
            if *rate > 0.0 { height.map_or(COLUMNS[7], |(column, _)| *column) } else { ' ' }
        })
        .collect()
}

fn keys(shown: &Shown, paint: Paint) -> Line<'static> {
    let sort = match shown.sort {
        Sort::Rate => "packets/s",
        Sort::Packets => "packets",
        Sort::Attempts => "attempts",
        Sort::Last => "last seen",
    };
    let pause = if shown.is_paused { "go on" } else { "pause" };
    Line::styled(format!("q quit  p {pause}  s sort: {sort}"), paint.of(Color::DarkGray))
}

/// A table, and how much there is of it.
struct Block {
    head: Vec<&'static str>,
    widths: Vec<Constraint>,
    rows: Vec<(Vec<String>, Style)>,
    /// Whether the last rows are the ones to be seen.
    is_end_shown: bool,
    /// Fewest rows that are of use, the head among them.
    least: u16,
}

impl Block {
    /// Fewest rows and most.
    fn wanted(&self) -> (u16, u16) {
        let all = u16::try_from(self.rows.len() + 1).unwrap_or(u16::MAX);
        if self.rows.is_empty() { (0, 0) } else { (self.least.min(all), all) }
    }

    fn table(&mut self, height: usize) -> Table<'static> {
        let room = height.saturating_sub(1);
        let skipped = if self.is_end_shown { self.rows.len().saturating_sub(room) } else { 0 };
        let rows: Vec<Row<'static>> =
            self.rows.drain(..).skip(skipped).take(room).map(|(cells, style)| Row::new(cells).style(style)).collect();
        Table::new(rows, self.widths.clone()).header(Row::new(self.head.clone()).style(BOLD)).column_spacing(1)
    }
}

/// The tables, from top to bottom.
fn blocks(shown: &Shown, view: &View, width: u16, paint: Paint) -> [Block; 5] {
    let is_wide = width >= WIDE;
    [
        interfaces(view, is_wide, paint),
        jails(view, is_wide),
        attackers(shown, view, is_wide),
        bans(shown, is_wide, paint),
        logs(view),
    ]
}

/// How many rows each table gets of `room`: the new bans and the attackers first.
fn heights(room: u16, wanted: [(u16, u16); 5]) -> [u16; 5] {
    const ORDER: [usize; 5] = [3, 2, 1, 0, 4];
    let mut heights = [0; 5];
    let mut left = room;
    for place in ORDER {
        let (least, _) = wanted[place];
        if least <= left {
            heights[place] = least;
            left -= least;
        }
    }
    loop {
        let before = left;
        for place in ORDER {
            let (_, most) = wanted[place];
            if left > 0 && heights[place] > 0 && heights[place] < most {
                heights[place] += 1;
                left -= 1;
            }
        }
        if left == before {
            return heights;
        }
    }
}

fn interfaces(view: &View, is_wide: bool, paint: Paint) -> Block {
    let mut rows = Vec::new();
    for interface in &view.interfaces {
        let is_attached = interface.mode.is_some();
        let mode = match (&interface.mode, &interface.error) {
            (Some(mode), _) if interface.observes => format!("{} (observes)", escaped(mode)),
            (Some(mode), _) => escaped(mode),
            (None, Some(error)) => format!("not attached: {}", escaped(error)),
            (None, None) => "not attached".to_owned(),
        };
        let packets = interface.packets;
        let mut cells = vec![escaped(&interface.name), rate(packets.dropped.packets_per_s)];
        if is_wide {
            cells.extend([bytes_rate(packets.dropped), rate(packets.would_drop.packets_per_s)]);
        }
        cells.extend([rate(packets.passed.packets_per_s), mode]);
        rows.push((cells, if is_attached { Style::new() } else { paint.alarm() }));
    }
    let (head, widths) = if is_wide {
        (vec!["INTERFACE", "DROP/S", "BYTES/S", "WOULD/S", "PASS/S", "MODE"], [15, 8, 8, 8, 8, 0].as_slice())
    } else {
        (vec!["IFACE", "DROP/S", "PASS/S", "MODE"], [9, 8, 8, 0].as_slice())
    };
    Block { head, widths: constraints(widths), rows, is_end_shown: false, least: 2 }
}

fn jails(view: &View, is_wide: bool) -> Block {
    let mut jails: Vec<_> = view.jails.iter().collect();
    jails.sort_by(|a, b| b.failures_per_s.unwrap_or_default().total_cmp(&a.failures_per_s.unwrap_or_default()));
    let rows = jails.into_iter().map(|jail| {
        let name =
            if jail.mode == "observe" { format!("{} (observes)", escaped(&jail.name)) } else { escaped(&jail.name) };
        let mut cells = vec![rate(jail.failures_per_s)];
        if is_wide {
            cells.push(rate(jail.attempts_per_s));
        }
        cells.extend([count(jail.in_force as u64), count(jail.bans)]);
        if is_wide {
            cells.push(count(jail.counted as u64));
        }
        cells.push(name);
        (cells, Style::new())
    });
    let (head, widths) = if is_wide {
        (vec!["FAILURES/S", "ATTEMPTS/S", "IN FORCE", "BANS", "COUNTED", "JAIL"], [10, 10, 8, 8, 8, 0].as_slice())
    } else {
        (vec!["FAIL/S", "FORCE", "BANS", "JAIL"], [7, 7, 7, 0].as_slice())
    };
    Block { head, widths: constraints(widths), rows: rows.collect(), is_end_shown: false, least: 2 }
}

fn attackers(shown: &Shown, view: &View, is_wide: bool) -> Block {
    let mut attackers: Vec<&Fought> = view.attackers.iter().collect();
    attackers.sort_by(|a, b| {
        let rate = |one: &Fought| one.packets_per_s.unwrap_or_default();
        let (one, other) = (&a.attacker, &b.attacker);
        match shown.sort {
            Sort::Rate => rate(b).total_cmp(&rate(a)).then(other.packets.cmp(&one.packets)),
            Sort::Packets => other.packets.cmp(&one.packets),
            Sort::Attempts => other.attempts.total_cmp(&one.attempts),
            Sort::Last => one.ago_s.cmp(&other.ago_s),
        }
        .then(one.prefix.cmp(&other.prefix))
    });
    let rows = attackers.into_iter().map(|fought| {
        let attacker = &fought.attacker;
        let packets = attacker.packets.map_or_else(|| "not banned".to_owned(), count);
        let mut cells = vec![attacker.prefix.to_string(), rate(fought.packets_per_s)];
        if is_wide {
            cells.extend([packets, format!("{:.1}", attacker.attempts), format!("{}s", attacker.ago_s)]);
        }
        cells.push(attacker.user.as_deref().map(escaped).unwrap_or_default());
        (cells, Style::new())
    });
    let (head, widths) = if is_wide {
        (vec!["ATTACKER", "DROP/S", "DROPPED", "ATTEMPTS", "AGO", "USER"], [24, 8, 10, 8, 6, 0].as_slice())
    } else {
        (vec!["ATTACKER", "DROP/S", "USER"], [19, 7, 0].as_slice())
    };
    Block { head, widths: constraints(widths), rows: rows.collect(), is_end_shown: false, least: 3 }
}

fn bans(shown: &Shown, is_wide: bool, paint: Paint) -> Block {
    let rows = shown.bans.iter().map(|ban| {
        // The clock is enough: it is the last ones that are shown.
        let clock = ban.time.split_once('T').map_or(ban.time.as_str(), |(_, clock)| clock.trim_end_matches('Z'));
        let user = match (&ban.user, ban.origin.as_str()) {
            (Some(user), _) => escaped(user),
            (None, "command") => "(by command)".to_owned(),
            (None, _) => String::new(),
        };
        let mut cells = vec![clock.to_owned(), ban.prefix.to_string()];
        if is_wide {
            cells.extend([escaped(&ban.jail), format!("{:.1}", ban.attempts)]);
        }
        cells.push(user);
        (cells, paint.of(Color::Yellow))
    });
    let (head, widths) = if is_wide {
        (vec!["BANNED AT", "ADDRESS", "JAIL", "ATTEMPTS", "USER TRIED"], [9, 24, 16, 8, 0].as_slice())
    } else {
        (vec!["BANNED", "ADDRESS", "USER"], [8, 19, 0].as_slice())
    };
    Block { head, widths: constraints(widths), rows: rows.collect(), is_end_shown: true, least: 3 }
}

fn logs(view: &View) -> Block {
    let mut rows: Vec<(Vec<String>, Style)> = Vec::new();
    for log in &view.logs {
        let behind = log.behind_bytes.map_or_else(|| "?".to_owned(), |behind| format!("{} behind", bytes(behind)));
        rows.push((vec![behind, escaped(&log.path)], Style::new()));
    }
    for journal in &view.journals {
        let last = journal.ago_s.map_or_else(|| "no entry yet".to_owned(), |ago| format!("{ago}s ago"));
        rows.push((vec![last, format!("last entry of the journal: {}", escaped(&journal.matches))], Style::new()));
    }
    Block { head: vec!["JUDGED", "LOG"], widths: constraints(&[13, 0]), rows, is_end_shown: false, least: 2 }
}

/// Widths of columns; 0 is what is left.
fn constraints(widths: &[u16]) -> Vec<Constraint> {
    widths.iter().map(|width| if *width == 0 { Constraint::Fill(1) } else { Constraint::Length(*width) }).collect()
}

/// A rate, or that there is none yet.
fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 100.0 => format!("{rate:.1}"),
        Some(rate) => scaled(rate, 1_000.0, &["", "k", "M", "G"]),
    }
}

fn bytes_rate(flow: Flow) -> String {
    flow.bytes_per_s.map_or_else(|| "-".to_owned(), |rate| scaled(rate, 1_024.0, &["B", "KiB", "MiB", "GiB"]))
}

fn bytes(number: u64) -> String {
    scaled(float(number), 1_024.0, &["B", "KiB", "MiB", "GiB"])
}

fn count(number: u64) -> String {
    if number < 100_000 { number.to_string() } else { scaled(float(number), 1_000.0, &["", "k", "M", "G"]) }
}

/// A number with the greatest of the units of which it has at least one.
fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= step && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && number < 100.0);
    format!("{number:.digits$}{}", units.get(unit).copied().unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has three digits")]
fn float(number: u64) -> f64 {
    number as f64
}
