//! A way to a server that is far away: what is sent arrives later, in either direction.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A running way. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Far {
    url: String,
}

impl Far {
    /// Leads to the server at `url`. What is sent arrives so much later.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn from(url: &str, later: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let far = Self {
            url: format!("http://{}", listener.local_addr()?),
        };
        let address = url.trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let address = address.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(address).await else {
                        return;
                    };
                    // Small messages must not wait for others.
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::join!(
                        carry(near_in, far_out, later),
                        carry(far_in, near_out, later)
                    );
                });
            }
        });
        Ok(far)
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, later: Duration) {
    let (sender, mut on_the_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let send = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let sent = sender.send((Instant::now() + later, buffer[..length].to_vec()));
            if sent.is_err() {
                return;
            }
        }
    };
    let arrive = async move {
        while let Some((at, bytes)) = on_the_way.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(send, arrive);
}
