//! What one delivery costs the hub, to be counted by valgrind in instructions,
//! which come out the same on a busy machine:
//!
//! ```text
//! cargo build --release -p lanechat-core --example delivery_cost
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!     target/release/examples/delivery_cost v2 100 32 200 0
//! ```
//!
//! The arguments are the version of the protocol, clients in one room, messages
//! in a turn, turns of a millisecond each, and connected members of the room who have
//! not joined it: they are sent `activity`, first after 500 turns, then every 1,000. It
//! prints how many deliveries were made. The difference of two runs with different
//! numbers of turns leaves out the start.

#![expect(clippy::disallowed_macros, reason = "an example may print")]

use chat_core::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u32| -> Result<u32, std::num::ParseIntError> {
        arguments.get(index).map_or(Ok(default), |text| text.parse())
    };
    let is_v2 = arguments.first().is_none_or(|version| version == "v2");
    let (clients, messages, turns) = (number(1, 100)?, number(2, 32)?, number(3, 200)?);
    let members = number(4, 0)?;

    let options = HubOptions { rate: None, frame_rate: None, ..HubOptions::default() };
    let mut shell = Shell {
        hub: Hub::new(options, Seed(1, 2)),
        out: Outputs::default(),
        log: History::new(Seed(3, 4), HistoryLimits::default()),
        now: Now { mono_ms: 0, wall_ms: 1_795_371_797_000 },
        written: 0,
    };
    let room = RoomName::parse("kitchen")?;
    let names = (0..clients + members).map(|number| Username::parse(&format!("user{number}")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let creation = WantedChange::Create {
        room: room.clone(),
        info: RoomInfo::opened(&room),
        members: names[1..].to_vec(),
        by: names[0].clone(),
    };
    shell.log.change(&creation, shell.now.wall_ms, |_| true)?;
    for (client, user) in (0..clients + members).map(ClientId).zip(&names) {
        let protocol = if is_v2 { Protocol::V2 } else { Protocol::V1 { room: room.clone() } };
        shell.step(Input::Open { client, user, session: None, good_for_ms: None, protocol });
        shell.end_turn();
        if is_v2 && client.0 < clients {
            shell.step(Input::Frame { client, text: r#"{"type":"join","room":"kitchen"}"# });
            shell.end_turn();
        }
    }
    let before = shell.out.deliveries();
    for turn in 0..turns {
        for message in 0..messages {
            let client = ClientId((turn * messages + message) % clients);
            let text = match is_v2 {
                true => format!(
                    r#"{{"type":"message","room":"kitchen","text":"Привет, мир!","nonce":"{turn}-{message}"}}"#
                ),
                false => r#"{"type":"message","text":"Привет, мир!"}"#.to_owned(),
            };
            shell.step(Input::Frame { client, text: &text });
        }
        shell.now.mono_ms += 1;
        shell.now.wall_ms += 1;
        shell.end_turn();
        if shell.hub.next_tick_ms() <= shell.now.mono_ms {
            shell.step(Input::Tick);
            shell.end_turn();
        }
    }
    println!("{} deliveries, {} bytes", shell.out.deliveries() - before, shell.written);
    Ok(())
}

/// The hub and a log in memory.
struct Shell {
    hub: Hub,
    out: Outputs,
    log: History,
    now: Now,
    written: usize,
}

impl Shell {
    fn step(&mut self, input: Input<'_>) {
        self.hub.step(self.now, input, &mut self.out);
    }

    /// Ends the turn and performs its outputs, as often as those bring new ones:
    /// the drafts of a turn are one batch.
    fn end_turn(&mut self) {
        loop {
            self.hub.end_turn(&mut self.out);
            let (mut drafts, mut is_idle) = (Vec::new(), true);
            while let Some(output) = self.out.next() {
                is_idle = false;
                match output {
                    Output::Write(write) => {
                        self.written += self.out.bytes(&write).len() * self.out.recipients(&write).len();
                    }
                    Output::Append(draft) => drafts.push(draft),
                    Output::Read { id, query } => {
                        let answer = self.log.answer(&query);
                        self.step(Input::Answer { id, answer: &answer });
                    }
                    _ => {}
                }
            }
            if !drafts.is_empty() {
                let commit = self.log.append(&drafts, self.now.wall_ms, |_| true);
                self.step(Input::Changes(&commit.changes));
                self.step(Input::Commit { entries: &commit.entries, receipts: &commit.receipts });
            }
            if is_idle {
                return;
            }
        }
    }
}
