use chat_cluster::{Failover, FailoverOutput, ServerRow};

use crate::start;

fn row(number: u32, age_ms: u64, looked: u32) -> ServerRow {
    ServerRow { incarnation: start(number), age_ms, has_left: false, bus_format: 1, looked, opened: 0 }
}

fn outputs(failover: &mut Failover) -> Vec<FailoverOutput> {
    std::iter::from_fn(|| failover.next_output()).collect()
}

/// Server 1 of two on timeline 1.
fn in_service() -> Failover {
    let mut failover = Failover::new(0, start(1), 1, "one");
    assert!(!failover.may_append(1), "before the table was read");
    failover.rows(0, 1, "one", &[row(1, 0, 1), row(2, 0, 1)]);
    assert!(failover.may_append(1));
    failover
}

#[test]
fn nobody_appends_before_all_servers_that_live_have_looked() {
    let mut failover = in_service();
    failover.on_timeline(0, 2);
    assert_eq!(outputs(&mut failover), [FailoverOutput::Look { timeline: 2 }]);
    assert!(!failover.may_append(1) && !failover.may_append(2));
    assert_eq!(failover.reported(), None);
    failover.rows(0, 2, "one", &[row(1, 0, 1), row(2, 0, 1)]);
    assert_eq!(outputs(&mut failover), [], "it looks already");
    failover.looked(2, None);
    failover.rows(0, 2, "one", &[row(1, 0, 1), row(2, 0, 1)]);
    assert_eq!(outputs(&mut failover), [FailoverOutput::Look { timeline: 2 }], "once more");
    failover.looked(2, Some(true));
    assert_eq!(outputs(&mut failover), [FailoverOutput::Report { timeline: 2 }]);
    assert!(!failover.may_append(2), "the other server has not looked");
    failover.rows(0, 2, "one", &[row(1, 0, 2), row(2, 4_999, 1)]);
    assert!(!failover.may_append(2));
    failover.rows(0, 2, "one", &[row(1, 0, 2), row(2, 0, 2)]);
    assert!(failover.may_append(2) && !failover.may_append(1));
    // A server that starts later has nothing to look for.
    failover.rows(0, 2, "one", &[row(1, 0, 2), row(2, 0, 2), row(3, 0, 0)]);
    assert!(failover.may_append(2));
}

#[test]
fn a_dead_server_is_not_waited_for() {
    let mut failover = in_service();
    failover.on_timeline(100, 2);
    failover.looked(2, Some(true));
    // While the database was away, nobody could write a row.
    failover.rows(5_099, 2, "one", &[row(1, 0, 2), row(2, 60_000, 1)]);
    assert!(!failover.may_append(2));
    failover.rows(5_100, 2, "one", &[row(1, 0, 2), row(2, 4_999, 1)]);
    assert!(!failover.may_append(2), "it lives, and has not looked");
    failover.rows(5_100, 2, "one", &[row(1, 0, 2), row(2, 5_000, 1)]);
    assert!(failover.may_append(2));
}

/// A killed server's row is in the table for ten minutes.
#[test]
fn a_server_that_starts_where_another_may_append_waits_for_nobody() {
    let start_on = |timeline, other: ServerRow| {
        let mut failover = Failover::new(0, start(4), timeline, "one");
        failover.rows(0, timeline, "one", &[row(2, 60_000, 1), other, row(4, 0, timeline)]);
        failover.may_append(timeline)
    };
    let (lives, opened) = (row(3, 0, 2), ServerRow { opened: 2, ..row(3, 0, 2) });
    assert!(!start_on(2, lives), "it has looked, and waits itself");
    assert!(start_on(2, opened.clone()));
    assert!(start_on(2, ServerRow { has_left: true, ..opened.clone() }));
    assert!(start_on(2, ServerRow { age_ms: 60_000, ..opened.clone() }), "killed since");
    assert!(!start_on(3, ServerRow { looked: 3, ..opened }), "that was on the timeline before");
}

#[test]
fn a_barrier_that_is_open_elsewhere_does_not_replace_the_own_look() {
    let mut failover = in_service();
    failover.on_timeline(0, 2);
    let rows = [row(1, 0, 1), row(2, 60_000, 1), ServerRow { opened: 2, ..row(3, 0, 2) }];
    failover.rows(0, 2, "one", &rows);
    assert!(!failover.may_append(2), "it has not looked");
    failover.looked(2, Some(true));
    assert!(failover.may_append(2));
    failover.on_timeline(0, 3);
    failover.looked(3, Some(true));
    failover.rows(0, 3, "one", &rows);
    assert!(!failover.may_append(3), "another has taken over since");
}

#[test]
fn lost_commits_end_the_epoch_and_all_servers_start_afresh() {
    let (mut finder, mut other) = (in_service(), in_service());
    finder.on_timeline(0, 2);
    finder.looked(2, Some(false));
    let end = FailoverOutput::EndEpoch { epoch: "one".to_owned() };
    assert_eq!(outputs(&mut finder), [FailoverOutput::Look { timeline: 2 }, end]);
    assert!(!finder.may_append(2));
    for failover in [&mut finder, &mut other] {
        failover.rows(0, 2, "two", &[row(1, 0, 1), row(2, 0, 1)]);
        assert_eq!(outputs(failover), [FailoverOutput::Restart]);
        assert!(!failover.may_append(2));
        failover.rows(0, 2, "two", &[]);
        failover.on_timeline(0, 3);
        assert_eq!(outputs(failover), []);
    }
}

#[test]
fn an_answer_of_an_earlier_timeline_says_nothing() {
    let mut failover = in_service();
    failover.on_timeline(0, 2);
    failover.on_timeline(0, 3);
    failover.looked(2, Some(true));
    assert_eq!(
        outputs(&mut failover),
        [FailoverOutput::Look { timeline: 2 }, FailoverOutput::Look { timeline: 3 }]
    );
    failover.rows(0, 3, "one", &[row(1, 0, 1), row(2, 0, 3)]);
    assert!(!failover.may_append(3));
}

#[test]
fn a_server_of_before_the_rule_is_not_waited_for() {
    let mut failover = in_service();
    failover.on_timeline(0, 2);
    failover.looked(2, Some(true));
    failover.rows(0, 2, "one", &[row(1, 0, 2), row(2, 0, 0)]);
    assert!(failover.may_append(2));
}

/// The sequencer had not taken the commit yet.
#[test]
fn what_only_a_lane_misses_ends_the_epoch_too() {
    let mut failover = in_service();
    failover.on_timeline(0, 2);
    failover.looked(2, Some(true));
    failover.rows(0, 2, "one", &[row(1, 0, 2), row(2, 0, 2)]);
    failover.missing(2);
    assert!(!failover.may_append(2));
    let asked = outputs(&mut failover);
    assert_eq!(asked.last(), Some(&FailoverOutput::Look { timeline: 2 }), "{asked:?}");
    failover.looked(2, Some(true));
    assert_eq!(outputs(&mut failover), [FailoverOutput::EndEpoch { epoch: "one".to_owned() }]);
    assert!(!failover.may_append(2));
}
