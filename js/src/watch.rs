//! A watch, batch by batch.

use std::{cell::RefCell, pin::pin, rc::Rc};

use futures::{
    FutureExt,
    future::{Either, select},
};
use js_sys::Promise;
use shizuku::kv::{self, KvReadError, WatchEvent};
use tokio::sync::Notify;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use crate::{client::promise, error::Result, pack::Batch};

/// A watch, or a listing that ends once everything that was there is delivered.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RawWatch {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    watch: RefCell<Option<Rc<kv::Watch>>>,
    /// An error that came behind entries: they go first.
    error: RefCell<Option<KvReadError>>,
    once: bool,
    closed: Notify,
}

impl RawWatch {
    pub(crate) fn new(watch: kv::Watch, once: bool) -> Self {
        let shared = Shared {
            watch: RefCell::new(Some(Rc::new(watch))),
            error: RefCell::new(None),
            once,
            closed: Notify::new(),
        };
        Self {
            shared: Rc::new(shared),
        }
    }
}

#[wasm_bindgen]
impl RawWatch {
    /// A promise of the next batch; `undefined` at the end. What is there already comes in one.
    pub fn next(&self) -> Promise {
        let shared = Rc::clone(&self.shared);
        promise(async move {
            if let Some(error) = shared.error.take() {
                return Err(error.into());
            }
            let Some(watch) = shared.watch.borrow().clone() else {
                return Ok(JsValue::UNDEFINED);
            };
            let closed = pin!(shared.closed.notified());
            let first = match select(pin!(watch.next_event()), closed).await {
                Either::Left((event, _)) => event,
                Either::Right(_) => None,
            };
            shared.fill(&watch, first)
        })
    }

    /// Ends it, here and on the server. A `next` that waits answers `undefined`.
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
        self.closed.notify_waiters();
    }

    /// Gathers what is there.
    fn fill(
        &self,
        watch: &kv::Watch,
        first: Option<std::result::Result<WatchEvent, KvReadError>>,
    ) -> Result<JsValue> {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut is_empty = true;
        while let Some(event) = next {
            match event {
                Some(Ok(WatchEvent::Entry(entry))) => batch.entry(&entry),
                Some(Ok(WatchEvent::Current)) => {
                    batch.current();
                    if self.once {
                        self.close();
                        is_empty = false;
                        break;
                    }
                }
                Some(Ok(_)) => batch.interrupted(),
                Some(Err(error)) => {
                    self.close();
                    if is_empty {
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
            is_empty = false;
            if batch.is_full() {
                break;
            }
            next = watch.next_event().now_or_never();
        }
        Ok(if is_empty {
            JsValue::UNDEFINED
        } else {
            batch.into_js().into()
        })
    }
}
