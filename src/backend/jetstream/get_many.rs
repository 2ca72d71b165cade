//! Reads many keys with few requests: batches of direct gets, one page at a time.

use std::{collections::VecDeque, mem, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    future::{Either, select},
    poll,
    stream::{self, BoxStream},
};

use super::{
    bucket::Bucket,
    call::{Api, SILENCE, malformed, not_answered},
    entry::header,
    filters::Filters,
    mailbox::Mailbox,
    read::refusal,
    start::Plan,
    tracker::Shown,
    watch::Watch,
};
use crate::{
    backend::{WatchEvent, WatchRequest},
    error::ServiceError,
    json::Writer,
    key::{Key, KeyFilter},
    kv::{Entry, KvReadError, Read},
    message::{Message, Outbound, TransportError},
    platform::{self, Instant},
    status::{ConnectionState, ConnectionStatus},
};

/// How many keys one request may match: the server's limit is 1024.
const PAGE: usize = 1000;

/// How many bytes of keys fit into one request.
const PAGE_BYTES: usize = 256 * 1024;

/// How many single gets are in flight at a time if batches are not supported.
const SINGLE_GETS: usize = 64;

impl Bucket {
    /// Streams the last revision of every key that passes a filter, each key once.
    pub(super) fn get_many(
        self: Arc<Self>,
        keys: &[KeyFilter],
    ) -> BoxStream<'static, Result<Entry, KvReadError>> {
        let filters = Filters::new(keys);
        let many = Box::new(Many {
            todo: jobs(&self, &filters.wire),
            filters,
            at_work: Work::Next,
            shown: Shown::default(),
            bucket: self,
        });
        let entries = stream::try_unfold(many, |mut many| async move {
            let next = many.next().await.map_err(KvReadError::from)?;
            Ok(next.map(|entry| (entry, many)))
        });
        entries.boxed()
    }

    /// Returns the last revision of every key that passes the filter, as of one moment: a server allows no
    /// write between the responses to one request. Only revisions from `from` on (0: all). `None` if one
    /// request is not enough, or if there are replicas: one that is catching up has gaps, and responds
    /// nevertheless.
    pub(super) async fn snapshot(
        self: &Arc<Self>,
        filter: &KeyFilter,
        from: u64,
    ) -> Result<Option<Vec<Entry>>, ServiceError> {
        if self.has_copies() || !self.is_direct() || !self.batches.may_work() {
            return Ok(None);
        }
        let mut page = Page::open(self, vec![filter.clone()]).await?;
        if from == 0 {
            page.ask(self, None).await?;
        } else {
            page.ask_from(self, from).await?;
        }
        let mut entries = Vec::new();
        loop {
            let message = page.next(self).await?;
            // A mirror responds under its own name.
            let stream = message.headers.last(header::STREAM);
            if stream.is_some_and(|stream| stream != self.stream) {
                return Ok(None);
            }
            match page.read(self, message).await? {
                Answer::Entry(entry) => entries.push(entry),
                Answer::End(None) => {
                    self.spare.keep(page.mailbox);
                    return Ok(Some(entries));
                }
                Answer::End(Some(_)) | Answer::NotSo => return Ok(None),
            }
        }
    }
}

/// Splits the filters into jobs: those with wildcards one by one, since each may match too much; keys in
/// pages.
fn jobs(bucket: &Bucket, filters: &[KeyFilter]) -> VecDeque<Vec<KeyFilter>> {
    let (wild, keys): (Vec<_>, Vec<_>) = filters.iter().cloned().partition(KeyFilter::is_wild);
    let mut jobs: VecDeque<_> = wild.into_iter().map(|filter| vec![filter]).collect();
    let most = PAGE_BYTES.min(bucket.api.transport.max_payload() / 2);
    let mut bytes = 0;
    let mut page = Vec::new();
    for key in keys {
        let size = bucket.subjects.len() + key.len() + 3;
        if page.len() == PAGE || (bytes + size > most && !page.is_empty()) {
            jobs.push_back(mem::take(&mut page));
            bytes = 0;
        }
        bytes += size;
        page.push(key);
    }
    if !page.is_empty() {
        jobs.push_back(page);
    }
    jobs
}

/// A running `get_many`.
struct Many {
    bucket: Arc<Bucket>,
    filters: Filters,
    todo: VecDeque<Vec<KeyFilter>>,
    at_work: Work,
    /// Skips repeated keys: one that is written between two pages is in both, and the keys of an abandoned
    /// page are read again.
    shown: Shown,
}

enum Work {
    /// Nothing in progress: take the next job.
    Next,
    /// A request whose responses are arriving.
    Page(Box<Page>),
    /// A listing for a filter, on a server without batches.
    Listing(Box<Watch>),
    /// Single gets for keys, on such a server.
    Gets(BoxStream<'static, Result<Option<Entry>, ServiceError>>),
}

struct Page {
    keys: Vec<KeyFilter>,
    subjects: Vec<String>,
    mailbox: Mailbox,
    /// The revision of the last response; each response names the previous one, so that a lost one is
    /// noticed.
    last: u64,
    /// How many responses have arrived.
    came: u64,
    /// The connection of the request, if there was one when it was sent.
    epoch: Option<u64>,
}

/// The kinds of responses to a batch.
enum Answer {
    Entry(Entry),
    /// The end of a page, and the start of the next.
    End(Option<u64>),
    /// The server does not support the request.
    NotSo,
}

impl Many {
    async fn next(&mut self) -> Result<Option<Entry>, ServiceError> {
        loop {
            match &mut self.at_work {
                Work::Next => {
                    let Some(keys) = self.todo.pop_front() else {
                        return Ok(None);
                    };
                    self.at_work = begin(&self.bucket, keys).await?;
                }
                Work::Listing(listing) => match listing.try_next().await? {
                    Some(WatchEvent::Entry(entry)) => {
                        if self.filters.wants(&entry.key) && self.shown.is_new(&entry.key) {
                            return Ok(Some(entry));
                        }
                    }
                    Some(_) => {}
                    None => self.at_work = Work::Next,
                },
                Work::Gets(gets) => match gets.try_next().await? {
                    Some(Some(entry)) if self.shown.is_new(&entry.key) => return Ok(Some(entry)),
                    Some(_) => {}
                    None => self.at_work = Work::Next,
                },
                Work::Page(page) => {
                    let message = page.next(&self.bucket).await?;
                    match page.read(&self.bucket, message).await? {
                        Answer::Entry(entry) => {
                            if self.filters.wants(&entry.key) && self.shown.is_new(&entry.key) {
                                return Ok(Some(entry));
                            }
                        }
                        Answer::End(None) => {
                            if let Work::Page(page) = mem::replace(&mut self.at_work, Work::Next) {
                                self.bucket.spare.keep(page.mailbox);
                            }
                        }
                        Answer::End(Some(seq)) => page.ask(&self.bucket, Some(seq)).await?,
                        Answer::NotSo => {
                            let keys = mem::take(&mut page.keys);
                            self.at_work = begin_slow(&self.bucket, keys).await?;
                        }
                    }
                }
            }
        }
    }
}

/// Sends a job to the server.
async fn begin(bucket: &Arc<Bucket>, keys: Vec<KeyFilter>) -> Result<Work, ServiceError> {
    if !bucket.is_direct() || !bucket.batches.may_work() {
        return begin_slow(bucket, keys).await;
    }
    let mut page = Page::open(bucket, keys).await?;
    page.ask(bucket, None).await?;
    Ok(Work::Page(Box::new(page)))
}

/// Starts a listing for a filter, or single gets for keys.
async fn begin_slow(bucket: &Arc<Bucket>, keys: Vec<KeyFilter>) -> Result<Work, ServiceError> {
    let bucket = Arc::clone(bucket);
    if keys.iter().any(KeyFilter::is_wild) {
        let listing = Watch::begin(Plan::new(
            bucket,
            Filters::new(&keys),
            WatchRequest::listing(false),
        ))
        .await?;
        return Ok(Work::Listing(Box::new(listing)));
    }
    let keys = keys.into_iter().map(Key::from_filter).collect();
    Ok(Work::Gets(get_each(bucket, keys, Read::Any)))
}

/// Gets keys one by one, several concurrently.
pub(super) fn get_each(
    bucket: Arc<Bucket>,
    keys: Vec<Key>,
    read: Read,
) -> BoxStream<'static, Result<Option<Entry>, ServiceError>> {
    let gets = stream::iter(keys).map(move |key| {
        let bucket = Arc::clone(&bucket);
        async move { bucket.get(&key, None, read).await }
    });
    gets.buffer_unordered(SINGLE_GETS).boxed()
}

impl Page {
    /// Prepares a page without sending a request.
    async fn open(bucket: &Bucket, keys: Vec<KeyFilter>) -> Result<Self, ServiceError> {
        let mailbox = match bucket.spare.take() {
            Some(mailbox) => mailbox,
            None => {
                let transport = &bucket.api.transport;
                let inbox = transport.new_inbox();
                let messages = transport
                    .subscribe(Mailbox::subject(&inbox))
                    .await
                    .map_err(|error| not_answered(error, &inbox))?;
                Mailbox::new(inbox, messages)
            }
        };
        Ok(Self {
            subjects: keys.iter().map(|key| bucket.subject(key)).collect(),
            keys,
            mailbox,
            last: 0,
            came: 0,
            epoch: None,
        })
    }

    /// Requests everything from a sequence on.
    ///
    /// Without `up_to_seq`: with it, a key that is written in the meantime would be on neither page.
    async fn ask(&mut self, bucket: &Bucket, seq: Option<u64>) -> Result<(), ServiceError> {
        let mut batch = Writer::new();
        batch.texts("multi_last", &self.subjects);
        batch.maybe_number("seq", seq);
        self.send(bucket, batch).await
    }

    /// Requests every message of the first filter from a sequence on, so that the server need not search
    /// earlier messages.
    async fn ask_from(&mut self, bucket: &Bucket, seq: u64) -> Result<(), ServiceError> {
        let mut batch = Writer::new();
        batch.maybe_text("next_by_subj", self.subjects.first().map(String::as_str));
        batch.number("seq", seq);
        batch.number("batch", PAGE as u64);
        self.send(bucket, batch).await
    }

    async fn send(&mut self, bucket: &Bucket, batch: Writer) -> Result<(), ServiceError> {
        self.last = 0;
        self.came = 0;
        let subject = bucket.api.subject("DIRECT.GET", &bucket.stream);
        let message = Outbound {
            reply: Some(self.mailbox.address()),
            ..Outbound::new(subject, batch.finish())
        };
        let sent = bucket.api.transport.publish(message).await;
        // Read only now, because the publish waits for a connection.
        let status = bucket.api.transport.status();
        let status = status.borrow();
        self.epoch = (status.state == ConnectionState::Connected).then_some(status.epoch);
        sent.map_err(|error| not_answered(error, "DIRECT.GET"))
    }

    async fn next(&mut self, bucket: &Bucket) -> Result<Message, ServiceError> {
        let mut next = self.mailbox.next();
        // Most responses are already there: set a timer only if one has to be waited for.
        let message = match poll!(&mut next) {
            Poll::Ready(message) => message,
            Poll::Pending => {
                let mut status = bucket.api.transport.status();
                let epoch = self.epoch;
                let is_lost = |now: &ConnectionStatus| {
                    let is_same = epoch.is_none_or(|epoch| {
                        now.state == ConnectionState::Connected && now.epoch == epoch
                    });
                    !is_same || now.state == ConnectionState::Closed
                };
                let lost = pin!(status.wait_for(is_lost));
                let given_up = pin!(overdue(&bucket.api, &bucket.stream));
                match select(next, select(lost, given_up)).await {
                    Either::Left((message, _)) => message,
                    Either::Right((Either::Left(_), _)) if bucket.api.is_closed() => {
                        return Err(ServiceError::Closed);
                    }
                    Either::Right((Either::Left(_), _)) => {
                        return Err(ServiceError::Disconnected {
                            detail: "the connection was lost before all responses had arrived"
                                .to_owned(),
                        });
                    }
                    // An account that exports the API without `response_type: stream` lets only one
                    // response through, as if the server had no batches.
                    Either::Right(_) if self.came == 1 => Some(Message {
                        status: Some(408),
                        ..Message::default()
                    }),
                    Either::Right((Either::Right((error, _)), _)) => return Err(error),
                }
            }
        };
        let message = message.ok_or_else(|| self.ended(bucket))?;
        self.came += 1;
        Ok(message)
    }

    /// Returns why the transport ended the subscription.
    fn ended(&self, bucket: &Bucket) -> ServiceError {
        match self.came {
            _ if bucket.api.is_closed() => ServiceError::Closed,
            0 => ServiceError::PermissionDenied {
                subject: self.mailbox.reply.to_string(),
            },
            // This reader was too slow.
            _ => was_lost(),
        }
    }

    async fn read(&mut self, bucket: &Bucket, message: Message) -> Result<Answer, ServiceError> {
        match message.status {
            None => {
                self.follows(&message)?;
                let entry = bucket.entry_of_direct(message, None)?;
                let entry = entry.ok_or_else(|| malformed("DIRECT.GET", "it is of no key"))?;
                self.last = entry.revision;
                Ok(Answer::Entry(entry))
            }
            Some(204) => {
                self.follows(&message)?;
                let more = number(&message, header::PENDING).is_some_and(|pending| pending > 0);
                Ok(Answer::End(more.then_some(self.last + 1)))
            }
            // An entry expired while the server was reading, and it omitted the rest.
            Some(404) if message.description.as_deref() == Some("Message Not Found") => {
                Ok(Answer::NotSo)
            }
            Some(404) => Ok(Answer::End(None)),
            // Too many keys for a batch.
            Some(413) => Ok(Answer::NotSo),
            // Servers older than 2.11 do not understand the request.
            Some(408) => {
                bucket.batches.do_not_work();
                Ok(Answer::NotSo)
            }
            Some(503) => match bucket.why_nobody().await {
                // Only the leader may be asked now.
                _ if !bucket.is_direct() => Ok(Answer::NotSo),
                why => Err(why),
            },
            Some(status) => Err(refusal(status, message)),
        }
    }

    /// Checks that no response is missing before this one.
    fn follows(&self, message: &Message) -> Result<(), ServiceError> {
        match number(message, header::LAST_SEQUENCE) {
            Some(before) if before != self.last => Err(was_lost()),
            _ => Ok(()),
        }
    }
}

/// Waits for as long as a response may take, and returns why there is none: a time-out, or sooner that it is
/// denied. A publish gets no response that would say so, but a request does.
async fn overdue(api: &Api, stream: &str) -> ServiceError {
    let end = Instant::now() + api.timeout;
    let left = || end.saturating_duration_since(Instant::now());
    platform::sleep(SILENCE.min(api.timeout / 2)).await;
    let subject = api.subject("DIRECT.GET", stream);
    // Without a body it reads nothing.
    let empty = Outbound::new(subject.clone(), Bytes::new());
    let error = match api.transport.request(empty, left()).await {
        Err(error @ (TransportError::PermissionDenied(_) | TransportError::Unheard(_))) => error,
        _ => {
            platform::sleep(left()).await;
            TransportError::Timeout(api.timeout)
        }
    };
    not_answered(error, &subject)
}

fn was_lost() -> ServiceError {
    ServiceError::Disconnected {
        detail: "a response to a read was lost".to_owned(),
    }
}

fn number(message: &Message, name: &str) -> Option<u64> {
    message.headers.last(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn pages(keys: impl Iterator<Item = String>) -> Vec<usize> {
        let keys: Vec<_> = keys.filter_map(|key| KeyFilter::new(key).ok()).collect();
        let jobs = jobs(&testing::bucket(None), &keys);
        let all: Vec<_> = jobs.iter().flatten().cloned().collect();
        assert_eq!(all, keys, "each once, in order");
        jobs.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_page_is_neither_too_many_keys_nor_too_long() {
        assert_eq!(pages(std::iter::empty()), [0; 0]);
        assert_eq!(pages((0..PAGE).map(|n| n.to_string())), [PAGE]);
        let many = (0..2 * PAGE + 1).map(|n| n.to_string());
        assert_eq!(pages(many), [PAGE, PAGE, 1]);
        // As many as fit: each adds `$KV.b.`, two quotes and a comma.
        let long = |n| format!("{n:0>503}");
        let fit = PAGE_BYTES / 512;
        assert_eq!(pages((0..fit).map(long)), [fit]);
        assert_eq!(pages((0..2 * fit + 1).map(long)), [fit, fit, 1]);
    }
}
