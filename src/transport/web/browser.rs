//! The JavaScript side: the `WebSocket`, and events of pages that were suspended.
//!
//! Everything is looked up on the global object, so it works in windows, workers, Node and Deno.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures::{Sink, Stream};
use gloo_net::websocket::{Message, State, WebSocketError, futures::WebSocket};
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::EventTarget;

use super::socket::Socket;
use crate::protocol::ServerUrl;

/// A WebSocket, or the reason why it could not be created.
pub(crate) struct BrowserSocket(Result<Both, String>);

/// gloo-net is used only for receiving: on sending, it would wrap everything in a `Blob`, which browsers read
/// asynchronously.
struct Both {
    receiver: WebSocket,
    sender: web_sys::WebSocket,
}

impl Both {
    fn new(url: &ServerUrl) -> Result<Self, String> {
        if !url.is_websocket() {
            return Err(format!("{url}: a browser speaks only ws and wss"));
        }
        let sender = web_sys::WebSocket::new(&url.to_string()).map_err(|error| explain(&error))?;
        let receiver = WebSocket::try_from(sender.clone()).map_err(|error| error.to_string())?;
        Ok(Self { receiver, sender })
    }
}

impl BrowserSocket {
    fn there(&mut self) -> Result<&mut Both, String> {
        self.0.as_mut().map_err(|reason| reason.clone())
    }
}

impl Socket for BrowserSocket {
    fn open(url: &ServerUrl) -> Self {
        Self(Both::new(url))
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        let socket = self.there()?;
        // Ready only means no longer connecting. If opening fails, Node 20 reports an error without closing the
        // socket.
        if Pin::new(&mut socket.receiver)
            .poll_ready(context)
            .is_pending()
        {
            _ = ready!(Pin::new(&mut socket.receiver).poll_next(context));
        }
        Poll::Ready(match socket.receiver.state() {
            State::Open => Ok(()),
            // Browsers hide the cause from pages, to prevent network scans.
            _ => Err(
                "the WebSocket was not opened: no server, origin not allowed, untrusted certificate, \
                 or forbidden by the page's Content-Security-Policy"
                    .to_owned(),
            ),
        })
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        let socket = self.there()?;
        let frame = ready!(Pin::new(&mut socket.receiver).poll_next(context));
        Poll::Ready(match frame {
            Some(Ok(Message::Bytes(bytes))) => Ok(bytes.into()),
            Some(Ok(Message::Text(text))) => Ok(text.into()),
            Some(Err(WebSocketError::ConnectionClose(event))) => Err(format!(
                "the WebSocket was closed, code {} {}",
                event.code, event.reason
            )),
            Some(Err(_)) => Err("the WebSocket failed".to_owned()),
            None => Err("the WebSocket was closed".to_owned()),
        })
    }

    fn send(&mut self, bytes: Bytes) -> Result<(), String> {
        let sent = self.there()?.sender.send_with_u8_array(&bytes);
        sent.map_err(|error| explain(&error))
    }

    fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), String>> {
        // The browser's buffer takes everything; the protocol bounds it by limiting unconfirmed data.
        Poll::Ready(Ok(()))
    }
}

fn explain(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok();
    message
        .and_then(|message| message.as_string())
        .unwrap_or_else(|| "the WebSocket failed".to_owned())
}

/// Listens for events that cast doubt on the connection: the page was hidden, frozen or offline.
pub(crate) struct WakeUps {
    news: Rc<RefCell<News>>,
    callback: Closure<dyn FnMut()>,
    listening: Vec<(EventTarget, &'static str)>,
}

/// Whether there was an event since the last poll; several count as one.
#[derive(Default)]
struct News {
    there: bool,
    waker: Option<Waker>,
}

impl WakeUps {
    pub(crate) fn new() -> Self {
        let news = Rc::<RefCell<News>>::default();
        let told = news.clone();
        let callback = Closure::<dyn FnMut()>::new(move || {
            let mut news = told.borrow_mut();
            news.there = true;
            let waker = news.waker.take();
            drop(news);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        let global: JsValue = js_sys::global().into();
        let document = Reflect::get(&global, &"document".into()).unwrap_or_default();
        let mut listening = Vec::new();
        for (target, event) in [
            (&global, "online"),
            (&global, "pageshow"),
            (&document, "visibilitychange"),
            (&document, "resume"),
        ] {
            // Workers have no document, and Node's global object has no events.
            let has_events = target.is_object()
                && Reflect::has(target, &"addEventListener".into()).unwrap_or(false);
            if has_events {
                let target: EventTarget = target.clone().unchecked_into();
                let function = callback.as_ref().unchecked_ref();
                let added = target.add_event_listener_with_callback(event, function);
                if added.is_ok() {
                    listening.push((target, event));
                }
            }
        }
        Self {
            news,
            callback,
            listening,
        }
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut news = self.news.borrow_mut();
        if std::mem::take(&mut news.there) {
            return Poll::Ready(());
        }
        news.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for WakeUps {
    fn drop(&mut self) {
        let function = self.callback.as_ref().unchecked_ref();
        for (target, event) in &self.listening {
            // Failing to remove it does no harm.
            _ = target.remove_event_listener_with_callback(event, function);
        }
    }
}
