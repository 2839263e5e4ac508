//! Pictures of numbers, in SVG. Without a style sheet, as in many a mail program, they are black on white and say the same.

use std::fmt::Write as _;

use super::page::escaped;

/// All in the units of the picture.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 22.0;

/// Labels below columns, at most.
const LABELS: usize = 8;

/// A column for each number, from left to right, with what it is called.
pub(super) fn columns(title: &str, numbers: &[(String, u64)]) -> String {
    let most = numbers.iter().map(|(_, number)| *number).max().unwrap_or_default().max(1);
    let base = HEIGHT - BOTTOM;
    let mut svg = begin(title, HEIGHT);
    // The greatest number, its half if it has one, and nothing.
    let marks = if most % 2 == 0 { vec![0, most / 2, most] } else { vec![0, most] };
    for mark in marks {
        let y = base - (base - TOP) * share(mark, most);
        put(
            &mut svg,
            &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\" stroke=\"#888\" stroke-width=\"0.5\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
                LEFT - 6.0,
                y + 4.0
            ),
        );
    }
    let width = (WIDTH - LEFT) / float(numbers.len().max(1));
    let every = numbers.len().div_ceil(LABELS).max(1);
    for (place, (name, number)) in numbers.iter().enumerate() {
        let x = LEFT + width * float(place);
        let height = (base - TOP) * share(*number, most);
        let name = escaped(name);
        put(
            &mut svg,
            &format!(
                "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{name}: {number}</title></rect>",
                x + width * 0.1,
                base - height,
                width * 0.8
            ),
        );
        if place % every == 0 && place + every / 2 < numbers.len() {
            put(&mut svg, &format!("<text x=\"{x:.1}\" y=\"{:.1}\">{name}</text>", HEIGHT - 6.0));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A bar for each number, from top to bottom.
pub(super) fn bars(title: &str, numbers: &[(String, u64)]) -> String {
    const ROW: f64 = 22.0;
    const NAMES: f64 = 180.0;
    const NUMBERS: f64 = 70.0;
    let most = numbers.iter().map(|(_, number)| *number).max().unwrap_or_default().max(1);
    let mut svg = begin(title, ROW * float(numbers.len()));
    for (place, (name, number)) in numbers.iter().enumerate() {
        let y = ROW * float(place);
        let length = (WIDTH - NAMES - NUMBERS) * share(*number, most);
        let text = y + 15.0;
        put(
            &mut svg,
            &format!(
                "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"bar\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"14\"/>\
                 <text x=\"{:.1}\" y=\"{text:.1}\">{number}</text>",
                NAMES - 8.0,
                escaped(name),
                y + 4.0,
                NAMES + length + 6.0
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn begin(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{title}\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"100%\" font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n"
    )
}

fn put(svg: &mut String, line: &str) {
    writeln!(svg, "{line}").expect("writing to a string never fails");
}

#[expect(clippy::cast_precision_loss, reason = "a picture is no more exact than its pixels")]
fn share(number: u64, of: u64) -> f64 {
    number as f64 / of as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are some hundred at most")]
fn float(number: usize) -> f64 {
    number as f64
}
