//! Tests of the oracle: it must catch every planted bug.

use chat_simulator::{Bug, Settings, simulate};

fn caught(bug: Bug) {
    let settings = Settings { bug: Some(bug), ..Settings::default() };
    let failure = (0..PLANTED_SEEDS).find_map(|seed| simulate(seed, &settings).err());
    let failure = failure.unwrap_or_else(|| panic!("{bug:?} was not caught within {PLANTED_SEEDS} seeds"));
    // Printed with --nocapture.
    let what: String = failure.what.chars().take(160).collect();
    println!("{bug:?}: seed {} of {}: {what}", failure.seed, failure.seed + 1);
}

/// Seeds rise from 0, so that the seed that catches a bug is the number of runs it took,
/// less one.
const PLANTED_SEEDS: u64 = 1_000;

macro_rules! each_is_caught {
    ($($test:ident: $bug:expr),* $(,)?) => {$(
        #[test]
        fn $test() {
            caught($bug);
        }
    )*};
}

each_is_caught! {
    a_log_that_stores_what_a_hook_refuses: Bug::StoreRefused,
    a_log_that_stores_a_nonce_again: Bug::NoDedupe,
    a_log_that_says_it_keeps_what_it_forgot: Bug::NoFirst,
    a_bus_that_is_never_healed: Bug::NoPoll,
    a_server_whose_loss_is_not_published: Bug::NoHubLost,
    hubs_that_share_an_id: Bug::HubIdTwice,
    a_server_that_starts_without_a_look_at_the_others: Bug::OpenUnproven,
    a_commit_of_a_dead_server_that_is_not_in_the_feed: Bug::OrphanNotPublished,
    the_end_of_a_session_that_is_on_the_bus_only: Bug::RevokeOnBusOnly,
    a_client_that_forgets_its_outbox: Bug::ForgetOutbox,
    a_client_that_forgets_the_files_in_its_outbox: Bug::ForgetFiles,
    a_log_that_applies_changes_later: Bug::AppliedBeside,
    a_log_that_counts_a_reaction_again: Bug::DoubleReaction,
    a_log_that_lets_anybody_edit: Bug::EditByAnother,
    a_log_that_keeps_the_texts_of_old_edits: Bug::OldEditText,
    a_log_that_forgets_what_it_has_answered: Bug::ForgetAnswers,
    a_log_whose_changes_make_members: Bug::ChangeJoins,
    a_client_that_applies_changes_twice: Bug::AppliedTwice,
    a_log_that_attaches_a_file_twice: Bug::AttachTwice,
    a_log_that_attaches_files_of_others: Bug::AttachForeign,
    a_log_that_looks_for_files_before_nonces: Bug::FilesBeforeNonces,
    a_log_that_shows_files_of_deleted_messages: Bug::ShowDeletedFiles,
    a_log_whose_deleted_files_can_be_read: Bug::ReadDeletedFiles,
    a_log_whose_files_everybody_reads: Bug::ReadFilesOfOthers,
    a_sweep_that_removes_files_of_messages: Bug::SweepAttached,
    a_sweep_that_leaves_deleted_files: Bug::KeepDeletedFiles,
    a_sweep_that_forgets_before_it_removes: Bug::ForgetFirst,
}

#[cfg(feature = "planted-bugs")]
mod between_servers {
    use chat_cluster::PlantedBug;
    use chat_simulator::Bug;

    use super::caught;

    each_is_caught! {
        that_do_not_hold_conversations_back: Bug::Cluster(PlantedBug::HoldIgnored),
        that_jump_gaps: Bug::Cluster(PlantedBug::SeenJumpsGap),
        that_answer_before_what_is_held: Bug::Cluster(PlantedBug::ReceiptBeforeHold),
        that_read_what_they_store_themselves: Bug::Cluster(PlantedBug::OwnFromFeed),
        that_give_silent_servers_up: Bug::Cluster(PlantedBug::ExpireOnBusLoss),
        that_tell_snapshots_uncompared: Bug::Cluster(PlantedBug::SnapshotUncompared),
        that_go_back_to_an_older_presence: Bug::Cluster(PlantedBug::StaleDeltaAfterSnapshot),
        that_do_not_look_for_the_newest_commits: Bug::Cluster(PlantedBug::NewestNotLookedFor),
        that_append_before_the_others_have_looked: Bug::Cluster(PlantedBug::NoBarrier),
    }
}

#[cfg(feature = "planted-bugs")]
mod in_a_hub {
    use chat_core::PlantedBug;
    use chat_simulator::Bug;

    use super::caught;

    each_is_caught! {
        that_does_not_look_for_gaps: Bug::Hub(PlantedBug::NoGapCheck),
        that_does_not_look_for_duplicates: Bug::Hub(PlantedBug::NoDuplicateCheck),
        that_reads_before_it_subscribes: Bug::Hub(PlantedBug::ReadBeforeSubscribe),
        that_delivers_after_leave: Bug::Hub(PlantedBug::DeliverAfterLeave),
        that_shows_what_is_not_stored: Bug::Hub(PlantedBug::ShowBeforeCommit),
        that_skips_those_who_are_slow: Bug::Hub(PlantedBug::SkipWhenSlow),
        that_tells_everybody: Bug::Hub(PlantedBug::PrivateToAll),
        that_asks_for_a_refused_message_again: Bug::Hub(PlantedBug::RetryRefusal),
        without_credits: Bug::Hub(PlantedBug::NoCredit),
        that_gives_a_failed_read_up: Bug::Hub(PlantedBug::NoReadRetry),
        that_waits_for_ever: Bug::Hub(PlantedBug::NoDraftTimeout),
        that_acknowledges_before_the_commit: Bug::Hub(PlantedBug::AckBeforeCommit),
        that_takes_what_comes_behind_a_failure: Bug::Hub(PlantedBug::NoRefusing),
        that_does_not_check_a_resume: Bug::Hub(PlantedBug::ResumeUnchecked),
        that_shows_who_types_to_those_who_left: Bug::Hub(PlantedBug::TypingAfterLeave),
        that_delivers_after_a_removal: Bug::Hub(PlantedBug::DeliverAfterRemoval),
        that_does_not_wait_for_removals: Bug::Hub(PlantedBug::RemovalsNotWaitedFor),
        that_checks_members_at_joins_only: Bug::Hub(PlantedBug::CheckAtJoinOnly),
        whose_marks_go_back: Bug::Hub(PlantedBug::MarkGoesBack),
        that_hides_what_was_read_elsewhere: Bug::Hub(PlantedBug::ReadNotShown),
        that_counts_own_messages: Bug::Hub(PlantedBug::OwnMessageCounted),
        whose_recent_frames_show_what_was_taken_back: Bug::Hub(PlantedBug::StaleRecentFrame),
        whose_recent_frames_show_old_edits: Bug::Hub(PlantedBug::OldEditText),
        whose_pages_show_what_was_taken_back: Bug::Hub(PlantedBug::StalePage),
        whose_folded_replays_skip_changes: Bug::Hub(PlantedBug::FoldToTheTop),
    }
}

#[cfg(feature = "planted-bugs")]
mod in_a_shard {
    use chat_shard::PlantedBug;
    use chat_simulator::Bug;

    use super::caught;

    each_is_caught! {
        whose_writer_acknowledges_a_failure: Bug::Shard(PlantedBug::AckAFailure),
        whose_writer_stores_what_waits_behind_a_failure: Bug::Shard(PlantedBug::StoreBehindAFailure),
        that_counts_a_failure_too_early: Bug::Shard(PlantedBug::CountFailuresFirst),
        whose_full_inbox_drops: Bug::Shard(PlantedBug::DropWhenFull),
        whose_inbox_is_a_stack: Bug::Shard(PlantedBug::StackForInbox),
        whose_slow_socket_drops: Bug::Shard(PlantedBug::DropWhenSlow),
        that_answers_a_sign_out_too_early: Bug::Shard(PlantedBug::AnswerBeforeTheEnd),
        that_ignores_a_sign_out: Bug::Shard(PlantedBug::NoRevoked),
        whose_bus_tells_one_shard_of_a_change: Bug::Shard(PlantedBug::ChangeToOneShard),
        whose_inbox_puts_a_change_before_entries: Bug::Shard(PlantedBug::ChangeBeforeEntries),
        whose_writer_gives_a_change_up: Bug::Shard(PlantedBug::NoRepeat),
        whose_last_mark_wins: Bug::Shard(PlantedBug::LastMarkWins),
    }
}
