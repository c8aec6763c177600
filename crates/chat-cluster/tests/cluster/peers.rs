use chat_cluster::{ClockStanding, Peers, PeersOptions, ServerRow, Standing};
use chat_core::Withheld;

use crate::start;

fn row(number: u32, age_ms: u64, bus_format: u8) -> ServerRow {
    ServerRow { incarnation: start(number), age_ms, has_left: false, bus_format, looked: 1, opened: 1 }
}

fn peers() -> Peers {
    Peers::new(0, start(1), PeersOptions::default())
}

#[test]
fn a_server_beats_every_half_second() {
    let mut peers = peers();
    assert_eq!(peers.next_beat(0), Some(1));
    assert_eq!(peers.next_beat(499), None);
    assert_eq!(peers.next_beat(500), Some(2));
}

#[test]
fn polls_are_fast_while_the_bus_is_not_healthy() {
    let mut peers = peers();
    let interval = |peers: &mut Peers, now_ms| {
        peers.polled(now_ms);
        peers.next_poll_ms(now_ms) - now_ms
    };
    assert_eq!(peers.next_poll_ms(0), 0, "at once, at first");
    assert_eq!(interval(&mut peers, 0), 500, "there is no other server");
    peers.rows(0, &[row(1, 0, 1), row(2, 0, 1), row(3, 9_000, 1)]);
    assert_eq!(interval(&mut peers, 0), 25, "there is no bus");
    let many: Vec<ServerRow> = (1..=10).map(|number| row(number, 0, 1)).collect();
    peers.rows(0, &many);
    assert_eq!(interval(&mut peers, 0), 50);

    peers.rows(100, &[row(1, 0, 1), row(2, 0, 1)]);
    peers.bus(100, true);
    assert_eq!(peers.next_poll_ms(100), 100, "each change of the connection brings a poll");
    assert_eq!(interval(&mut peers, 100), 500);
    // The other server's row is fresh, but it is cut off from the bus.
    assert_eq!(interval(&mut peers, 2_099), 500);
    assert_eq!(interval(&mut peers, 2_100), 25);
    peers.heard(2_200, start(2));
    assert_eq!(interval(&mut peers, 2_200), 500);
    peers.bus(2_300, false);
    assert_eq!(interval(&mut peers, 2_300), 25);
    // A server whose row is old is no longer waited for.
    peers.bus(2_400, true);
    peers.rows(5_000, &[row(1, 0, 1), row(2, 5_000, 1)]);
    assert_eq!((interval(&mut peers, 5_000), peers.others()), (500, 0));
}

#[test]
fn the_lowest_format_alive_is_published() {
    let mut peers = peers();
    peers.rows(0, &[row(1, 0, 1), row(2, 0, 0), row(3, 0, 9)]);
    assert_eq!(peers.bus_format(), 0);
    peers.rows(0, &[row(1, 0, 1), row(2, 6_000, 0), row(3, 0, 9)]);
    assert_eq!(peers.bus_format(), chat_cluster::BUS_FORMAT);
}

#[test]
fn an_unreachable_database_stops_a_server_in_steps() {
    let mut peers = peers();
    assert_eq!(peers.standing(60_000), Standing::Fine, "nobody else removes members");
    peers.rows(0, &[row(1, 0, 1), row(2, 0, 1)]);
    let standings = [999, 1_000, 9_999, 10_000, 59_999, 60_000].map(|now_ms| peers.standing(now_ms));
    use Standing::{CloseSockets, Fine, NotReady, RemovalsUnknown};
    assert_eq!(standings, [Fine, RemovalsUnknown, RemovalsUnknown, NotReady, NotReady, CloseSockets]);
    assert_eq!(peers.next_standing_ms(500), Some(1_000));
    assert_eq!(peers.next_standing_ms(10_000), Some(60_000));
    assert_eq!(peers.next_standing_ms(60_000), None);
    peers.rows(60_000, &[row(1, 0, 1), row(2, 0, 1)]);
    assert_eq!(peers.standing(60_500), Fine);
}

#[test]
fn open_rooms_wait_where_one_may_have_been_closed() {
    use Standing::{CloseSockets, Fine, NotReady, RemovalsUnknown};
    let standings = [Fine, RemovalsUnknown, NotReady, CloseSockets];
    let withheld = |lacks_commits| standings.map(|standing| standing.withheld(lacks_commits));
    use Withheld::{AllRooms, ClosedRooms, Nothing};
    assert_eq!(withheld(false), [Nothing, ClosedRooms, AllRooms, AllRooms]);
    assert_eq!(withheld(true), [Nothing, AllRooms, AllRooms, AllRooms]);
}

#[test]
fn a_clock_that_is_far_off_makes_a_server_unready() {
    use ClockStanding::{FarOff, Fine, Off};
    let standings = [50_000, 50_999, 51_000, 79_999, 80_000].map(|own_ms| peers().clock(own_ms, 50_000));
    assert_eq!(standings, [Fine, Fine, Off, Off, FarOff]);
    assert_eq!(peers().clock(20_000, 50_000), FarOff, "it may be behind");
}
