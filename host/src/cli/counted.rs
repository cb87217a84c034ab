//! Counts what is read of a file, as it lies on the disk: the progress of a packed one, too.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// How many bytes were read so far; a clone is the same number.
#[derive(Debug, Clone, Default)]
pub(super) struct Count(Arc<AtomicU64>);

impl Count {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The reader, counted.
    pub(super) fn of<R>(&self, reader: R) -> Counted<R> {
        Counted { reader, count: self.clone() }
    }
}

pub(super) struct Counted<R> {
    reader: R,
    count: Count,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.reader).poll_read(context, buffer);
        self.count.0.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_read_is_counted() {
        let count = Count::default();
        let mut reader = count.of(&b"12345"[..]);
        reader.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(count.get(), 2);
        reader.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(count.get(), 5);
    }
}
