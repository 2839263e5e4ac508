//! Lengths of time as fail2ban takes them: `600`, `1d12h30m`, `1y 6mo`, `1year - 6mo`, `2*1h`.
//!
//! fail2ban rewrites such a text and hands it to Python's `eval`. Here it is parsed: numbers with units, `+ - * /` and brackets; what
//! stands side by side is added.

/// Reads a length of time, in seconds; `None` if it is none.
pub(super) fn read(text: &str) -> Option<f64> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut rest = text.trim();
    let total = sum(&mut rest, 0)?;
    (rest.is_empty() && total.is_finite()).then_some(total)
}

/// Longest text that is read, in bytes.
const MAX_BYTES: usize = 256;

/// How deep brackets and signs may be nested.
const MAX_DEPTH: usize = 16;

fn sum(rest: &mut &str, depth: usize) -> Option<f64> {
    let mut total = product(rest, depth)?;
    loop {
        *rest = rest.trim_start();
        match rest.chars().next() {
            Some('-') => {
                *rest = &rest[1..];
                total -= product(rest, depth)?;
            }
            Some('+') => {
                *rest = &rest[1..];
                total += product(rest, depth)?;
            }
            Some(c) if c.is_ascii_digit() || c == '.' => total += product(rest, depth)?,
            Some(_) | None => return Some(total),
        }
    }
}

/// A unit is a factor behind its number, as fail2ban has it: `1/2h` is half an hour.
fn product(rest: &mut &str, depth: usize) -> Option<f64> {
    let (number, unit) = factor(rest, depth)?;
    let mut value = number * unit;
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            let (number, unit) = factor(rest, depth)?;
            value = value * number * unit;
        } else if let Some(after) = rest.strip_prefix('/') {
            *rest = after;
            let (number, unit) = factor(rest, depth)?;
            value = value / number * unit;
        } else {
            return Some(value);
        }
    }
}

/// A number and its unit.
fn factor(rest: &mut &str, depth: usize) -> Option<(f64, f64)> {
    if depth == MAX_DEPTH {
        return None;
    }
    *rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix('-') {
        *rest = after;
        let (number, unit) = factor(rest, depth + 1)?;
        return Some((-number, unit));
    }
    if let Some(after) = rest.strip_prefix('+') {
        *rest = after;
        return factor(rest, depth + 1);
    }
    if let Some(after) = rest.strip_prefix('(') {
        *rest = after;
        let value = sum(rest, depth + 1)?;
        *rest = rest.trim_start().strip_prefix(')')?;
        return Some((value, 1.0));
    }
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let number: f64 = rest[..digits].parse().ok()?;
    *rest = rest[digits..].trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let unit = if letters == 0 { 1.0 } else { unit(&rest[..letters].to_ascii_lowercase())? };
    *rest = &rest[letters..];
    Some((number, unit))
}

/// The seconds in a unit: a beginning of its name, or its first letter twice. A month is a twelfth of a year of 365.25 days.
fn unit(name: &str) -> Option<f64> {
    const UNITS: [(&str, &str, &str, f64); 7] = [
        ("s", "ss", "seconds", 1.0),
        ("m", "mm", "minutes", 60.0),
        ("h", "hh", "hours", 3_600.0),
        ("d", "dd", "days", 86_400.0),
        ("w", "ww", "weeks", 604_800.0),
        ("mo", "mo", "months", 2_629_800.0),
        ("y", "yy", "years", 31_557_600.0),
    ];
    let is_it = |&&(short, twice, long, _): &&(&str, &str, &str, f64)| {
        name == twice || name.len() >= short.len() && long.starts_with(name)
    };
    UNITS.iter().find(is_it).map(|&(_, _, _, seconds)| seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_what_fail2ban_client_says() {
        // fail2ban-client 1.0.2 --str2sec, run on each.
        for (text, seconds) in [
            ("600", 600.0),
            ("1mo", 2_629_800.0),
            ("1mon", 2_629_800.0),
            ("1months", 2_629_800.0),
            ("1y 6mo", 47_336_400.0),
            ("1year-6mo", 15_778_800.0),
            ("1mo1y", 34_187_400.0),
            ("1d12h30m", 131_400.0),
            ("1day 2h3m4s", 93_784.0),
            ("1.5h", 5_400.0),
            ("1.5", 1.5),
            ("(1+2)*60", 180.0),
            ("2*1h", 7_200.0),
            ("2*1h30m", 9_000.0),
            ("1h*2", 7_200.0),
            ("1h/2", 1_800.0),
            ("1/2h", 1_800.0),
            ("1hours", 3_600.0),
            ("1hou", 3_600.0),
            ("1mm", 60.0),
            ("1mi", 60.0),
            ("1minutes", 60.0),
            ("1ss", 1.0),
            ("1se", 1.0),
            ("1dd", 86_400.0),
            ("1da", 86_400.0),
            ("1wee", 604_800.0),
            ("1yy", 31_557_600.0),
            ("-10", -10.0),
            ("- 5", -5.0),
            ("-1d", -86_400.0),
            ("1h -30m", 1_800.0),
            ("1h30", 3_630.0),
            ("1m 1", 61.0),
            ("10 m", 600.0),
            ("3 600", 603.0),
            ("1H", 3_600.0),
            ("0", 0.0),
        ] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn nothing_is_evaluated_that_is_no_length_of_time() {
        for text in [
            "",
            "abc",
            "1hr",
            "1hrs",
            "1h+",
            "1e3",
            "0x10",
            "1h,30m",
            "__import__('os')",
            "5**2",
            "7//2",
            "1/0",
            "((((((((((((((((((1))))))))))))))))))",
            "1.2.3",
            "m",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"9".repeat(300)), None);
    }
}
