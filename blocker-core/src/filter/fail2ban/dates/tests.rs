//! What is left of lines without their times.

use super::*;

/// What is left of a line, and the seconds or the hour and minute of its time.
fn left(pattern: Option<&str>, line: &str) -> String {
    let dates = Dates::read(pattern).unwrap();
    match dates.find(line) {
        Some(Cut { start, end, .. }) => format!("{}{}", &line[..start], &line[end..]),
        None => line.to_owned(),
    }
}

/// Each as fail2ban 1.0.2 leaves it: anywhere, and at the beginning alone.
#[test]
fn what_is_left_of_a_line() {
    for (line, anywhere, begin) in [
        ("2026-11-23 01:06:25 x", " x", " x"),
        ("Nov  3 01:06:25 x", " x", " x"),
        ("Nov 23 01:06:25 y 2026-11-23 01:06:25 z", " y 2026-11-23 01:06:25 z", " y 2026-11-23 01:06:25 z"),
        ("[2026-11-23 01:06:25] x", "[] x", "[] x"),
        ("  2026-11-23 01:06:25 x", "   x", "   x"),
        ("[[2026-11-23 01:06:25]] x", "[[]] x", "[[]] x"),
        ("\"2026-11-23 01:06:25\" x", "\"\" x", "\"\" x"),
        ("<38>1 2026-11-23T01:06:25Z mx1 x", "<38>1  mx1 x", "<38>1 2026-11-23T01:06:25Z mx1 x"),
        ("<38>Nov 23 01:06:25 mx1 x", "<38> mx1 x", "<38>Nov 23 01:06:25 mx1 x"),
        ("...2026-11-23 01:06:25 x", "... x", "...2026-11-23 01:06:25 x"),
        ("_2026-11-23 01:06:25 x", "_2026-11-23 01:06:25 x", "_2026-11-23 01:06:25 x"),
        (" t2026-11-23 01:06:25 x", " t2026-11-23 01:06:25 x", " t2026-11-23 01:06:25 x"),
        ("{\"t\":\"2026-11-23 01:06:25\"} x", "{\"t\":\"\"} x", "{\"t\":\"2026-11-23 01:06:25\"} x"),
        ("t=2026-11-23T01:06:25+0100 x", "t= x", "t=2026-11-23T01:06:25+0100 x"),
        ("(1373330716.415:3) x", "(:3) x", "(:3) x"),
        ("1373330716.415 x", " x", " x"),
        ("x 1373330716.415 x", "x 1373330716.415 x", "x 1373330716.415 x"),
        ("@400000004c91b044077a9e94 x", " x", " x"),
        ("12:57:32.907 x", ".907 x", ".907 x"),
        ("12:57:32 x", " x", " x"),
        ("x 12:57:32 x", "x 12:57:32 x", "x 12:57:32 x"),
        ("x 12:57:32.5 x", "x 12:57:32.5 x", "x 12:57:32.5 x"),
        ("_2026-11-23 01:06:25.123 x", "_2026-11-23 01:06:25.123 x", "_2026-11-23 01:06:25.123 x"),
        ("08-03 07:56:53.026292 x", "08-03 07:56:53.026292 x", "08-03 07:56:53.026292 x"),
        ("20220407-12:11:06 x", "20220407-12:11:06 x", "20220407-12:11:06 x"),
        ("2014:07:02-00:17:45 x", "2014:07:02-00:17:45 x", "2014:07:02-00:17:45 x"),
        ("PDT Apr 16 21:05:29 x", " x", " x"),
        ("130324  0:04:00 x", " x", " x"),
        ("[Mon Nov 23 01:06:25.123456 2026] x", "[] x", "[] x"),
        ("[2026-11-23 01:06:25,123] x", "[] x", "[] x"),
        ("2026-11-23 01:06:25.123 +08:00 x", " x", " x"),
        ("2026-11-23 01:06:25 UTC x", " x", " x"),
        (
            "1.2.3.4 - - [23/Nov/2026:01:06:25 +0000] \"GET",
            "1.2.3.4 - - [] \"GET",
            "1.2.3.4 - - [23/Nov/2026:01:06:25 +0000] \"GET",
        ),
        ("x", "x", "x"),
        ("", "", ""),
    ] {
        assert_eq!(left(None, line), anywhere, "{line}");
        assert_eq!(left(Some("{^LN-BEG}"), line), begin, "{line}");
    }
}

#[test]
fn an_entry_of_the_journal_has_lost_its_time_and_the_blank() {
    for pattern in [None, Some("{^LN-BEG}"), Some("{NONE}"), Some("%Y-%m-%d")] {
        assert_eq!(left(pattern, "1795708535.000000 mx1 sshd[7]: x 2026-11-23"), "mx1 sshd[7]: x 2026-11-23");
    }
}

/// Each as fail2ban 1.0.2 leaves it.
#[test]
fn a_datepattern_says_where_the_time_stands_and_what_goes_with_it() {
    for (pattern, line, expected) in [
        ("^x {DATE}", "x 2026-11-23 01:06:25 y", " y"),
        ("^x ({DATE})", "x 2026-11-23 01:06:25 y", "x  y"),
        (r"\[{DATE}\]", "x [2026-11-23 01:06:25] y", "x  y"),
        ("^<.>{DATE}", "<W>2026-11-23 01:06:25 y", " y"),
        (r"^[^\[]*(\[{DATE}\s*\])", "x [2026-11-23 01:06:25] y", "x  y"),
        (r"^(?:[^\[]*)\[({DATE})", "x [2026-11-23 01:06:25] y", "x [] y"),
        (r"^[^\[]*\[({DATE})", "x [2026-11-23 01:06:25] y", "x [] y"),
        ("%d.%m.%Y %H:%M:%S", "23.11.2026 01:06:25 y", " y"),
        ("%d.%m.%Y %H:%M:%S", "z 23.11.2026 01:06:25 y", "z  y"),
        ("%d.%m.%Y %H:%M:%S", "z23.11.2026 01:06:25 y", "z23.11.2026 01:06:25 y"),
        ("**%d.%m.%Y %H:%M:%S**", "z23.11.2026 01:06:25y", "zy"),
        ("EPOCH", "1373330716 y", " y"),
        ("EPOCH", "x 1373330716.5 y", "x 1373330716.5 y"),
        ("EPOCH", "audit(1373330716.5:3) y", "audit(.5:3) y"),
        ("{^LN-BEG}EPOCH", "[1373330716] y", "[] y"),
        ("^WARNING:()**", "WARNING: y", "WARNING: y"),
        ("{NONE}", "2026-11-23 01:06:25 y", "2026-11-23 01:06:25 y"),
        ("%d.%m.%Y\n{^LN-BEG}", "2026-11-23 01:06:25 y", " y"),
    ] {
        assert_eq!(left(Some(pattern), line), expected, "{pattern}: {line}");
    }
}

#[test]
fn what_is_not_supported_is_said() {
    for (pattern, said) in [
        (r"^[^\[]*(\[){DATE}", "a group may only be around {DATE}"),
        ("%j", "`%j` is not supported"),
        (r"^x{DATE}()", "a group may only be around {DATE}"),
        (r"^(x{DATE}", "the group around {DATE} has but one end"),
        ("(?<=x){DATE}", "it looks around"),
        ("{UNB}%Y", "`{UNB}` is not supported"),
        ("%Y(", "unclosed group"),
    ] {
        let error = Dates::read(Some(pattern)).unwrap_err().to_string();
        assert!(error.starts_with("datepattern `") && error.contains(said), "{error}");
    }
}
