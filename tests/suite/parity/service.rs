//! A service behind a front: it notes every request that reaches it.

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use super::wire::{Message, Unread};

/// What reached a service.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// A request.
    Request(Message),
    /// Bytes that a lenient service may take for another request than a strict one does.
    Ambiguous(String),
}

/// What has reached a service, in the order of its coming. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    /// Notes something; its place in the log.
    pub(super) fn note(&self, seen: Seen) -> usize {
        let mut all = self.0.lock().unwrap();
        all.push(seen);
        all.len() - 1
    }

    /// What was noted at a place.
    pub(super) fn at(&self, place: usize) -> Option<Seen> {
        self.0.lock().unwrap().get(place).cloned()
    }

    /// Everything, which is then forgotten.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A service that answers each request with its place in the log, as `X-Seen`. It ends with the process.
pub(super) fn start() -> (SocketAddr, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, log) = (listener.local_addr().unwrap(), Log::default());
    let noted = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let noted = noted.clone();
            std::thread::spawn(move || serve(stream, &noted));
        }
    });
    (address, log)
}

fn serve(stream: TcpStream, log: &Log) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    loop {
        let seen = match Message::read(&mut stream) {
            Ok(message) => match message.read_body(&mut stream) {
                Ok(()) => Seen::Request(message),
                Err(Unread::Ambiguous(what)) => Seen::Ambiguous(what),
                Err(Unread::BrokenOff | Unread::End) => {
                    // A service that does not wait for the body has acted on it.
                    log.note(Seen::Request(message));
                    return;
                }
            },
            Err(Unread::Ambiguous(what)) => Seen::Ambiguous(what),
            Err(Unread::BrokenOff | Unread::End) => return,
        };
        let (head, last) = match &seen {
            Seen::Request(message) => (message.method == "HEAD", message.version == "HTTP/1.0"),
            Seen::Ambiguous(_) => (false, true),
        };
        let place = log.note(seen);
        let (body, close) = (if head { "" } else { "ok" }, if last { "Connection: close\r\n" } else { "" });
        let answer = format!("HTTP/1.1 200 OK\r\nX-Seen: {place}\r\n{close}Content-Length: 2\r\n\r\n{body}");
        if stream.get_mut().write_all(answer.as_bytes()).is_err() || last {
            return;
        }
    }
}
