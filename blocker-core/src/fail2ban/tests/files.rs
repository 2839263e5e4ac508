//! Which files are read, and in which order.

use super::*;

#[test]
fn files_are_read_in_order_and_the_later_one_wins() {
    let texts = [
        (
            "jail.conf",
            "[INCLUDES]\nbefore = paths.conf\n[DEFAULT]\nmaxretry = 1\n[a]\nfilter = one\nlogpath = %(log)s\nmaxretry = 2\n[b]\nfilter = one",
        ),
        ("paths.conf", "[INCLUDES]\nafter = paths-overrides.local\n[DEFAULT]\nlog = /var/log/a\n"),
        ("jail.d/2.conf", "[a]\nmaxretry = 4\n"),
        ("jail.d/1.conf", "[a]\nmaxretry = 3\nlogpath = %(known/logpath)s\n  /var/log/b tail\n"),
        ("jail.local", "[a]\nmaxretry = 5\nlogpath = %(known/logpath)s\n  /var/log/c d\n"),
        ("jail.d/0.local", "[b]\nmaxretry = 6\nenabled = On\n"),
        ("jail.d/ignored.txt", "[b]\nmaxretry = 7\n"),
        ONE,
    ];
    let jails = jails(&texts);

    assert_eq!(
        jails.iter().map(|jail| (jail.name.as_str(), jail.max_retry, jail.enabled)).collect::<Vec<_>>(),
        [("a", Some(5), false), ("b", Some(6), true)]
    );
    let log = |path: &str, tail| Log { path: path.into(), tail };
    assert_eq!(jails[0].logs, [log("/var/log/a", false), log("/var/log/b", true), log("/var/log/c d", false)]);
}

#[test]
fn includes_come_before_and_after_with_what_is_local() {
    let texts = [
        (
            "filter.d/m.conf",
            "[INCLUDES]\nbefore = sub/a.conf\n  missing.conf\nafter = z.conf\n[Definition]\nfailregex = %(known/failregex)s\n  m <HOST>\n",
        ),
        ("filter.d/m.local", "[Definition]\nfailregex = %(known/failregex)s\n  local <HOST>\n"),
        (
            "filter.d/sub/a.conf",
            "[INCLUDES]\nbefore = ../b.conf\n  a.conf\n[Definition]\nfailregex = %(known/failregex)s\n  a <HOST>\n",
        ),
        ("filter.d/b.conf", "[Definition]\nfailregex = b <HOST>\n"),
        ("filter.d/b.local", "[Definition]\nfailregex = %(known/failregex)s\n  b.local <HOST>\n"),
        ("filter.d/z.conf", "[Definition]\nfailregex = %(known/failregex)s\n  z <HOST>\n"),
    ];
    let filter = load_filter(&files(&texts), "m", Logs::Files).unwrap();

    assert_eq!(
        filter.definition.failregex,
        ["b <HOST>", "b.local <HOST>", "a <HOST>", "m <HOST>", "z <HOST>", "local <HOST>"]
    );
    assert_eq!(
        filter.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "filter.d/m.conf, line 2: [INCLUDES] `before`: \"missing.conf\" is included and is not there: one file a line, relative to this one"
        ]
    );
    assert_eq!(
        expressions(&[("filter.d/l.local", "[Definition]\nfailregex = only <HOST>")], "l").unwrap(),
        ["only <HOST>"]
    );
}

#[test]
fn files_that_include_one_another_for_ever_end() {
    let loops = [
        ("filter.d/a.conf", "[INCLUDES]\nbefore = b.conf\n[Definition]\nfailregex = a <HOST>"),
        ("filter.d/b.conf", "[INCLUDES]\nbefore = a.conf\n"),
    ];
    assert_eq!(expressions(&loops, "a").unwrap(), ["a <HOST>"]);

    // Each includes the next twice: 2^20 files, if nothing stopped it.
    let wide: Vec<(String, String)> = (0..20)
        .map(|n| {
            (
                format!("filter.d/f{n}.conf"),
                format!("[INCLUDES]\nbefore = f{0}.conf\n  ./f{0}.conf\n[Definition]\nfailregex = x <HOST>", n + 1),
            )
        })
        .collect();
    let wide: Vec<(&str, &str)> = wide.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let faults = expressions(&wide, "f0").unwrap_err();
    assert!(
        faults.iter().any(|fault| fault.contains("more than 256 files included, or more than 16 deep")),
        "{faults:?}"
    );
    assert!(faults.len() <= 20);
}
