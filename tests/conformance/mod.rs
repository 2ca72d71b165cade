//! The conformance suite: one list of cases that every backend must pass.
//!
//! A case uses only the library and an [`Env`]: no runtime, clock or threads. So the same list runs
//! on the embedded backend, on real servers, and in a browser. If a service lacks a feature, its
//! [`Capabilities`] say so, and the case asserts the error that a user gets; no case is ever
//! skipped.
//!
//! A runner is a macro that takes the list; see `tests/memory.rs`.

use std::{cell::Cell, pin::pin, time::Duration};

use futures::{
    TryStreamExt,
    future::{Either, LocalBoxFuture, select},
};
use shizuku::{
    Client, Store,
    kv::{BoxError, BucketConfig, Entry, IntoFilters, KvReadError, Watch, WatchEvent},
};

pub(crate) mod admin;
pub(crate) mod basic;
pub(crate) mod cas;
pub(crate) mod compaction;
pub(crate) mod defects;
pub(crate) mod input;
pub(crate) mod listing;
pub(crate) mod live;
pub(crate) mod settings;
pub(crate) mod ttl;
pub(crate) mod typed;
pub(crate) mod watch;

#[path = "../support/refused.rs"]
mod refused;

/// Passes the list of all cases to the macro `$runner`, after its other arguments.
#[macro_export]
macro_rules! conformance_cases {
    ($runner:ident $(, $($argument:tt)*)?) => {
        $runner! {
            [$($($argument)*)?]
            admin {
                create_is_idempotent
                create_reports_which_settings_differ
                create_or_update_applies_new_settings
                update_bucket_keeps_all_other_settings
                concurrent_creates_both_get_the_bucket
                concurrent_create_or_updates_both_succeed
                a_shorter_history_drops_the_oldest_revisions
                storage_cannot_change
                open_finds_a_created_bucket
                a_missing_bucket_is_not_found
                bucket_names_are_listed_once
                a_deleted_bucket_is_not_found_by_its_stores
                a_store_works_on_a_recreated_bucket_of_the_same_name
                two_clients_see_each_others_writes
                calls_on_a_closed_client_fail_with_closed
                closing_is_idempotent
                concurrent_closes_all_wait_until_closed
                a_cancelled_close_can_be_repeated
            }
            basic {
                a_put_value_is_read_back
                a_missing_key_reads_as_none
                revisions_increase_across_the_bucket
                an_empty_value_is_not_a_missing_one
                arbitrary_bytes_round_trip
                a_large_value_round_trips
                a_deleted_key_reads_as_none
                a_purged_key_reads_as_none
                deleting_a_missing_key_leaves_a_marker
                delete_keeps_history_and_purge_removes_it
                an_entry_has_all_its_metadata
                revisions_are_read_by_number
                headers_round_trip
                a_leader_read_sees_the_last_write
                history_is_complete_and_in_order
                history_is_bounded
                history_of_a_missing_key_is_empty
                every_allowed_character_works_in_keys
                the_longest_names_work
                many_concurrent_writes_all_succeed
            }
            cas {
                create_succeeds_only_once
                create_succeeds_over_removed_keys
                update_requires_the_latest_revision
                a_conflict_reports_the_actual_revision
                revision_zero_expects_no_revision_not_even_a_marker
                removals_can_be_conditional
                a_refused_write_changes_nothing
                one_of_many_concurrent_creates_wins
                one_of_many_concurrent_updates_wins
                update_with_loses_no_update
                update_with_can_decide_to_write_nothing
                update_with_sees_removed_keys_as_none
                update_with_stops_at_an_error
                update_with_gives_up_after_the_maximum_attempts
            }
            compaction {
                purge_deletes_clears_markers
                purge_deletes_keeps_young_markers
                purge_deletes_keeps_live_values_and_their_history
                a_put_concurrent_with_purge_deletes_is_kept
                puts_racing_purge_deletes_are_never_lost
            }
            defects {
                async_nats_drops_the_ttl_of_a_create_over_a_tombstone
                async_nats_recognises_only_one_of_two_conflict_codes
                async_nats_sends_a_ttl_below_a_second_as_zero
                nats_js_purge_deletes_erases_live_values
                nats_js_lists_expired_keys
                nats_go_purge_deletes_loses_a_racing_put
                shizuku_0_1_treats_a_conflict_as_success
                shizuku_0_1_decodes_tombstones
                clients_never_report_the_end_of_an_empty_initial_set
            }
            input {
                bad_keys_are_refused
                bad_filters_are_refused
                an_empty_list_of_filters_is_refused
                bad_bucket_names_are_refused
                bad_times_to_live_are_refused
                bad_headers_are_refused
                updates_with_bad_options_are_refused
                bad_settings_are_refused
                contradictory_options_are_refused
                writes_to_lock_keys_are_refused
            }
            listing {
                keys_are_listed_once
                keys_of_an_empty_bucket_are_empty
                keys_omits_removed_keys
                keys_overwritten_during_a_listing_are_listed
                keys_are_filtered
                filters_match_whole_tokens
                many_keys_are_listed
                get_many_returns_existing_values
                get_many_takes_filters
                get_many_returns_the_latest_revision
                get_many_without_matches_is_empty
                get_many_reads_thousands_of_keys
                get_many_returns_metadata
            }
            live {
                a_live_value_follows_changes
                a_live_value_starts_with_the_current_value
                a_live_value_keeps_the_last_value_that_decoded
                live_values_share_a_watch
                a_live_value_ends_with_its_bucket
                a_live_map_follows_changes
                a_live_map_keeps_the_values_that_decoded
                lock_entries_are_not_shown_as_values
            }
            settings {
                settings_round_trip
                status_counts_keys_values_and_bytes
                every_backend_counts_sizes_identically
                an_emptied_bucket_has_first_revision_zero
                a_value_above_the_bucket_limit_is_too_large
                a_value_above_the_server_limit_is_too_large
                a_full_bucket_refuses_writes
                too_many_replicas_are_refused
                sources_are_copied_and_writes_republished
                a_mirror_copies_its_origin
            }
            ttl {
                a_value_expires
                expiry_is_seen_by_a_watch
                an_expiry_marker_expires
                every_kind_of_write_can_have_a_ttl
                a_later_write_without_a_ttl_does_not_expire
                a_later_write_with_a_longer_ttl_lives_longer
                history_raises_short_ttls
                a_purge_marker_expires
                expired_keys_are_not_listed
                create_succeeds_over_expired_keys
                a_live_value_expires
                a_ttl_requires_limit_markers
                limit_markers_can_be_turned_off
                limit_markers_require_a_new_server
                values_expire_at_the_maximum_age
            }
            typed {
                typed_values_are_written_and_read
                atomic_writes_report_conflicts
                removed_values_read_as_none
                a_value_that_does_not_decode_is_an_error
                a_typed_watch_continues_after_a_decoding_error
                read_many_returns_decoding_errors_in_place
                history_is_typed
                typed_calls_take_options
                update_in_loses_no_update
                a_value_that_does_not_encode_is_not_written
                derived_json_works
            }
            watch {
                a_watch_delivers_values_then_changes
                every_start_reports_current_on_an_empty_set
                current_is_delivered_once
                updates_only_replays_nothing
                history_delivers_every_revision
                a_watch_can_start_at_a_revision
                a_watch_can_start_at_a_future_revision
                removals_are_delivered_as_removals
                removals_can_be_ignored
                a_metadata_only_watch_omits_values
                a_watch_matches_keys_and_wildcards
                overlapping_filters_deliver_once
                initial_entries_have_decreasing_deltas
                a_slow_reader_sees_the_latest_values_in_order
                nothing_is_missed_between_initial_values_and_changes
                many_watches_deliver_the_same_entries
                a_watch_is_a_stream
                a_dropped_watch_does_not_affect_others
                a_deleted_bucket_ends_a_watch
                a_missing_bucket_cannot_be_watched
            }
        }
    };
}

/// The result of a case. Assertions panic; an error returned with `?` is a failure, too.
pub(crate) type Outcome = Result<(), BoxError>;

/// Features that not every service has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capabilities {
    /// Limit markers, and with them a time to live per key (nats-server 2.11).
    pub(crate) limit_markers: bool,
    /// Mirrors, sources and republishing.
    pub(crate) other_buckets: bool,
}

/// The environment of a case.
pub(crate) struct Env {
    pub(crate) client: Client,
    pub(crate) capabilities: Capabilities,
    /// Connects another client to the same service.
    pub(crate) connect: Box<dyn Fn() -> LocalBoxFuture<'static, Client>>,
    /// Waits in real time.
    pub(crate) wait: fn(Duration) -> LocalBoxFuture<'static, ()>,
    /// Lets time pass for the service.
    pub(crate) pass: Box<dyn Fn(Duration) -> LocalBoxFuture<'static, ()>>,
    /// The prefix of bucket names, unique to this case.
    pub(crate) tag: String,
    pub(crate) buckets: Cell<u32>,
}

impl Env {
    /// An unused bucket name.
    pub(crate) fn fresh_name(&self) -> String {
        self.buckets.set(self.buckets.get() + 1);
        format!("{}-{}", self.tag, self.buckets.get())
    }

    /// Default settings with a fresh name, after `change`.
    pub(crate) fn fresh_config(&self, change: impl FnOnce(&mut BucketConfig)) -> BucketConfig {
        let mut config = BucketConfig::new(self.fresh_name());
        change(&mut config);
        config
    }

    /// Creates a bucket with the default settings.
    pub(crate) async fn bucket(&self) -> Result<Store, BoxError> {
        self.bucket_with(|_| {}).await
    }

    /// Creates a bucket with changed settings.
    pub(crate) async fn bucket_with(
        &self,
        change: impl FnOnce(&mut BucketConfig),
    ) -> Result<Store, BoxError> {
        let config = self.fresh_config(change);
        Ok(self.client.create_bucket(config).await?)
    }

    /// Lets time pass for the service.
    pub(crate) async fn pass(&self, seconds: u64) {
        (self.pass)(Duration::from_secs(seconds)).await;
    }

    /// Awaits a future, within a time limit.
    pub(crate) async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let limit = Duration::from_secs(20);
        match select(pin!(future), (self.wait)(limit)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => panic!("no {what} within {limit:?}"),
        }
    }

    /// Polls until this is true. Only for conditions that no event announces.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let asking = async {
            while !is_so().await {
                (self.wait)(Duration::from_millis(50)).await;
            }
        };
        self.soon(what, asking).await;
    }

    /// The next entry of a watch, as text.
    pub(crate) async fn next(&self, watch: &Watch) -> String {
        show(&self.next_entry(watch).await)
    }

    /// The next entry of a watch.
    pub(crate) async fn next_entry(&self, watch: &Watch) -> Entry {
        match self.soon("entry", watch.next()).await {
            Some(Ok(entry)) => entry,
            other => panic!("no entry but {other:?}"),
        }
    }

    /// The entries before `Current`, as text.
    pub(crate) async fn initial(&self, watch: &Watch) -> Vec<String> {
        let mut entries = Vec::new();
        loop {
            match self
                .soon("end of initial entries", watch.next_event())
                .await
            {
                Some(Ok(WatchEvent::Entry(entry))) => entries.push(show(&entry)),
                Some(Ok(WatchEvent::Current)) => return entries,
                other => panic!("no entry but {other:?}"),
            }
        }
    }
}

/// `key=value`, or `key:Operation` if there is no value.
pub(crate) fn show(entry: &Entry) -> String {
    match &entry.value {
        Some(value) => format!("{}={}", entry.key, String::from_utf8_lossy(value)),
        None => format!("{}:{:?}", entry.key, entry.operation),
    }
}

/// The keys of a store, sorted.
pub(crate) async fn keys(
    store: &Store,
    filters: impl IntoFilters,
) -> Result<Vec<String>, KvReadError> {
    let keys: Vec<_> = store.keys_matching(filters).await?.try_collect().await?;
    let mut keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
    keys.sort();
    Ok(keys)
}

/// The history of a key, as text.
pub(crate) async fn history(store: &Store, key: &str) -> Result<Vec<String>, KvReadError> {
    Ok(store.history(key).await?.iter().map(show).collect())
}
