//! Rows: what a frame is, how it is built, what becomes of it, and which counter tells so.

use blocker::kernel::Program;
use blocker_common::{Counter, Outcome};
use blocker_tests::kernel::has_frames_in_several_buffers;

use crate::frame::Frame;
use crate::tables::{Action, Loaded, Ran};

/// One frame and its fate.
pub(crate) struct Row {
    description: &'static str,
    frame: Frame,
    action: Action,
    outcome: Outcome,
}

/// Makes a row.
pub(crate) fn row(description: &'static str, frame: Frame, action: Action, outcome: Outcome) -> Row {
    Row { description, frame, action, outcome }
}

/// Runs every row through all three programs. Exactly the one counter must rise, by one packet and the frame's bytes.
pub(crate) fn check(loaded: &mut Loaded, rows: &[Row]) {
    let mut wrong = Vec::new();
    for Row { description, frame, action, outcome } in rows {
        let bytes = frame.bytes();
        let counter = Counter { packets: 1, bytes: bytes.len() as u64 };
        let expected = Ran { action: *action, rose: vec![(*outcome, counter)] };
        for program in [Program::Frags, Program::NoFrags] {
            let ran = loaded.run(program, bytes);
            if ran != expected {
                wrong.push(format!("{description} ({program:?})\n  want {expected:?}\n  have {ran:?}\n  {bytes:02x?}"));
            }
        }
        if let Some(ran) = loaded.run_tc(bytes)
            && ran != expected
        {
            wrong.push(format!("{description} (tc)\n  want {expected:?}\n  have {ran:?}\n  {bytes:02x?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} runs went wrong:\n{}", wrong.len(), 3 * rows.len(), wrong.join("\n"));
}

/// Runs rows whose frames are longer than one buffer through the program that takes such frames. Bytes are counted as far
/// as they lie in the first buffer, which is the kernel's business: only the packets are compared. A kernel without such
/// frames has nothing to run.
pub(crate) fn check_in_several_buffers(rows: &[Row]) {
    if !has_frames_in_several_buffers() {
        return;
    }
    let mut loaded = Loaded::strict_mail_server();
    for Row { description, frame, action, outcome } in rows {
        let Ran { action: taken, rose } = loaded.run(Program::Frags, frame.bytes());
        let outcomes: Vec<(Outcome, u64)> = rose.iter().map(|(outcome, counter)| (*outcome, counter.packets)).collect();
        assert_eq!((taken, outcomes.as_slice()), (*action, [(*outcome, 1)].as_slice()), "{description}");
    }
}
