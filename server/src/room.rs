//! Room for request bodies: how many bytes of them, and of what is made of them, are in memory at a time.
//!
//! A large body waits until those before it are answered. Small ones do not: a query goes on however many writes wait.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, ApiResult};

/// What is counted at once.
const UNIT_BYTES: usize = 1 << 10;
/// A byte of a body is held about twice: as it came, and as the numbers and texts that were read from it.
const COPIES: usize = 2;
/// Bodies up to this many bytes are not counted.
const SMALL_BYTES_MAX: usize = 16 << 10;
/// How long a body waits for those before it.
const WAIT_MAX: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// What the request that this task serves has taken.
    static TAKEN: Mutex<Taken>;
}

/// Room that a request has taken, shared by everything that works for it.
pub type Taken = Option<Arc<OwnedSemaphorePermit>>;

/// The room for all requests.
pub struct Room {
    units: Arc<Semaphore>,
    count: usize,
}

impl Room {
    /// Room for bodies that take so many bytes of memory.
    pub fn new(memory_bytes: u64) -> Self {
        let count = usize::try_from(memory_bytes).unwrap_or(usize::MAX) / (UNIT_BYTES * COPIES);
        let count = count.clamp(1, u32::MAX as usize >> 3);
        Self {
            units: Arc::new(Semaphore::new(count)),
            count,
        }
    }

    /// The largest body that there is ever room for, in bytes.
    pub fn body_bytes_max(&self) -> usize {
        self.count * UNIT_BYTES
    }

    /// Memory that is taken now, in bytes.
    pub fn taken_bytes(&self) -> u64 {
        let taken = self.count - self.units.available_permits().min(self.count);
        (taken * UNIT_BYTES * COPIES) as u64
    }

    /// Takes room for a body of so many bytes until the request is answered. Bodies get it in the order in which they came.
    ///
    /// # Errors
    ///
    /// 503 if there is none for too long.
    pub async fn take(&self, bytes: usize) -> ApiResult<()> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(());
        }
        let units = bytes.div_ceil(UNIT_BYTES).min(self.count) as u32;
        let taking = Arc::clone(&self.units).acquire_many_owned(units);
        match tokio::time::timeout(WAIT_MAX, taking).await {
            Ok(Ok(permit)) => {
                // Outside a request there is nobody to give it back.
                let _ = TAKEN.try_with(|taken| *taken.lock() = Some(Arc::new(permit)));
                Ok(())
            }
            _ => Err(ApiError::unavailable(format!(
                "the bodies of other requests take all of the {} MB that the memory budget has for them: send this one again in a moment, or \
                 start the server with more --memory",
                (self.count * UNIT_BYTES * COPIES).div_ceil(1_000_000)
            ))),
        }
    }

    /// Gives back what a body did not need that did not say how large it is.
    pub fn shrink(&self, bytes: usize) {
        let _ = TAKEN.try_with(|taken| {
            let mut taken = taken.lock();
            let Some(mut permit) = taken.take().and_then(Arc::into_inner) else {
                return;
            };
            let needed = bytes.div_ceil(UNIT_BYTES);
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
            *taken = Some(Arc::new(permit));
        });
    }
}

/// What the request of this task has taken: whoever works on for it holds this.
pub fn taken() -> Taken {
    TAKEN
        .try_with(|taken| taken.lock().clone())
        .unwrap_or_default()
}

/// Gives a request a place for what it takes, and gives that back when it is answered.
pub async fn scope(request: Request, next: Next) -> Response {
    TAKEN.scope(Mutex::new(None), next.run(request)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn what_a_request_took_is_free_when_it_is_answered() {
        let room = Room::new(1 << 20);
        assert_eq!(room.body_bytes_max(), 512 << 10);
        run(async {
            let request = async {
                room.take(100 << 10).await.unwrap();
                assert_eq!(room.taken_bytes(), 200 << 10);
                room.shrink(20 << 10);
                assert_eq!(room.taken_bytes(), 40 << 10);
                taken()
            };
            let held = TAKEN.scope(Mutex::new(None), request).await;
            // Work goes on for a client that went away.
            assert_eq!(room.taken_bytes(), 40 << 10);
            drop(held);
            assert_eq!(room.taken_bytes(), 0);
        });
    }

    #[test]
    fn small_bodies_pass_the_large_ones() {
        let room = Room::new(1 << 20);
        run(async {
            let request = async {
                room.take(usize::MAX).await.unwrap();
                room.take(SMALL_BYTES_MAX).await.unwrap();
                let large = room.take(SMALL_BYTES_MAX + 1);
                let soon = Duration::from_millis(20);
                assert!(tokio::time::timeout(soon, large).await.is_err());
            };
            TAKEN.scope(Mutex::new(None), request).await;
        });
    }
}
