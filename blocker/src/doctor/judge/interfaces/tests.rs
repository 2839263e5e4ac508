use super::super::super::testing::{link, offloads, place, queues, well};
use super::*;
use crate::kernel::{OurLink, Release};
use crate::network::{Device, XdpFeatures};

fn facts(change: impl FnOnce(&mut Facts, &mut Link)) -> Facts {
    let mut facts = well();
    let able =
        Device { mtu: 1500, xdp_features: Some(XdpFeatures { native: true, frags: false }), ..Device::default() };
    let mut changed = link(Some("ena"), able);
    change(&mut facts, &mut changed);
    if let Ok(interfaces) = &mut facts.interfaces {
        interfaces.places = vec![place("eth0", changed)];
    }
    facts
}

fn ours(mode: AttachMode) -> OurLink {
    OurLink { index: 2, mode, pin: "/sys/fs/bpf/blocker/v2/link-2".into() }
}

fn only(facts: &Facts) -> (Finding, InterfaceReport) {
    let (findings, mut reports) = judge(facts);
    let of_it = findings.into_iter().find(|finding| finding.subject == "interface eth0").unwrap();
    (of_it, reports.remove(0))
}

fn ways(facts: &mut Facts, ways: &[Attach]) {
    facts.interfaces.as_mut().unwrap().ways = ways.to_vec();
}

#[test]
fn a_driver_that_can_gets_native_mode() {
    let (finding, report) = only(&facts(|_, _| {}));

    assert_eq!((finding.level, report.mode, report.attached), (Level::Ok, Some("native"), Some(false)));
    assert_eq!(report.native.map(|native| native.possible), Some(Some(true)));
}

#[test]
fn what_is_in_the_way_comes_with_the_commands_that_help() {
    let (finding, report) = only(&facts(|_, link| {
        link.device.mtu = 9001;
        link.device.queues = queues(8, 8);
        link.device.offloads = offloads(&["rx-gro", "tx-checksum-ipv4"]);
    }));

    assert_eq!((finding.level, report.mode), (Level::Warn, Some("generic")));
    assert_eq!(finding.help.as_deref(), Some("ip link set dev eth0 mtu 3498\nethtool -L eth0 combined 4"));
    assert!(finding.text.starts_with("ena, MTU 9001, 8 of 8 queues, rx-gro: generic mode"), "{finding:?}");
    assert_eq!(report.queues, queues(8, 8));
}

#[test]
fn another_program_is_named_and_both_ways_beside_it_are_offered() {
    let other = |facts: &mut Facts, link: &mut Link, version| {
        facts.machine.release = Ok(Release { text: "x".to_owned(), version });
        link.program = Some(Program { number: 61, name: Ok(Some("xdp_dispatcher".to_owned())) });
        link.device.xdp = Some(XdpPlace::Generic);
    };

    let (finding, report) = only(&facts(|facts, link| other(facts, link, (6, 6))));
    assert_eq!((finding.level, report.mode), (Level::Warn, Some("tcx")));
    assert!(finding.text.contains("number 61, xdp_dispatcher (libxdp's dispatcher"), "{finding:?}");
    assert!(finding.text.contains("in generic mode"), "{finding:?}");
    let dispatcher = "or put \"dispatcher\" there, before \"tcx\", if xdp-loader attaches that program: libxdp's dispatcher then calls both";
    assert_eq!(finding.help, Some(format!("bpftool prog show id 61\n{dispatcher}")));

    let (finding, report) = only(&facts(|facts, link| other(facts, link, (6, 1))));
    assert_eq!((finding.level, report.mode), (Level::Problem, None));
    assert!(finding.text.contains("6.6"), "{finding:?}");
    assert_eq!(finding.help, Some(format!("bpftool prog show id 61\n{dispatcher}")), "the way without a later kernel");

    for (version, tcx) in [
        ((6, 6), "add \"tcx\" to `daemon.attach`: behind that program"),
        ((6, 1), "add \"tcx\" to `daemon.attach`, on Linux 6.6 or later: behind that program"),
    ] {
        let (finding, report) = only(&facts(|facts, link| {
            other(facts, link, version);
            ways(facts, &[Attach::Native, Attach::Generic]);
        }));
        assert_eq!((finding.level, report.mode), (Level::Problem, None));
        assert_eq!(finding.help, Some(format!("bpftool prog show id 61\n{tcx}\n{dispatcher}")));
    }

    let (finding, _) = only(&facts(|facts, link| {
        other(facts, link, (6, 1));
        ways(facts, &[Attach::Native, Attach::Dispatcher, Attach::Tcx]);
    }));
    assert_eq!((finding.level, finding.help.as_deref()), (Level::Problem, Some("bpftool prog show id 61")));
    assert!(finding.text.contains("the command that `blocker status` shows"), "{finding:?}");
}

#[test]
fn whose_a_program_is_its_name_tells() {
    for (name, whose) in [
        ("xdpfilt_dny_all", "xdp-filter's"),
        ("xsk_def_prog", "AF_XDP"),
        ("cil_xdp_entry", "Cilium's"),
        ("blocker_nofrags", "another blocker's"),
    ] {
        let (finding, _) = only(&facts(|_, link| {
            link.program = Some(Program { number: 61, name: Ok(Some(name.to_owned())) });
        }));
        assert!(finding.text.contains(&format!("number 61, {name} (")) && finding.text.contains(whose), "{finding:?}");
    }
}

#[test]
fn whose_a_program_is_may_not_be_known() {
    let facts = facts(|_, link| {
        link.program = Some(Program { number: 61, name: Err("not permitted".to_owned()) });
        link.ours = Err("not permitted".to_owned());
    });

    let (finding, report) = only(&facts);
    assert!(!judge(&facts).0.iter().any(is_problem));

    assert_eq!((finding.level, report.attached, report.mode), (Level::NotChecked, None, None));
    assert!(finding.text.contains("number 61"), "{finding:?}");
}

#[test]
fn what_is_attached_is_told_also_without_a_daemon() {
    let (finding, report) = only(&facts(|_, link| {
        link.ours = Ok(Some(ours(AttachMode::Generic)));
        link.program = Some(Program { number: 7, name: Ok(Some("blocker".to_owned())) });
        link.device.mtu = 9001;
    }));

    assert_eq!((finding.level, report.mode, report.attached), (Level::Warn, Some("generic"), Some(true)));
    assert_eq!(finding.help.as_deref(), Some("ip link set dev eth0 mtu 3498"));
}

#[test]
fn an_interface_that_is_not_there_is_waited_for_and_alone_it_is_a_problem() {
    let absent = || Place { name: "eth1".to_owned(), carries: Vec::new(), link: Err("there is none".to_owned()) };
    let mut facts = facts(|_, _| {});
    facts.interfaces.as_mut().unwrap().places.push(absent());
    assert!(!judge(&facts).0.iter().any(is_problem));

    facts.interfaces.as_mut().unwrap().places = vec![absent()];
    assert!(judge(&facts).0.iter().any(is_problem));

    facts.interfaces.as_mut().unwrap().places = Vec::new();
    assert!(judge(&facts).0.iter().any(is_problem), "none is wanted");
}

#[test]
fn frames_without_ethernet_header_and_a_way_that_is_closed_are_problems() {
    let (finding, report) = only(&facts(|_, link| link.suitability = Suitability::OtherLink(65_534)));
    assert_eq!((finding.level, report.mode), (Level::Problem, None));

    let (finding, _) = only(&facts(|facts, link| {
        link.device.mtu = 9001;
        ways(facts, &[Attach::Native]);
    }));
    assert_eq!(finding.level, Level::Problem);
    assert_eq!(finding.help.as_deref(), Some("ip link set dev eth0 mtu 3498"));
}

#[test]
fn a_mode_that_is_wished_for_is_no_warning() {
    let (finding, report) = only(&facts(|facts, link| {
        link.device.mtu = 9001;
        ways(facts, &[Attach::Tcx]);
    }));

    assert_eq!((finding.level, report.mode), (Level::Ok, Some("tcx")));
}

#[test]
fn an_obstacle_that_nothing_removes_makes_the_other_commands_useless() {
    let (finding, _) = only(&facts(|_, link| {
        link.device.mtu = 9001;
        link.device.driver = Some("igb".to_owned());
        link.device.xdp_features = None;
    }));
    assert_eq!(finding.help.as_deref(), Some("ip link set dev eth0 mtu 3046"));

    let (finding, _) = only(&facts(|_, link| {
        link.device.driver = Some("bridge".to_owned());
        link.device.xdp_features = None;
    }));
    assert_eq!(finding.help, None);
}

#[test]
fn what_is_attached_behind_another_program_is_no_better_without_it() {
    let (finding, report) = only(&facts(|_, link| {
        link.ours = Ok(Some(ours(AttachMode::Tcx)));
        link.program = Some(Program { number: 61, name: Ok(Some("cil_xdp_entry".to_owned())) });
    }));

    assert_eq!((finding.level, report.mode, report.attached), (Level::Warn, Some("tcx"), Some(true)));
    assert!(finding.text.contains("number 61, cil_xdp_entry (Cilium's)"), "{finding:?}");
}

#[test]
fn a_component_of_the_dispatcher_is_as_well_as_it_can_be() {
    let facts = facts(|facts, link| {
        ways(facts, &[Attach::Native, Attach::Dispatcher]);
        link.program = Some(Program { number: 61, name: Ok(Some("xdp_dispatcher".to_owned())) });
    });
    let interfaces = facts.interfaces.unwrap();
    let link = interfaces.places[0].link.as_ref().unwrap();

    let outcome = attached(AttachMode::Dispatcher, "", &[], link, &interfaces, &Native::Possible);

    assert_eq!((outcome.level, outcome.text.as_str()), (Level::Ok, "attached, dispatcher mode"));
}

#[test]
fn what_could_be_native_now_is_told_with_how_to_try() {
    let (finding, _) = only(&facts(|_, link| link.ours = Ok(Some(ours(AttachMode::Generic)))));

    assert!(finding.level == Level::Warn && finding.text.contains("native mode seems possible"), "{finding:?}");
    assert!(finding.help.is_some_and(|help| help.starts_with("rm /sys/fs/bpf/blocker/v2/link-2,")));
}

#[test]
fn routes_that_cannot_all_be_read_may_hide_an_interface() {
    let mut facts = facts(|_, _| {});
    facts.interfaces.as_mut().unwrap().are_routes_whole = false;

    assert!(judge(&facts).0.iter().any(|finding| finding.subject == "interfaces" && finding.level == Level::Warn));
}
