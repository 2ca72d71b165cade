//! A watch, batch by batch.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    rc::Rc,
};

use futures::future::{Either, FutureExt, select};
use gloo_timers::callback::Timeout;
use js_sys::Promise;
use shizuku::kv::{self, KvReadError, WatchEvent};
use tokio::sync::Notify;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{client::promise, error::Result, pack::Batch};

/// How long to collect entries for a batch, in ms: less than a display frame. A server sends browsers 4 kB
/// at a time, and passing on each piece separately would cost more than its contents.
const GATHER: u32 = 10;

type Event = Option<std::result::Result<WatchEvent, KvReadError>>;

/// A watch, or a listing that ends after the initial values.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawWatch {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    watch: RefCell<Option<Rc<kv::Watch>>>,
    /// An error that followed entries, which are delivered first.
    error: RefCell<Option<KvReadError>>,
    once: bool,
    /// Whether initial values are still arriving, so that collecting is worth the time.
    loading: Cell<bool>,
    /// Ends a pending `next`.
    enough: Notify,
}

impl RawWatch {
    pub(crate) fn new(watch: kv::Watch, once: bool) -> Self {
        let shared = Shared {
            watch: RefCell::new(Some(Rc::new(watch))),
            error: RefCell::new(None),
            once,
            loading: Cell::new(true),
            enough: Notify::new(),
        };
        Self {
            shared: Rc::new(shared),
        }
    }
}

#[wasm_bindgen]
impl RawWatch {
    /// A promise of the next batch; `undefined` at the end. A batch has everything that is available, and until
    /// the initial values are complete also what arrives soon after.
    pub fn next(&self) -> Promise {
        let shared = Rc::clone(&self.shared);
        promise(async move {
            if let Some(error) = shared.error.take() {
                return Err(error.into());
            }
            let Some(watch) = shared.watch.borrow().clone() else {
                return Ok(JsValue::UNDEFINED);
            };
            let mut batch = Batch::default();
            let mut enough = pin!(shared.enough.notified());
            let mut timer = None;
            while let Either::Left((event, _)) =
                select(pin!(watch.next_event()), enough.as_mut()).await
            {
                shared.fill(&watch, event, &mut batch)?;
                if !shared.loading.get() || batch.is_full() {
                    break;
                }
                timer.get_or_insert_with(|| {
                    let shared = Rc::clone(&shared);
                    Timeout::new(GATHER, move || shared.enough.notify_waiters())
                });
            }
            Ok(if batch.is_empty() {
                JsValue::UNDEFINED
            } else {
                batch.into_js().into()
            })
        })
    }

    /// Ends it, here and on the server. A pending `next` resolves with what it has.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Drop for RawWatch {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        self.watch.take();
        self.loading.set(false);
        self.enough.notify_waiters();
    }

    /// Collects what is available.
    fn fill(&self, watch: &kv::Watch, first: Event, batch: &mut Batch) -> Result<()> {
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                Some(Ok(WatchEvent::Entry(entry))) => batch.entry(&entry),
                Some(Ok(WatchEvent::Current)) => {
                    batch.current();
                    self.loading.set(false);
                    if self.once {
                        self.close();
                        break;
                    }
                }
                Some(Ok(_)) => {
                    batch.interrupted();
                    self.loading.set(true);
                    // The reader should know immediately.
                    self.enough.notify_waiters();
                }
                Some(Err(error)) => {
                    self.close();
                    if batch.is_empty() {
                        return Err(error.into());
                    }
                    self.error.replace(Some(error));
                    break;
                }
                None => {
                    self.close();
                    break;
                }
            }
            if batch.is_full() {
                break;
            }
            next = watch.next_event().now_or_never();
        }
        Ok(())
    }
}
