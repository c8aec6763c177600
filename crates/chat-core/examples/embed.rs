//! Two users, one message, and what each receives: `cargo run -p lanechat-core --example embed`

#![expect(clippy::disallowed_macros, reason = "an example may print")]

use chat_core::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut hub = Hub::new(HubOptions { framing: Framing::Lines, ..HubOptions::default() }, Seed(1, 2));
    let (mut out, mut log) = (Outputs::default(), History::new(Seed(3, 4), HistoryLimits::default()));
    let now = Now { mono_ms: 0, wall_ms: 1_795_371_797_000 };
    for (number, name) in [(0, "alice"), (1, "bob")] {
        let (client, user) = (ClientId(number), &Username::parse(name)?);
        let protocol = Protocol::V1 { room: RoomName::default() };
        hub.step(now, Input::Open { client, user, session: None, good_for_ms: None, protocol }, &mut out);
    }
    hub.step(now, Input::Frame { client: ClientId(0), text: r#"{"text":"hi"}"# }, &mut out);
    while let Some(output) = out.next() {
        match output {
            Output::Write(to) => print!("{:?} {}", out.recipients(&to), str::from_utf8(out.bytes(&to))?),
            Output::Append(draft) => {
                let Commit { entries, receipts, changes, .. } = log.append(&[draft], now.wall_ms, |_| true);
                hub.step(now, Input::Changes(&changes), &mut out);
                hub.step(now, Input::Commit { entries: &entries, receipts: &receipts }, &mut out);
            }
            Output::Read { id, query } => {
                hub.step(now, Input::Answer { id, answer: &log.answer(&query) }, &mut out);
            }
            Output::Keep(mark) => log.keep(&mark),
            _ => {}
        }
        hub.end_turn(&mut out);
    }
    Ok(())
}
