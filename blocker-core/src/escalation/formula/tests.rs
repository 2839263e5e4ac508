//! What formulas come to, and what is none.

use proptest::prelude::*;

use super::*;

fn result(text: &str, count: f64) -> Option<f64> {
    let formula = Formula::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    formula.result(Values { time: 600.0, count, factor: 1.0, random: 0.25 })
}

#[test]
fn operators_bind_as_they_do_in_python() {
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("-2 ** 2", -4.0),
        ("2 ** -1", 0.5),
        ("2 ** 3 ** 2", 512.0),
        ("1 << 2 + 1", 8.0),
        ("7 // 2 * 2", 6.0),
        ("-7 // 2", -4.0),
        ("-7 % 3", 2.0),
        ("9 >> 1", 4.0),
        ("1 < 2", 1.0),
        ("2 >= 3", 0.0),
        ("5 if 1 == 2 else 6 if 1 != 2 else 7", 6.0),
        ("max(1, 2, 3) - min(4, 2)", 1.0),
        ("pow(2, 3) + sqrt(9) + floor(1.9) + ceil(1.1) + int(-1.5)", 13.0),
        ("log(8, 2)", 3.0),
        ("random.random() * 4", 1.0),
    ] {
        assert_eq!(result(text, 0.0), Some(expected), "{text}");
    }
}

/// Figures of the formulas that fail2ban ships, as it gives them.
#[test]
fn formulas_of_fail2ban_mean_what_they_mean_there() {
    let doubling = "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor";
    let results: Vec<_> = (1..=7).map(|count| result(doubling, f64::from(count)).unwrap()).collect();
    assert_eq!(results, [1200.0, 2400.0, 4800.0, 9600.0, 19200.0, 38400.0, 76800.0]);
    assert_eq!(result(doubling, 25.0), Some(629_145_600.0));

    let exponential = "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)";
    let results: Vec<_> = (1..=4).map(|count| result(exponential, f64::from(count)).unwrap()).collect();
    for (found, expected) in results.iter().zip([1630.97, 4433.43, 12051.32, 32758.89]) {
        assert!((found - expected).abs() < 0.01, "{results:?}");
    }
}

#[test]
fn what_is_no_finite_number_is_no_result() {
    for text in ["1 / 0", "-1 ** 0.5 * 0 / 0", "exp(1000)", "log(-1)", "time * (1 << 5000)"] {
        assert_eq!(result(text, 0.0), None, "{text}");
    }
}

#[test]
fn what_is_no_formula_is_told_with_its_place() {
    for (text, at, expected) in [
        ("", 1, "a number"),
        ("time *", 7, "a number"),
        ("time + ä", 8, "a number"),
        ("__import__('os')", 1, "a number"),
        ("time.system", 1, "a number"),
        ("(time", 6, "`)`"),
        ("max(1 2)", 7, "`,` or `)`"),
        ("exp(1, 2)", 1, "as many operands"),
        ("1 if 2", 7, "`else`"),
        ("time time", 6, "an operator or the end"),
        ("1.2.3", 1, "a number"),
    ] {
        let error = Formula::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.expected.contains(expected), "{text}: {error}");
    }
    let deep = "(".repeat(200) + "1" + &")".repeat(200);
    assert_eq!(Formula::parse(&deep).expect_err("it is too deep").expected, "less nesting");
    assert!(Formula::parse(&"-".repeat(1_000)).is_err());
    assert!(Formula::parse(&"1+".repeat(600)).expect_err("it is too long").expected.contains("1024"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[-+*/%<>=!(),. a-z0-9äif]{0,60}") {
        if let Ok(formula) = Formula::parse(&text) {
            let result = formula.result(Values { time: 600.0, count: 3.0, factor: 1.0, random: 0.5 });
        prop_assert!(result.is_none_or(f64::is_finite));
            prop_assert_eq!(Formula::parse(&formula.to_string()).map(|again| again.root), Ok(formula.root));
        }
    }
}
