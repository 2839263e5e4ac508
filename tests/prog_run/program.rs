//! The object as the kernel has it: the programs load, the maps have their shapes, types have names.

use std::collections::BTreeMap;
use std::fs;

use aya::maps::MapInfo;
use blocker::kernel::Program;
use blocker_common::{MAX_INTERFACES, MapName, Outcome, PROGRAM, PROGRAM_NO_FRAGS, Shape};
use blocker_tests::kernel::{has_frames_in_several_buffers, release};

use crate::frame::ipv4;
use crate::tables::{CUSTOMER, IMAP, Loaded};

#[test]
fn both_programs_load_on_this_kernel() {
    let mut loaded = Loaded::empty();
    for (program, name) in [(Program::Frags, PROGRAM), (Program::NoFrags, PROGRAM_NO_FRAGS)] {
        if program == Program::Frags && !has_frames_in_several_buffers() {
            let why = loaded.refusal(program).expect("the kernel does not know the program's flag");
            assert!(why.contains("Invalid argument"), "{why}");
            continue;
        }
        let info = loaded.program(program).info().expect("the kernel tells of a program");

        assert_eq!(info.name_as_str(), Some(name));
        assert!(info.btf_id().is_some(), "{name} has type information");
        assert_eq!(info.gpl_compatible(), Some(true), "the licence is understood");
        println!(
            "{name} on {}: {} instructions verified, {} bytes translated, {} bytes of machine code",
            release(),
            info.verified_instruction_count().map_or("unknown".to_owned(), |count| count.to_string()),
            info.size_translated().unwrap_or(0),
            info.size_jitted(),
        );
    }
}

/// The constants that a program is loaded with: its interface's place in the table, and nothing else. The verifier sees only
/// what the constants leave of a program, so each must be loaded to be known to load.
#[test]
fn every_program_loads_for_every_place_in_the_table_of_interfaces() {
    let frame = ipv4(CUSTOMER).tcp(IMAP);
    for slot in [0, 1, 2, 31, 32, MAX_INTERFACES - 2, MAX_INTERFACES - 1] {
        let mut loaded = Loaded::at(slot);
        loaded.repeat(Program::Frags, frame.bytes(), 1);
        loaded.repeat(Program::NoFrags, frame.bytes(), 1);
        loaded.act_tc(frame.bytes()).expect("it is long enough for tc");

        for other in 0..MAX_INTERFACES {
            let counter = loaded.maps.counter(other, Outcome::PassUnprotected).expect("every place has counters");
            assert_eq!(counter.packets, if other == slot { 3 } else { 0 }, "at {other}, loaded for {slot}");
        }
    }
}

/// The constants are a map of their own, which here holds four bytes: the place in the table. A further constant must be
/// tried above in every combination.
#[test]
fn the_object_has_no_other_constants() {
    let _loaded = Loaded::empty();

    let maps = maps_of_this_process();

    for shape in &maps[".rodata"] {
        assert_eq!((shape.value_size, shape.max_entries), (4, 1));
    }
}

#[test]
fn the_maps_have_the_shapes_that_the_daemon_expects() {
    let _loaded = Loaded::empty();

    let maps = maps_of_this_process();

    for name in MapName::ALL {
        let shapes = maps.get(name.as_str()).unwrap_or_else(|| panic!("{} is not in {maps:?}", name.as_str()));
        for shape in shapes {
            assert_eq!(*shape, name.shape(), "{}", name.as_str());
        }
    }
}

/// The maps this process holds open, by name. Tests that run at the same time have loaded the same object.
fn maps_of_this_process() -> BTreeMap<String, Vec<Shape>> {
    let mut maps: BTreeMap<String, Vec<Shape>> = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo").expect("/proc tells of open files") {
        let path = entry.expect("/proc can be listed").path();
        // Files of other tests close meanwhile.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim();
            value.strip_prefix("0x").map_or_else(|| value.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
        };
        let Some(info) = field("map_id").and_then(|id| MapInfo::from_id(id).ok()) else { continue };
        let shape = (|| {
            Some(Shape {
                kind: field("map_type")?,
                key_size: field("key_size")?,
                value_size: field("value_size")?,
                max_entries: field("max_entries")?,
                flags: field("map_flags")?,
            })
        })();
        let name = info.name_as_str().expect("the kernel tells a map's name");
        maps.entry(name.to_owned()).or_default().push(shape.expect("the kernel tells a map's shape"));
    }
    maps
}
