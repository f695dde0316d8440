//! A man in the middle, who loses things.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    target: AtomicU16,
    /// Nothing passes any more, and nobody is told: a cable pulled out.
    frozen: AtomicBool,
    /// What to do to the answer of the next request that contains these bytes.
    trap: Mutex<Option<(Vec<u8>, Damage)>>,
    sprung: AtomicUsize,
    /// What to look out for in what the server sends, and whether it has passed.
    watched: Mutex<(Vec<u8>, bool)>,
    /// Held answers may go on.
    released: (Mutex<bool>, Condvar),
    streams: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The answer is lost, and the connection closed.
    Swallow,
    /// So many bytes of the answer pass, then the connection is closed.
    Cut(usize),
    /// So many bytes of the answer pass, and then nothing more, for ever.
    Stall(usize),
    /// The answer waits for [`Proxy::release`]; other connections go on.
    Hold,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(port),
            frozen: AtomicBool::new(false),
            trap: Mutex::new(None),
            sprung: AtomicUsize::new(0),
            watched: Mutex::default(),
            released: Default::default(),
            streams: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let proxy = Self { port: listener.local_addr().unwrap().port(), shared };
        let shared = Arc::clone(&proxy.shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target.load(Ordering::SeqCst))) else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let damage = Arc::new(Mutex::new(None));
                let (up, down) = ((client.try_clone(), server.try_clone()), (server, client));
                let (Ok(from_client), Ok(to_server)) = up else { continue };
                shared
                    .streams
                    .lock()
                    .unwrap()
                    .extend([from_client.try_clone().unwrap(), to_server.try_clone().unwrap()]);
                let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
                let (set, get) = (Arc::clone(&damage), damage);
                std::thread::spawn(move || one.upward(from_client, to_server, &set));
                std::thread::spawn(move || other.downward(down.0, down.1, &get));
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// From now on nothing passes, until [`thaw`](Self::thaw); what was sent meanwhile is lost with its connections.
    pub(crate) fn freeze(&self) {
        self.shared.frozen.store(true, Ordering::SeqCst);
    }

    pub(crate) fn thaw(&self) {
        self.shared.frozen.store(false, Ordering::SeqCst);
        self.cut();
    }

    /// Closes all connections.
    pub(crate) fn cut(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// New connections go there; the old ones are closed.
    pub(crate) fn retarget(&self, port: u16) {
        self.shared.target.store(port, Ordering::SeqCst);
        self.cut();
    }

    /// Damages the answer of the next request that contains `needle`.
    pub(crate) fn trap(&self, needle: &str, damage: Damage) {
        *self.shared.trap.lock().unwrap() = Some((needle.as_bytes().to_vec(), damage));
    }

    /// Lets held answers go on, now and later.
    pub(crate) fn release(&self) {
        *self.shared.released.0.lock().unwrap() = true;
        self.shared.released.1.notify_all();
    }

    /// Looks out for these bytes in what the server sends.
    pub(crate) fn watch(&self, needle: &str) {
        *self.shared.watched.lock().unwrap() = (needle.as_bytes().to_vec(), false);
    }

    /// Whether what was looked out for has passed.
    pub(crate) fn has_passed(&self) -> bool {
        self.shared.watched.lock().unwrap().1
    }

    /// How many traps have done their damage.
    pub(crate) fn sprung(&self) -> usize {
        self.shared.sprung.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn upward(&self, mut from: TcpStream, mut to: TcpStream, damage: &Mutex<Option<Damage>>) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if self.frozen.load(Ordering::SeqCst) {
                continue;
            }
            let mut trap = self.trap.lock().unwrap();
            let hit = trap.as_ref().is_some_and(|(needle, _)| bytes[..n].windows(needle.len()).any(|w| w == needle));
            if hit {
                *damage.lock().unwrap() = trap.take().map(|(_, damage)| damage);
            }
            drop(trap);
            if to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    fn downward(&self, mut from: TcpStream, mut to: TcpStream, damage: &Mutex<Option<Damage>>) {
        let mut bytes = vec![0; 1 << 16];
        let mut stalled = false;
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if self.frozen.load(Ordering::SeqCst) || stalled {
                continue;
            }
            let (pass, close) = match damage.lock().unwrap().take() {
                None => (n, false),
                Some(damage) => {
                    self.sprung.fetch_add(1, Ordering::SeqCst);
                    match damage {
                        Damage::Swallow => (0, true),
                        Damage::Cut(pass) => (pass.min(n), true),
                        Damage::Stall(pass) => {
                            stalled = true;
                            (pass.min(n), false)
                        }
                        Damage::Hold => {
                            let (released, bell) = &self.released;
                            let released = released.lock().unwrap();
                            drop(bell.wait_while(released, |released| !*released).unwrap());
                            (n, false)
                        }
                    }
                }
            };
            if to.write_all(&bytes[..pass]).is_err() || close {
                break;
            }
            let mut watched = self.watched.lock().unwrap();
            let (needle, passed) = &mut *watched;
            *passed |= !needle.is_empty() && bytes[..pass].windows(needle.len()).any(|w| w == &needle[..]);
        }
        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.release();
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
