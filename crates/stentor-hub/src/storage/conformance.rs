//! The conformance suite: one test for each rule of the contract of [`Storage`](super::Storage).
//!
//! To test a storage, add one line to a test module or to a file under `tests/`:
//!
//! ```ignore
//! stentor_hub::conformance_tests!(|| async { MemoryStorage::new() });
//! ```
//!
//! The closure creates a new, empty storage; each scenario calls it once. To keep something alive as long as the
//! storage, such as a directory, return a pair: its second part is dropped after the storage is closed. If the storage
//! can be opened again, return [`Fresh::on`] with the location of its data:
//!
//! ```ignore
//! stentor_hub::conformance_tests!(|| async {
//!     let directory = tempfile::tempdir().unwrap();
//!     Fresh::on(directory, |directory| SqliteStorage::open(directory.path()).unwrap())
//! });
//! ```
//!
//! Within this crate the macro is `crate::conformance_tests!`. In another crate it needs the feature `testing` of this
//! crate, and tokio with the features `macros` and `rt`, among the `[dev-dependencies]`. Each scenario becomes a
//! `#[tokio::test]` with its own name. The last test runs random calls against a simple model of the log: 64
//! sequences, or as many as `PROPTEST_CASES` says.
//!
//! The suite does not test properties that only some storages have, such as durability and memory bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "this code runs only in tests")]

#[doc(hidden)]
pub mod append;
#[doc(hidden)]
pub mod commit_sink;
#[doc(hidden)]
pub mod content;
#[doc(hidden)]
pub mod delete;
mod fresh;
#[doc(hidden)]
pub mod keys;
#[doc(hidden)]
pub mod leases;
pub(in crate::storage) mod log;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod read;
#[doc(hidden)]
pub mod seek;
#[doc(hidden)]
pub mod topics;
#[doc(hidden)]
pub mod trim;
#[doc(hidden)]
pub mod trim_point;
#[doc(hidden)]
pub mod uploads;

pub use self::fresh::Fresh;
#[doc(hidden)]
pub use self::fresh::run_scenario;
pub use self::log::Log;

/// Generates one test for each rule of the storage contract, see
/// [`storage::conformance`](crate::storage::conformance).
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance_tests! { @each $make;
            commit_sink {
                the_epoch_never_changes_and_is_in_every_id
                a_log_that_never_stopped_uncleanly_has_burned_nothing
                the_tail_is_the_offset_of_the_last_record
                the_sink_has_the_appended_records_when_append_returns
                the_sink_gets_each_record_once_and_in_order
                the_sink_gets_nothing_of_a_refused_publish
                the_sink_gets_a_deletion_in_log_order
                the_sink_gets_the_records_that_are_read
                a_dropped_append_is_whole_or_not_at_all
                closing_finishes_running_appends
            }
            append {
                every_publish_has_an_outcome_in_order
                an_empty_batch_has_no_outcomes
                an_outcome_has_the_ids_of_the_first_and_the_last_record
                offsets_rise_in_the_order_of_the_batch
                offsets_are_never_used_again
                one_publish_may_go_to_several_topics
                an_event_and_the_end_are_one_publish
                an_ended_topic_refuses_events_and_reports_the_id_of_its_end
                nothing_of_a_publish_is_appended_if_one_of_its_topics_has_ended
                an_entry_after_an_end_in_the_same_publish_refuses_all_of_it
                a_refused_publish_does_not_fail_the_others
                later_publishes_of_a_batch_see_the_end_that_an_earlier_one_appended
                a_publish_that_requires_a_stored_one_is_appended
                a_publish_that_requires_a_refused_one_is_withheld
                a_chain_of_publishes_is_withheld_up_to_one_that_requires_none
                the_first_of_a_batch_requires_none
                a_deletion_cannot_be_published
                the_time_of_a_record_is_now_to_the_microsecond
                the_time_of_a_record_never_goes_back
                the_time_does_not_go_back_when_the_record_before_was_removed
            }
            keys {
                a_repeat_appends_nothing_and_has_the_ids_of_the_first_time
                a_key_used_twice_in_a_batch_is_appended_once
                a_key_with_other_content_is_refused
                a_repeat_is_a_repeat_also_after_an_end
                a_repeat_is_a_repeat_also_after_a_trim
                a_repeat_is_a_repeat_also_after_a_deletion
                keys_of_another_topic_publisher_or_name_are_different
                a_key_of_an_upload_is_refused_for_another_publish
                a_key_of_a_publish_is_refused_for_an_upload
                a_key_of_a_batch_is_taken_in_each_of_its_topics
                a_key_of_a_topic_is_taken_for_batches_with_the_topic
                a_key_of_a_batch_whose_events_are_gone_is_still_taken
                a_clock_that_goes_back_makes_no_window_longer
                a_jump_of_the_clock_makes_no_window_shorter
                a_key_of_a_batch_covers_all_of_it
                a_key_is_forgotten_when_its_window_is_over
                a_forgotten_key_may_be_used_for_other_content
                a_refused_publish_stores_no_key
                a_publish_that_requires_a_repeat_is_appended
                a_publish_that_requires_one_with_a_reused_key_is_withheld
                a_repeat_is_withheld_too
            }
            uploads {
                an_upload_counts_the_parts_that_are_stored
                the_parts_of_an_upload_may_be_in_one_batch
                a_stored_part_is_a_repeat
                every_stored_part_is_refused_with_other_content
                a_repeat_is_refused_from_the_first_part_with_other_content
                parts_appended_one_by_one_are_compared_too
                parts_of_two_uploads_are_kept_apart
                a_part_after_a_missing_one_is_refused
                a_part_after_other_content_is_refused
                a_part_for_an_ended_topic_is_refused_and_not_counted
                the_window_of_an_upload_restarts_with_each_part
                the_window_of_an_upload_restarts_with_each_repeat
                a_publish_without_entries_only_restarts_the_window_of_an_upload
                the_window_of_an_upload_does_not_restart_with_a_refused_part
                an_upload_that_began_again_is_compared_only_with_itself
                a_forgotten_upload_begins_again_with_its_first_part
            }
            content {
                data_is_kept_to_the_byte
                types_are_kept_to_the_byte
                retry_is_kept
                reasons_of_ends_are_kept_to_the_byte
                attributes_are_kept_to_the_byte
                a_large_event_is_kept
                names_that_differ_in_one_byte_are_different_topics
                fetch_returns_records_in_the_order_of_the_query
                fetch_skips_missing_records
                fetch_takes_ten_thousand_offsets
            }
            read {
                matching_records_are_returned_in_log_order
                reading_begins_after_one_offset_and_ends_with_another
                reading_beyond_the_tail_ends_at_the_tail
                reading_at_the_tail_returns_no_records
                all_records_are_considered_even_if_none_matches
                ends_and_deletions_are_read_like_events
                no_more_records_are_returned_than_the_budget_allows
                no_more_bytes_are_returned_than_the_budget_allows
                one_record_is_returned_however_large_it_is
                a_budget_of_nothing_still_makes_progress
                pages_of_any_budget_add_up_to_one_large_read
                a_reader_beside_a_publisher_misses_nothing
                a_record_that_several_filters_match_is_read_once
                sixty_four_exact_topics_are_merged
                one_star_matches_one_segment
                two_stars_match_one_or_more_segments
                no_pattern_with_a_leading_wildcard_matches_a_reserved_name
                special_characters_of_query_languages_are_ordinary_in_names
            }
            seek {
                earliest_is_before_everything
                newest_is_before_the_requested_number_of_events
                newest_does_not_count_ends_and_deletions
                newest_counts_the_events_of_all_matching_topics_together
                newest_counts_events_below_an_offset
                newest_is_before_all_events_if_there_are_fewer
                newest_zero_is_before_nothing
                since_is_before_the_first_record_of_a_time
                since_a_time_between_two_records_is_before_the_later_one
                since_the_future_is_the_tail
                seek_returns_the_tail
                a_reader_that_starts_at_the_found_offset_lost_nothing
                newest_each_returns_events_of_each_topic_in_log_order
                newest_each_counts_no_ends_and_no_deletions
                newest_each_counts_events_up_to_an_offset
                newest_each_refuses_more_than_its_limit
            }
            leases {
                a_lease_is_remembered_in_whole_seconds
                a_new_lease_replaces_the_old_one
                an_end_removes_the_lease
                a_deletion_removes_the_lease
                leases_are_sorted_by_name_in_byte_order
                a_lease_is_stored_with_its_publish
                a_refused_publish_changes_no_lease
                a_publish_that_ends_its_topic_leaves_no_lease
                an_ended_topic_gets_no_lease
                a_publish_that_requires_a_lease_is_appended
                a_repeat_changes_the_lease_of_a_topic_in_use
                a_repeat_gives_no_lease_to_a_topic_that_ended_or_was_deleted
                no_publish_gives_a_lease_to_more_topics_than_the_limit
                the_sink_gets_the_changes_of_leases_in_order
            }
            topics {
                a_topic_without_publishes_has_the_default_state
                states_are_in_the_order_of_the_query
                a_state_counts_events_and_their_bytes
                a_state_contains_the_end
                topics_are_listed_by_name_in_byte_order
                topics_are_listed_with_their_counts
                a_prefix_has_no_wildcards
                a_list_starts_after_a_name_and_stops_at_its_limit
                a_topic_without_records_is_not_listed
            }
            trim {
                trimmed_records_are_no_longer_read
                trimmed_records_are_no_longer_counted
                readers_before_a_trimmed_record_get_a_gap
                readers_past_the_last_trimmed_record_get_no_gap
                readers_of_a_quiet_topic_get_no_gap
                a_gap_is_reported_once
                a_reported_gap_is_reported_again_only_for_later_removals
                a_gap_names_every_topic_that_lost_records
                a_gap_names_at_most_32_topics
                a_page_reports_up_to_which_removal_its_losses_are_complete
                a_reader_beside_trims_misses_no_loss
                a_trim_that_removes_nothing_is_not_counted
                a_trim_beyond_the_tail_does_not_remove_later_records
                the_end_stays_while_trim_does_not_reach_it
                the_end_is_removed_with_its_whole_topic
                a_wholly_trimmed_topic_that_is_used_again_has_new_counts
            }
            trim_point {
                without_limits_there_is_no_trim_point
                a_limit_of_events_keeps_the_newest_events
                a_limit_of_bytes_removes_as_few_of_the_oldest_events_as_possible
                events_before_the_time_are_removed
                the_limit_that_removes_most_decides
                events_removed_by_one_limit_count_for_the_others
                limits_of_events_and_bytes_never_remove_an_end
                an_end_is_removed_by_age_only_when_no_event_is_left
                a_topic_that_ended_before_the_time_is_removed_completely
                a_topic_that_has_not_ended_is_not_removed
                a_topic_with_only_its_end_is_removed_by_age
                a_deleted_topic_has_no_trim_point
                an_unknown_topic_has_no_trim_point
                trimmed_events_no_longer_count
                repeated_trims_keep_exactly_the_limits
                several_topics_are_trimmed_at_once
                trimmed_counts_events_and_their_bytes
                trimmed_does_not_count_deletions
            }
            delete {
                a_deletion_has_an_offset_and_replaces_the_records
                a_missing_topic_is_not_deleted
                a_deleted_topic_has_no_counts_and_no_end_but_the_deletion
                older_readers_read_the_deletion_and_get_no_gap
                readers_of_a_trimmed_and_deleted_topic_get_no_gap
                a_deletion_is_not_trimmed
                a_dropped_deletion_removes_nothing_that_was_appended_later
                an_ended_topic_that_was_deleted_takes_events_again
                a_deleted_topic_that_is_used_again_has_new_counts
                a_deleted_topic_that_is_used_again_reports_a_gap_to_older_readers
                a_gap_reported_before_the_topic_is_used_again_is_reported_again
                a_reader_that_read_the_deletion_gets_no_gap
                a_topic_that_is_used_again_can_be_deleted_again
                a_deletion_does_not_affect_other_topics
                the_time_of_a_deletion_never_goes_back
            }
        }

        #[test]
        fn any_sequence_of_calls_agrees_with_a_naive_log() {
            $crate::storage::conformance::model::run($make);
        }
    };
    (@each $make:expr; $($module:ident { $($scenario:ident)* })*) => {
        $($(
            #[tokio::test]
            async fn $scenario() {
                $crate::storage::conformance::run_scenario(
                    $make,
                    $crate::storage::conformance::$module::$scenario,
                )
                .await;
            }
        )*)*
    };
}

#[cfg(test)]
mod tests {
    /// The macro would never run a scenario that is missing from its list.
    #[test]
    fn every_scenario_is_in_the_list() {
        let list = include_str!("conformance.rs");
        let files = [
            include_str!("conformance/append.rs"),
            include_str!("conformance/content.rs"),
            include_str!("conformance/delete.rs"),
            include_str!("conformance/trim_point.rs"),
            include_str!("conformance/commit_sink.rs"),
            include_str!("conformance/keys.rs"),
            include_str!("conformance/leases.rs"),
            include_str!("conformance/read.rs"),
            include_str!("conformance/seek.rs"),
            include_str!("conformance/topics.rs"),
            include_str!("conformance/trim.rs"),
            include_str!("conformance/uploads.rs"),
        ];
        for line in files.iter().flat_map(|file| file.lines()) {
            let Some((name, _)) =
                line.strip_prefix("pub async fn ").and_then(|line| line.split_once('('))
            else {
                continue;
            };
            assert!(list.lines().any(|line| line.trim() == name), "{name} is not in the list");
        }
    }
}
