//! Locks.

use std::{cell::RefCell, pin::pin, rc::Rc, time::UNIX_EPOCH};

use futures::{
    FutureExt, StreamExt,
    future::{Either, LocalBoxFuture, select},
    stream::BoxStream,
};
use js_sys::{Array, Promise};
use shizuku::kv::{
    lock::{Holder, LockError, LockOptions, LostReason, Mode},
    rw_lock::{DistroRwLock, ReadGuard, WriteGuard},
};
use tokio::sync::Notify;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use crate::{
    client::promise,
    error::{Fault, Result, because, number, object},
    options::Options,
    store::RawStore,
};

type Acquired = std::result::Result<(), LockError>;
type Holders = std::result::Result<Vec<Holder>, LockError>;

#[wasm_bindgen]
impl RawStore {
    /// A promise of a [`RawGuard`]; of `undefined` if `only_try` is set and the lock is taken, or
    /// if `cancelled` resolves first.
    pub fn acquire(
        &self,
        name: String,
        write: bool,
        only_try: bool,
        options: JsValue,
        cancelled: Option<Promise>,
    ) -> Promise {
        let store = self.store.clone();
        promise(async move {
            let options = lock_options(&Options(options))?;
            let lock = DistroRwLock::with_options(&store, &name, options)?;
            let acquire = Box::pin(async move {
                Ok::<_, LockError>(match (write, only_try) {
                    (true, false) => Some(Guard::Write(lock.write().await?)),
                    (false, false) => Some(Guard::Read(lock.read().await?)),
                    (true, true) => lock.try_write().await?.map(Guard::Write),
                    (false, true) => lock.try_read().await?.map(Guard::Read),
                })
            });
            let guard = match cancelled {
                None => acquire.await?,
                Some(cancelled) => match select(acquire, JsFuture::from(cancelled)).await {
                    Either::Left((guard, _)) => guard?,
                    // Dropping the future withdraws the request.
                    Either::Right(_) => None,
                },
            };
            Ok(guard.map_or(JsValue::UNDEFINED, |guard| {
                RawGuard::new(name, guard).into()
            }))
        })
    }

    /// A lock's holders and waiters, as they change.
    pub fn holders(&self, name: &str) -> std::result::Result<RawHolders, JsValue> {
        let open = || -> Result<BoxStream<'static, Holders>> {
            let lock = DistroRwLock::new(&self.store, name)?;
            Ok(lock.watch_holders()?.boxed())
        };
        let stream = open().map_err(JsValue::from)?;
        Ok(RawHolders {
            shared: Rc::new(Following {
                stream: RefCell::new(Some(stream)),
                closed: Notify::new(),
            }),
        })
    }
}

fn lock_options(given: &Options) -> Result<LockOptions> {
    let mut options = LockOptions::new();
    if let Some(lease) = given.millis("lease")? {
        options = options.lease(lease);
    }
    if let Some(timeout) = given.millis("timeout")? {
        options = options.timeout(timeout);
    }
    if let Some(label) = given.text("label")? {
        options = options.label(label);
    }
    Ok(options)
}

#[derive(Debug)]
enum Guard {
    Read(ReadGuard),
    Write(WriteGuard),
}

impl Guard {
    fn token(&self) -> u64 {
        match self {
            Self::Read(guard) => guard.token(),
            Self::Write(guard) => guard.token(),
        }
    }

    fn is_held(&self) -> bool {
        match self {
            Self::Read(guard) => guard.is_held(),
            Self::Write(guard) => guard.is_held(),
        }
    }

    fn lost(&self) -> LocalBoxFuture<'static, LostReason> {
        match self {
            Self::Read(guard) => guard.lost().boxed_local(),
            Self::Write(guard) => guard.lost().boxed_local(),
        }
    }

    async fn release(self) -> Acquired {
        match self {
            Self::Read(guard) => guard.release().await,
            Self::Write(guard) => guard.release().await,
        }
    }
}

/// A held lock. A pending [`lost`](Self::lost) keeps it held even after the garbage collector has freed this:
/// the protected work may be using only its token and signal.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawGuard {
    lock: String,
    token: u64,
    /// Until it is released.
    guard: Rc<RefCell<Option<Guard>>>,
}

impl RawGuard {
    fn new(lock: String, guard: Guard) -> Self {
        Self {
            lock,
            token: guard.token(),
            guard: Rc::new(RefCell::new(Some(guard))),
        }
    }
}

#[wasm_bindgen]
impl RawGuard {
    /// The fencing token.
    pub fn token(&self) -> f64 {
        number(self.token)
    }

    /// Whether it is held, as far as this client knows.
    #[wasm_bindgen(js_name = isHeld)]
    pub fn is_held(&self) -> bool {
        self.guard.borrow().as_ref().is_some_and(Guard::is_held)
    }

    /// A promise of the error that says how it was lost; of `undefined` once it has been released.
    pub fn lost(&self) -> Promise {
        let (lock, token) = (self.lock.clone(), self.token);
        let lost = self.guard.borrow().as_ref().map(Guard::lost);
        // Keeps the lock held: see `RawGuard`.
        let guard = Rc::clone(&self.guard);
        promise(async move {
            let Some(lost) = lost else {
                return Ok(JsValue::UNDEFINED);
            };
            let reason = lost.await;
            if guard.borrow().is_none() {
                return Ok(JsValue::UNDEFINED);
            }
            let lost = LockError::Lost {
                lock,
                token,
                reason,
            };
            Ok(Fault::from(lost).into())
        })
    }

    /// A promise of true; of false if it had already been released.
    pub fn release(&self) -> Promise {
        let guard = self.guard.take();
        promise(async move {
            let Some(guard) = guard else {
                return Ok(false.into());
            };
            guard.release().await?;
            Ok(true.into())
        })
    }
}

/// Holders and waiters, as they change.
#[wasm_bindgen]
pub struct RawHolders {
    shared: Rc<Following>,
}

struct Following {
    /// `None` once it is closed, and while `next` is pending.
    stream: RefCell<Option<BoxStream<'static, Holders>>>,
    closed: Notify,
}

impl std::fmt::Debug for RawHolders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawHolders").finish_non_exhaustive()
    }
}

#[wasm_bindgen]
impl RawHolders {
    /// A promise of the next list; of `undefined` at the end. One at a time.
    pub fn next(&self) -> Promise {
        let shared = Rc::clone(&self.shared);
        promise(async move {
            let Some(mut stream) = shared.stream.take() else {
                return Ok(JsValue::UNDEFINED);
            };
            let closed = pin!(shared.closed.notified());
            match select(stream.next(), closed).await {
                Either::Left((Some(holders), _)) => {
                    shared.stream.replace(Some(stream));
                    let list: Array = holders?.iter().map(describe).collect();
                    Ok(list.into())
                }
                _ => Ok(JsValue::UNDEFINED),
            }
        })
    }

    /// Ends it.
    pub fn close(&self) {
        self.shared.stream.take();
        self.shared.closed.notify_waiters();
    }
}

fn describe(holder: &Holder) -> JsValue {
    let mode = match holder.mode {
        Some(Mode::Read) => "read",
        Some(Mode::Write) => "write",
        Some(Mode::Permit(_)) => "permit",
        _ => "unknown",
    };
    let since = holder.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    object([
        ("id", holder.id.as_str().into()),
        ("mode", mode.into()),
        ("token", holder.token.map(number).into()),
        ("holds", holder.holds.into()),
        ("since", (since.as_secs_f64() * 1000.0).into()),
        ("lease", (holder.lease.as_secs_f64() * 1000.0).into()),
        ("label", holder.label.as_deref().into()),
    ])
}

/// Part of the public API; the message has the human-readable text.
fn code(reason: LostReason) -> &'static str {
    match reason {
        LostReason::Gone => "gone",
        LostReason::Refused => "refused",
        LostReason::Lapsed => "lapsed",
        LostReason::Closed => "closed",
        _ => "stopped",
    }
}

impl From<LockError> for Fault {
    fn from(error: LockError) -> Self {
        let message = error.to_string();
        match error {
            LockError::InvalidName(error) => error.into(),
            LockError::InvalidOption(error) => error.into(),
            LockError::NotSupported { .. } => {
                Self::new("unsupported", &message).with("feature", "locks")
            }
            LockError::Lost {
                lock,
                token,
                reason,
            } => Self::new("lock_lost", &message)
                .with("lock", lock)
                .with("token", number(token))
                .with("reason", code(reason)),
            LockError::Timeout { lock, .. } => {
                Self::new("lock_timeout", &message).with("lock", lock)
            }
            LockError::Service { source, .. } => {
                Self::of_service(&source, &because(&message, &source))
            }
            _ => Self::new("internal", &message),
        }
    }
}
