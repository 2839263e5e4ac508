//! What the facts mean: pure, so that any machine can be judged.

mod configuration;
mod interfaces;
mod machine;

use super::facts::{Configuration, Facts};
use super::finding::{Level, Report};

/// Judges them.
#[must_use]
pub fn judge(facts: &Facts) -> Report {
    let mut findings = machine::judge(&facts.machine);
    findings.extend(configuration::judge(facts));
    let (of_interfaces, interfaces) = interfaces::judge(facts);
    findings.extend(of_interfaces);
    findings.extend(configuration::judge_logs(facts));
    let faulty_configuration = matches!(facts.configuration, Configuration::Faulty { .. });
    Report {
        version: env!("CARGO_PKG_VERSION"),
        good: findings.iter().all(|finding| finding.level != Level::Problem),
        findings,
        interfaces,
        faulty_configuration,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::well;
    use super::*;

    #[test]
    fn of_a_machine_on_which_all_is_well_nothing_is_wrong() {
        let report = judge(&well());

        assert!(report.good && !report.faulty_configuration);
        assert_eq!((report.count(Level::Problem), report.count(Level::Warn)), (0, 0), "{report:#?}");
        assert_eq!(report.count(Level::NotChecked), 0, "{report:#?}");
    }

    #[test]
    fn a_faulty_configuration_is_told_beside_all_else() {
        let mut facts = well();
        facts.configuration = Configuration::Faulty {
            path: "/etc/blocker/blocker.toml".into(),
            faults: "blocker.toml: line 3: unknown key".to_owned(),
        };

        let report = judge(&facts);

        assert!(report.faulty_configuration && !report.good);
        assert!(report.interfaces.len() == 1 && report.findings.len() > 8, "{report:#?}");
    }
}
