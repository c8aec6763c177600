//! Streams of frames, whole, split and broken.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: ReaderLimits = ReaderLimits { message_max_bytes: 2_000, fragments_max: 10 };
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUE: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[test]
fn a_text_is_read() {
    assert_eq!(read([frame(FINAL | TEXT, "Привет")]), [text("Привет")]);
}

#[test]
fn a_whole_message_is_lent_from_the_input() {
    let mut reader = Reader::new(LIMITS);
    let mut input = [frame(FINAL | TEXT, "alice"), frame(FINAL | PING, "?")].concat();
    let mut at = 0;
    while reader.next(&mut input, &mut at).unwrap().is_some() {
        assert_eq!(reader.kept.capacity(), 0);
    }
}

#[test]
fn control_frames_come_between_the_frames_of_a_message() {
    let frames = [
        frame(TEXT, "Hel"),
        frame(FINAL | PING, "?"),
        frame(CONTINUE, ""),
        frame(FINAL | PONG, "unasked"),
        frame(FINAL | CONTINUE, "lo"),
    ];
    let expected = [Seen::Fragment, Seen::Ping(b"?".to_vec()), Seen::Fragment, Seen::Pong, text("Hello")];
    assert_eq!(read(frames.clone()), expected);
    assert_eq!(read_in(&frames.concat(), 1), expected);
}

#[test]
fn a_character_may_be_cut_between_frames() {
    let [first, second] = *"ж".as_bytes() else { unreachable!() };
    let frames = [frame(TEXT, [first]), frame(FINAL | CONTINUE, [second])];
    assert_eq!(read(frames), [Seen::Fragment, text("ж")]);
}

#[test]
fn a_message_may_be_empty_in_any_number_of_frames() {
    assert_eq!(read([frame(FINAL | TEXT, "")]), [text("")]);
    let frames = [frame(TEXT, ""), frame(CONTINUE, ""), frame(FINAL | CONTINUE, "")];
    assert_eq!(read(frames), [Seen::Fragment, Seen::Fragment, text("")]);
}

#[test]
fn a_binary_message_is_counted_and_not_kept() {
    let mut reader = Reader::new(LIMITS);
    let start = frame(BINARY, [0xff; 1_500]);
    assert_eq!(feed(&mut reader, &start[..800]), []);
    assert_eq!(reader.kept.capacity(), 0);
    assert_eq!(feed(&mut reader, &start[800..]), [Seen::Fragment]);
    assert_eq!(feed(&mut reader, &frame(FINAL | CONTINUE, [0; 500])), [Seen::Binary]);
    assert_eq!(feed(&mut reader, &frame(BINARY, [0; 1_500])), [Seen::Fragment]);
    assert_eq!(feed(&mut reader, &frame(FINAL | CONTINUE, [0; 501])), [too_big()]);
}

#[test]
fn nothing_behind_a_close_frame_counts() {
    let close = frame(FINAL | CLOSE, [3, 232, b'b', b'y', b'e']);
    assert_eq!(read([close, frame(FINAL | TEXT, "late"), vec![0xff; 9]]), [Seen::Close(Some(1000))]);
    assert_eq!(read([frame(FINAL | CLOSE, "")]), [Seen::Close(None)]);
}

#[test]
fn what_a_client_may_not_do_has_its_code() {
    let unmasked = vec![FINAL | TEXT, 1, b'a'];
    let long = |length: &[u8]| [&[FINAL | TEXT, 0x80 | length[0]], &length[1..], &[0; 4]].concat();
    let cases: [(&str, u16, Vec<Vec<u8>>); 32] = [
        ("unmasked", 1002, vec![unmasked]),
        ("rsv1", 1002, vec![frame(FINAL | 0x40 | TEXT, "a")]),
        ("rsv2", 1002, vec![frame(FINAL | 0x20 | TEXT, "a")]),
        ("rsv3", 1002, vec![frame(FINAL | 0x10 | PING, "a")]),
        ("opcode 3", 1002, vec![frame(FINAL | 3, "")]),
        ("opcode 7", 1002, vec![frame(FINAL | 7, "")]),
        ("opcode 11", 1002, vec![frame(FINAL | 11, "")]),
        ("opcode 15", 1002, vec![frame(FINAL | 15, "")]),
        ("fragmented ping", 1002, vec![frame(PING, "")]),
        ("fragmented close", 1002, vec![frame(CLOSE, "")]),
        ("long ping", 1002, vec![frame(FINAL | PING, [0; 126])]),
        ("long close", 1002, vec![frame(FINAL | CLOSE, [0; 126])]),
        ("lonely continuation", 1002, vec![frame(CONTINUE, "")]),
        ("lonely end", 1002, vec![frame(FINAL | CONTINUE, "")]),
        ("end twice", 1002, vec![frame(FINAL | TEXT, ""), frame(FINAL | CONTINUE, "")]),
        ("text in text", 1002, vec![frame(TEXT, ""), frame(FINAL | TEXT, "")]),
        ("binary in text", 1002, vec![frame(TEXT, ""), frame(BINARY, "")]),
        ("half a code", 1002, vec![frame(FINAL | CLOSE, [3])]),
        ("code 0", 1002, vec![frame(FINAL | CLOSE, [0, 0])]),
        ("code 999", 1002, vec![frame(FINAL | CLOSE, 999_u16.to_be_bytes())]),
        ("code 1005", 1002, vec![frame(FINAL | CLOSE, 1005_u16.to_be_bytes())]),
        ("code 1006", 1002, vec![frame(FINAL | CLOSE, 1006_u16.to_be_bytes())]),
        ("code 2999", 1002, vec![frame(FINAL | CLOSE, 2999_u16.to_be_bytes())]),
        ("code 5000", 1002, vec![frame(FINAL | CLOSE, 5000_u16.to_be_bytes())]),
        ("125 in two bytes", 1002, vec![long(&[126, 0, 125])]),
        ("65535 in eight bytes", 1002, vec![long(&[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff])]),
        ("highest bit", 1002, vec![long(&[127, 0x80, 0, 0, 0, 0, 0, 0, 0])]),
        ("text in Latin-1", 1007, vec![frame(FINAL | TEXT, [0xe9])]),
        ("half a character", 1007, vec![frame(TEXT, "a"), frame(FINAL | CONTINUE, [0xd0])]),
        ("reason in Latin-1", 1007, vec![frame(FINAL | CLOSE, [3, 232, 0xe9])]),
        ("one byte over", 1009, vec![frame(FINAL | TEXT, [b'a'; 2_001])]),
        ("one byte over, in two", 1009, vec![frame(TEXT, "a"), frame(CONTINUE, [b'a'; 2_000])]),
    ];
    for (what, code, frames) in cases {
        let seen = read(frames);
        match seen.last() {
            Some(Seen::Violation(violation)) => assert_eq!(violation.close_code(), code, "{what}"),
            _ => panic!("{what} was taken: {seen:?}"),
        }
    }
}

#[test]
fn what_is_just_allowed_is_taken() {
    let long_text = "a".repeat(2_000);
    assert_eq!(read([frame(FINAL | TEXT, &long_text)]), [text(&long_text)]);
    assert_eq!(read([frame(FINAL | PING, [7; 125])]), [Seen::Ping(vec![7; 125])]);
    for code in [1000_u16, 1001, 1003, 1007, 1011, 1012, 3000, 4999] {
        assert_eq!(read([frame(FINAL | CLOSE, code.to_be_bytes())]), [Seen::Close(Some(code))]);
    }
}

#[test]
fn a_message_has_at_most_so_many_frames() {
    let mut frames = vec![frame(TEXT, "")];
    frames.extend(vec![frame(CONTINUE, ""); 8]);
    let ninth = frames.clone();
    frames.push(frame(FINAL | CONTINUE, "a"));
    assert_eq!(read(frames).last(), Some(&text("a")));

    let endless = [ninth, vec![frame(CONTINUE, ""); 2]].concat();
    let seen = read(endless);
    assert_eq!((seen.len(), seen.last()), (11, Some(&too_big())));
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut reader = Reader::new(LIMITS);
    let header = [&[FINAL | TEXT, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[1, 2, 3, 4]].concat();
    assert_eq!(feed(&mut reader, &header), [too_big()]);
    assert_eq!(reader.kept.capacity(), 0);

    let big = ReaderLimits { message_max_bytes: 1 << 30, fragments_max: 10 };
    let mut reader = Reader::new(big);
    let header = [&[FINAL | TEXT, 0xff][..], &(1_u64 << 30).to_be_bytes(), &[0; 4], b"abc"].concat();
    assert_eq!(feed(&mut reader, &header), []);
    assert!(reader.kept.capacity() <= 8);
}

#[test]
fn the_buffer_is_freed_when_nothing_is_half_received() {
    let mut reader = Reader::new(LIMITS);
    let message = frame(FINAL | TEXT, [b'a'; 1_000]);
    assert_eq!(feed(&mut reader, &message[..600]), []);
    assert!(reader.kept.capacity() >= 592);
    assert_eq!(feed(&mut reader, &message[600..]).len(), 1);
    assert_eq!(reader.kept.capacity(), 0);

    let ping = frame(FINAL | PING, "are you there?");
    assert_eq!(feed(&mut reader, &ping[..10]), []);
    assert_eq!(feed(&mut reader, &ping[10..]).len(), 1);
    assert_eq!(reader.kept.capacity(), 0);
}

#[test]
fn no_more_is_kept_than_a_message_and_a_control_frame() {
    let mut reader = Reader::new(LIMITS);
    let message = frame(TEXT, [b'a'; 2_000]);
    feed(&mut reader, &message[..1_500]);
    feed(&mut reader, &message[1_500..]);
    feed(&mut reader, &frame(FINAL | PING, [7; 125])[..100]);
    assert!(reader.kept.capacity() <= LIMITS.message_max_bytes + CONTROL_MAX_BYTES);
}

#[test]
fn control_frames_are_written_as_a_server_does() {
    let mut out = Vec::new();
    write_ping(&mut out, b"?");
    write_pong(&mut out, b"");
    write_close(&mut out, 1013, "slow");
    assert_eq!(out, b"\x89\x01?\x8a\x00\x88\x06\x03\xf5slow");

    out.clear();
    write_close(&mut out, 1000, &"ж".repeat(100));
    assert_eq!((out.len(), out[1]), (2 + 124, 124));
    assert!(str::from_utf8(&out[4..]).is_ok());

    out.clear();
    write_ping(&mut out, &[0; 200]);
    assert_eq!((out.len(), out[1]), (127, 125));
}

#[test]
fn unmasking_turns_every_byte_by_its_own() {
    let mask = [0x6d, 0xb6, 0xb2, 0x80];
    for length in 0..40 {
        let mut bytes: Vec<u8> = (0..length).collect();
        unmask(&mut bytes, mask);
        let expected: Vec<u8> = (0..length).map(|i| i ^ mask[usize::from(i) % 4]).collect();
        assert_eq!(bytes, expected);
    }
}

proptest! {
    #[test]
    fn every_split_of_a_stream_gives_what_was_sent(
        sent in vec(sent(), 0..8),
        chunks in vec(1_usize..40, 1..200),
    ) {
        let stream: Vec<u8> = sent.iter().flat_map(|sent| sent.bytes.clone()).collect();
        let expected: Vec<Seen> = sent.into_iter().flat_map(|sent| sent.seen).collect();
        prop_assert_eq!(&read_in(&stream, usize::MAX), &expected);
        prop_assert_eq!(read_split(&stream, chunks), expected);
    }

    #[test]
    fn every_split_of_a_broken_stream_gives_the_same(
        sent in vec(sent(), 1..6),
        mistakes in vec((any::<prop::sample::Index>(), 0_u32..8), 1..4),
        chunks in vec(1_usize..40, 1..200),
    ) {
        let mut stream: Vec<u8> = sent.into_iter().flat_map(|sent| sent.bytes).collect();
        for (index, bit) in mistakes {
            *index.get_mut(&mut stream) ^= 1 << bit;
        }
        prop_assert_eq!(read_split(&stream, chunks), read_in(&stream, usize::MAX));
    }
}

/// An event that outlives its input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(String),
    Fragment,
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Violation(Violation),
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

fn too_big() -> Seen {
    Seen::Violation(Violation::TooBig)
}

fn read(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seen> {
    read_in(&frames.into_iter().collect::<Vec<_>>().concat(), usize::MAX)
}

fn read_in(stream: &[u8], chunk: usize) -> Vec<Seen> {
    read_split(stream, vec![chunk])
}

/// Reads a stream in chunks of these sizes, again from the first when they run out.
fn read_split(mut stream: &[u8], chunks: Vec<usize>) -> Vec<Seen> {
    let mut reader = Reader::new(LIMITS);
    let mut seen = Vec::new();
    for chunk in chunks.into_iter().cycle() {
        let (now, later) = stream.split_at(chunk.min(stream.len()));
        seen.extend(feed(&mut reader, now));
        assert!(reader.kept.capacity() <= LIMITS.message_max_bytes + CONTROL_MAX_BYTES);
        stream = later;
        if stream.is_empty() {
            break;
        }
    }
    let half = reader.frame.is_some() || reader.message.is_some() || reader.ended;
    assert!(half || reader.kept.capacity() == 0);
    seen
}

fn feed(reader: &mut Reader, input: &[u8]) -> Vec<Seen> {
    let mut input = input.to_vec();
    let mut at = 0;
    let mut seen = Vec::new();
    loop {
        seen.push(match reader.next(&mut input, &mut at) {
            Ok(Some(Event::Text(text))) => Seen::Text(text.to_owned()),
            Ok(Some(Event::Fragment)) => Seen::Fragment,
            Ok(Some(Event::Binary)) => Seen::Binary,
            Ok(Some(Event::Ping(payload))) => Seen::Ping(payload.to_vec()),
            Ok(Some(Event::Pong)) => Seen::Pong,
            Ok(Some(Event::Close(code))) => Seen::Close(code),
            Ok(None) => break,
            Err(violation) => Seen::Violation(violation),
        });
    }
    assert_eq!(at, input.len());
    seen
}

/// A frame as a client sends it, under a mask made of its payload's length.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mask = (payload.len() as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
    let header = FrameHeader {
        is_final: first & FINAL != 0,
        rsv1: first & 0x40 != 0,
        rsv2: first & 0x20 != 0,
        rsv3: first & 0x10 != 0,
        opcode: OpCode::from(first & 0x0f),
        mask: Some(mask),
    };
    let mut out = Vec::new();
    header.format(payload.len() as u64, &mut out).unwrap();
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A part of a stream, and what its reader is to see of it.
#[derive(Debug, Clone)]
struct Sent {
    bytes: Vec<u8>,
    seen: Vec<Seen>,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![1 => sent_control(), 3 => sent_message()]
}

fn sent_control() -> impl Strategy<Value = Sent> {
    (any::<bool>(), vec(any::<u8>(), 0..=125)).prop_map(|(is_ping, payload)| match is_ping {
        true => Sent { bytes: frame(FINAL | PING, &payload), seen: vec![Seen::Ping(payload)] },
        false => Sent { bytes: frame(FINAL | PONG, &payload), seen: vec![Seen::Pong] },
    })
}

/// A message cut anywhere, with control frames at the cuts.
fn sent_message() -> impl Strategy<Value = Sent> {
    let cut = (any::<prop::sample::Index>(), vec(sent_control(), 0..3));
    ("[\\PCжж😀]{0,200}", any::<bool>(), vec(cut, 0..5)).prop_map(|(message, is_text, mut cuts)| {
        let bytes = message.as_bytes();
        cuts.sort_by_key(|(index, _)| index.index(bytes.len() + 1));
        let mut sent = Sent { bytes: Vec::new(), seen: Vec::new() };
        let mut opcode = if is_text { TEXT } else { BINARY };
        let mut from = 0;
        for (index, controls) in cuts {
            let to = index.index(bytes.len() + 1);
            sent.bytes.extend(frame(opcode, &bytes[from..to]));
            sent.seen.push(Seen::Fragment);
            for control in controls {
                sent.bytes.extend(control.bytes);
                sent.seen.extend(control.seen);
            }
            (opcode, from) = (CONTINUE, to);
        }
        sent.bytes.extend(frame(FINAL | opcode, &bytes[from..]));
        sent.seen.push(if is_text { Seen::Text(message) } else { Seen::Binary });
        sent
    })
}
