//! What the handles of one store share: its locks in use or still warm, and its holds without a guard.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use rand::{TryRngCore, rngs::OsRng};
use tokio::sync::OnceCell;

use super::{
    entry::Mode,
    error::LockError,
    hold::Hold,
    machine::{ClaimId, Request},
    options::LockOptions,
    participant::{Granted, Observer, Participant},
    task::Task,
    told::Told,
};
use crate::{
    backend::Backend,
    error::{InvalidOption, ServiceError},
    kv::{BucketError, LimitMarkers},
    platform,
    sorted::SortedMap,
    words::Lasting,
};

/// The properties of a bucket that matter for locks.
#[derive(Clone, Copy, Debug)]
struct Ability {
    /// How long limit markers stay; `None` if there are none.
    markers: Option<Duration>,
    history: u8,
}

/// See the [module documentation](self).
pub(crate) struct Registry {
    warm: Mutex<HashMap<Arc<str>, Arc<Participant>>>,
    /// Holds that were acquired without a guard, by lock and mode.
    unguarded: Mutex<SortedMap<(String, Mode), Vec<Hold>>>,
    ability: OnceCell<Ability>,
    /// Whether the client is being closed. Nobody would release a lock acquired after that.
    closing: Arc<AtomicBool>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let unguarded = self.unguarded.get_mut();
        *unguarded.unwrap_or_else(PoisonError::into_inner) = SortedMap::new();
        // Tasks of idle locks can end now.
        for participant in self.warm().values() {
            participant.bell.call_background();
        }
    }
}

fn free<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(crate) fn new(closing: Arc<AtomicBool>) -> Self {
        Self {
            warm: Mutex::default(),
            unguarded: Mutex::default(),
            ability: OnceCell::new(),
            closing,
        }
    }

    fn warm(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Participant>>> {
        free(&self.warm)
    }

    /// Acquires the lock; `None` if it was a try and the lock is taken. Dropping the future withdraws.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        backend: &Arc<dyn Backend>,
        lock: &str,
        options: &LockOptions,
        ask: Ask,
    ) -> Granted {
        options.check()?;
        let request = Request {
            mode: ask.mode,
            lease: options.lease_seconds(),
            label: options.holder_label(),
            data: ask.data,
            try_only: ask.try_only,
        };
        let acquire = self.acquire_now(backend, lock, request);
        let Some(after) = options.deadline() else {
            return acquire.await;
        };
        let acquire = std::pin::pin!(acquire);
        // The timer is created when first polled, as there may be no runtime; the other call reports that.
        let deadline = std::pin::pin!(async { platform::sleep(after).await });
        match select(acquire, deadline).await {
            Either::Left((granted, _)) => granted,
            Either::Right(_) => Err(LockError::Timeout {
                lock: lock.to_owned(),
                after,
            }),
        }
    }

    async fn acquire_now(
        self: &Arc<Self>,
        backend: &Arc<dyn Backend>,
        lock: &str,
        request: Request,
    ) -> Granted {
        self.check(backend, lock, request.lease).await?;
        if request.try_only
            && let Some(participant) = { self.warm().get(lock).cloned() }
        {
            participant.pump(); // a try considers everything received so far
        }
        let pending = self.with(backend, lock, |participant| {
            let (claim, granted) = participant.acquire(request);
            Pending {
                participant: Some(participant.clone()),
                claim,
                granted,
            }
        })?;
        pending.wait().await
    }

    /// Observes the holders and waiters.
    pub(crate) fn observe(
        self: &Arc<Self>,
        backend: &Arc<dyn Backend>,
        lock: &str,
    ) -> Result<Observer, LockError> {
        self.with(backend, lock, Participant::observe)
    }

    /// Calls `use_it` with the participant of a lock, creating it if necessary. It counts as in use before
    /// any task can find it idle.
    fn with<T>(
        self: &Arc<Self>,
        backend: &Arc<dyn Backend>,
        lock: &str,
        use_it: impl FnOnce(&Arc<Participant>) -> T,
    ) -> Result<T, LockError> {
        let mut warm = self.warm();
        // Checked under the table's lock, because closing empties this table only after it has set the
        // flag.
        if self.closing.load(Ordering::SeqCst) {
            return Err(service(lock, ServiceError::Closed));
        }
        if let Some(participant) = warm.get(lock)
            && !participant.is_stopped()
        {
            return Ok(use_it(participant));
        }
        let mut id = [0_u8; 12];
        OsRng
            .try_fill_bytes(&mut id)
            .map_err(|_| service(lock, no_randomness()))?;
        let session: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let participant = Participant::new(lock, &session, backend.clone());
        let used = use_it(&participant);
        let task = Task::new(participant.clone(), Arc::downgrade(self));
        warm.insert(participant.lock.clone(), participant);
        // If the task cannot be started, it is dropped, and removes itself from the table.
        drop(warm);
        platform::spawn(task.run()).map_err(|error| service(lock, error))?;
        Ok(used)
    }

    /// Releases everything, because the client is about to be closed: otherwise others would have to wait
    /// until the leases end. The returned future waits until that is done.
    pub(crate) fn close(&self) -> BoxFuture<'static, ()> {
        let unguarded = mem::take(&mut *free(&self.unguarded));
        drop(unguarded);
        let participants: Vec<_> = self.warm().values().cloned().collect();
        let told: Vec<_> = participants.iter().map(Participant::close).collect();
        Box::pin(async move {
            for told in told {
                told.await;
            }
            for participant in participants {
                participant.bell.call_background(); // to make it end
            }
        })
    }

    /// Removes a participant if it is not in use.
    pub(super) fn forget(&self, participant: &Arc<Participant>) -> bool {
        let mut warm = self.warm();
        let idle = participant.is_idle();
        if idle {
            Self::take_out(&mut warm, participant);
        }
        idle
    }

    /// Removes a participant.
    pub(super) fn remove(&self, participant: &Arc<Participant>) {
        Self::take_out(&mut self.warm(), participant);
    }

    fn take_out(warm: &mut HashMap<Arc<str>, Arc<Participant>>, participant: &Arc<Participant>) {
        if warm
            .get(&participant.lock)
            .is_some_and(|there| Arc::ptr_eq(there, participant))
        {
            warm.remove(&participant.lock);
        }
    }

    /// Refuses buckets that would keep the entries of dead holders forever.
    async fn check(
        &self,
        backend: &Arc<dyn Backend>,
        lock: &str,
        lease: u32,
    ) -> Result<(), LockError> {
        let ability = self.ability.get_or_try_init(|| async {
            let status = backend.status().await.map_err(|error| match error {
                BucketError::Service(error) => service(lock, error),
                other => service(
                    lock,
                    ServiceError::Malformed {
                        operation: "the status of the bucket".into(),
                        detail: other.to_string(),
                    },
                ),
            })?;
            let ability = Ability {
                markers: match status.config.limit_markers {
                    LimitMarkers::For(ttl) => Some(ttl),
                    LimitMarkers::Auto | LimitMarkers::Off => None,
                },
                history: status.config.history,
            };
            // Not cached, because the bucket may be reconfigured later.
            if ability.markers.is_none() {
                return Err(LockError::NotSupported {
                    bucket: backend.bucket().clone(),
                    remedy: match status.config.mirror {
                        Some(_) => "it is a mirror; use its origin instead",
                        None => {
                            "it has no limit markers, so the server would not remove the entries \
                             of holders that died; on a server 2.11 or newer, set \
                             `limit_markers` with `update_bucket`"
                        }
                    }
                    .into(),
                });
            }
            Ok(ability)
        });
        let Ability { markers, history } = *ability.await?;
        let lease = Duration::from_secs(lease.into());
        // With more than one revision per key, servers raise a TTL to the marker TTL.
        if history > 1 && markers.is_some_and(|markers| markers > lease) {
            return Err(InvalidOption::new(
                "lease",
                format!(
                    "{} is shorter than the {} for which bucket {} keeps limit markers, \
                     and with a history of {history} the server would raise it to that",
                    Lasting(lease),
                    Lasting(markers.unwrap_or_default()),
                    backend.bucket()
                ),
            )
            .into());
        }
        Ok(())
    }

    /// Keeps a hold for a caller without a guard.
    pub(crate) fn keep(&self, mode: Mode, hold: Hold) {
        let key = (hold.lock().to_owned(), mode);
        let mut unguarded = free(&self.unguarded);
        match unguarded.get_mut(&key) {
            Some(holds) => holds.push(hold),
            None => _ = unguarded.insert(key, vec![hold]),
        }
    }

    /// Takes the latest such hold of this lock and mode.
    pub(crate) fn take(&self, lock: &str, mode: Mode) -> Result<Hold, LockError> {
        let key = (lock.to_owned(), mode);
        let mut unguarded = free(&self.unguarded);
        let holds = unguarded.get_mut(&key);
        let hold = holds.and_then(Vec::pop);
        if unguarded.get(&key).is_some_and(Vec::is_empty) {
            unguarded.remove(&key);
        }
        hold.ok_or(LockError::NotHeld { lock: key.0 })
    }
}

/// The error without a source of randomness: ids must be unique.
fn no_randomness() -> ServiceError {
    ServiceError::Unsupported {
        feature: "a lock without random numbers",
        remedy: "let the system provide them".into(),
    }
}

fn service(lock: &str, error: ServiceError) -> LockError {
    LockError::Service {
        lock: lock.to_owned(),
        source: Arc::new(error),
    }
}

/// A request for a lock.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) mode: Mode,
    pub(crate) try_only: bool,
    pub(crate) data: Option<Arc<str>>,
}

impl Ask {
    pub(crate) const fn new(mode: Mode) -> Self {
        Self {
            mode,
            try_only: false,
            data: None,
        }
    }

    pub(crate) const fn only_try(mut self) -> Self {
        self.try_only = true;
        self
    }
}

/// A waiting claim. Dropping it withdraws the claim.
struct Pending {
    participant: Option<Arc<Participant>>,
    claim: ClaimId,
    granted: Told<Granted>,
}

impl Pending {
    async fn wait(mut self) -> Granted {
        let mut waited = false;
        let granted = poll_fn(|context| {
            let granted = self.granted.poll_unpin(context);
            waited |= granted.is_pending();
            granted
        });
        let granted = granted.await;
        // From here on, the hold releases itself.
        let participant = self.participant.take();
        let granted = granted.unwrap_or_else(|| {
            let lock = participant.map_or_else(String::new, |p| p.lock.to_string());
            Err(service(&lock, ServiceError::NoRuntime))
        });
        // If the result was already known, nothing was awaited. A caller that retries in a loop would then
        // starve the tasks that deliver events.
        if !waited && !matches!(granted, Ok(Some(_))) {
            platform::give_way().await;
        }
        granted
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(participant) = self.participant.take() {
            participant.drop_claim(self.claim);
        }
    }
}
