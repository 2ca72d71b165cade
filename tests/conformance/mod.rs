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
                create_is_repeatable
                create_says_which_settings_differ
                create_or_update_gives_new_settings
                two_who_create_at_once_both_get_the_bucket
                two_who_create_or_update_at_once_both_succeed
                a_shorter_history_drops_the_oldest
                storage_cannot_change
                open_finds_what_was_made
                what_is_missing_is_not_found
                names_are_listed
                a_deleted_bucket_is_not_found_by_its_stores
                a_store_means_the_bucket_of_its_name
                two_clients_see_each_other
                a_closed_client_says_so
                closing_again_changes_nothing
                who_closes_at_once_waits_for_the_same_end
                a_close_that_was_dropped_can_be_called_again
            }
            basic {
                what_was_put_is_read
                nothing_reads_as_none
                revisions_grow_bucket_wide
                an_empty_value_is_a_value
                any_bytes_round_trip
                a_large_value_round_trips
                a_deleted_key_reads_as_none
                a_purged_key_reads_as_none
                deleting_nothing_leaves_a_marker
                delete_keeps_history_and_purge_takes_it
                an_entry_says_what_it_is
                revisions_are_read_by_number
                headers_round_trip
                the_leader_sees_the_last_write
                history_is_whole_and_in_order
                history_is_bounded
                history_of_nothing_is_empty
                every_allowed_character_works
                the_longest_names_work
                many_writes_at_once_all_arrive
            }
            cas {
                create_wins_once
                create_goes_over_removals
                update_needs_the_last_revision
                a_conflict_says_what_is_there
                revision_zero_means_no_revision_at_all
                removals_can_be_conditional
                a_refused_write_changes_nothing
                of_many_creates_one_wins
                of_many_updates_one_wins
                update_with_loses_no_update
                update_with_can_leave_things_as_they_are
                update_with_sees_removed_keys_as_none
                update_with_stops_at_an_error
                update_with_gives_up_after_its_attempts
            }
            compaction {
                markers_are_cleared
                young_markers_stay
                live_values_and_their_history_stay
                a_key_put_anew_keeps_its_value
                racing_puts_are_never_lost
            }
            defects {
                async_nats_drops_the_ttl_of_a_create_over_a_tombstone
                async_nats_types_one_of_two_conflict_codes
                async_nats_sends_a_ttl_below_a_second_as_zero
                nats_js_purge_deletes_erases_live_values
                nats_js_lists_expired_keys
                nats_go_purge_deletes_loses_a_racing_put
                shizuku_0_1_counts_a_lost_race_as_success
                shizuku_0_1_decodes_tombstones
                clients_give_no_end_of_data_on_an_empty_set
            }
            input {
                bad_keys_are_refused
                bad_filters_are_refused
                no_filter_at_all_is_refused
                bad_bucket_names_are_refused
                bad_times_to_live_are_refused
                bad_headers_are_refused
                updates_with_bad_options_are_refused
                bad_settings_are_refused
                contradictions_are_refused
                keys_of_locks_are_refused
            }
            listing {
                keys_come_once
                keys_of_nothing_are_none
                keys_leave_removed_ones_out
                keys_that_are_overwritten_meanwhile_are_there
                keys_pass_filters
                filters_match_whole_tokens
                many_keys_are_listed
                get_many_gives_what_there_is
                get_many_takes_filters
                get_many_gives_the_last_revision
                get_many_of_nothing_is_empty
                get_many_pages
                get_many_gives_metadata
            }
            live {
                a_live_value_follows
                a_live_value_begins_with_what_is_there
                a_live_value_keeps_the_last_good_one
                live_values_share_a_watch
                a_live_value_ends_with_its_bucket
                a_live_map_follows
                a_live_map_keeps_what_decodes
                locks_are_not_among_the_values
            }
            settings {
                settings_come_back
                status_counts
                sizes_are_counted_alike
                an_emptied_bucket_has_no_first_revision
                a_value_beyond_the_bucket_is_too_large
                a_value_beyond_the_server_is_too_large
                a_full_bucket_refuses
                too_many_replicas_are_refused
                other_buckets_are_taken_in
                mirrors_copy
            }
            ttl {
                a_value_expires
                expiry_is_seen_by_a_watch
                a_marker_goes_by_itself
                every_write_can_have_one
                a_later_write_without_one_stays
                a_later_write_with_one_lives_longer
                history_raises_short_ones
                a_purge_marker_goes_by_itself
                expired_keys_are_not_listed
                create_goes_over_expiry
                a_live_value_expires
                it_needs_markers
                markers_can_be_turned_off
                markers_need_a_server
                age_expires
            }
            typed {
                values_are_written_and_read
                atomic_writes_lose_openly
                removed_values_are_none
                what_does_not_decode_says_so
                a_watch_goes_on_after_it
                many_are_read_with_errors_in_place
                history_is_typed
                typed_calls_take_options
                update_in_loses_no_update
                what_does_not_encode_is_not_written
                derived_json_works
            }
            watch {
                values_first_then_changes
                every_start_ends_on_an_empty_set
                current_comes_once
                updates_only_replays_nothing
                history_gives_every_revision
                from_a_revision_on
                from_a_revision_to_come
                removals_come_as_removals
                removals_can_be_left_out
                values_can_be_left_out
                one_key_many_and_wildcards
                overlapping_filters_deliver_once
                entries_count_down
                a_slow_reader_sees_how_it_ends
                nothing_is_missed_between_initial_and_new
                many_watches_agree
                a_watch_is_a_stream
                a_dropped_watch_hurts_nobody
                a_deleted_bucket_ends_it
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
