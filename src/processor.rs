//! Work as a type.

use std::sync::Arc;

/// Work that takes an input and produces an output.
///
/// To run it under a lock with
/// [`LockedResourceWriteProcessor`](crate::kv::rw_lock::LockedResourceWriteProcessor), its output
/// must be a `Result`.
///
/// ```
/// use shizuku::Processor;
///
/// struct Double;
///
/// impl Processor<u32, u32> for Double {
///     async fn process(&self, input: u32) -> u32 {
///         input * 2
///     }
/// }
/// # #[tokio::main] async fn main() { assert_eq!(Double.process(4).await, 8); }
/// ```
pub trait Processor<I, O> {
    /// Does the work.
    fn process(&self, input: I) -> impl Future<Output = O> + Send;
}

impl<P, I, O> Processor<I, O> for Arc<P>
where
    P: Processor<I, O> + ?Sized,
{
    fn process(&self, input: I) -> impl Future<Output = O> + Send {
        (**self).process(input)
    }
}
