//! The connection to the server, as the commander sees it, and the real one.

use super::FleetError;
use super::reply::{parse_checked, refusal};
use super::scripts::{RENEW, Request, introduction};
use crate::sync::{Arc, Duration, Instant};
use redis::Value;

/// One connection, on which requests are answered in the order they were sent.
pub(crate) trait Wire: Send {
    /// Sends `batch` in one go and reads as many answers. Fewer answers come with the error that stopped it; the
    /// connection is then good for nothing more, for a late answer would be taken for another request's.
    ///
    /// Takes one `budget` for writing and one for reading, and at most a sixteenth of one more. Each is a limit on
    /// silence, as sockets have them: one answer that trickles in byte by byte can take longer.
    fn exchange(&mut self, batch: &[(Arc<Request>, bool)], budget: Duration) -> (Vec<Value>, Option<String>);
}

/// Makes connections.
pub(crate) trait Connect: Send + Sync {
    fn connect(&self) -> Result<Box<dyn Wire>, FleetError>;
    /// Host and port, for messages.
    fn server(&self) -> &str;
}

/// A socket takes no limit of zero, and one of less than this is over before it is set.
const SHORTEST_LIMIT: Duration = Duration::from_micros(100);

pub(crate) const NO_ANSWER: &str = "the server did not answer in time";

/// Introduces the scripts on a connection that has just been made, and checks that its user may run their commands.
pub(crate) fn introduce(
    connection: redis::Connection,
    server: &str,
    prefix: &str,
    timeout: Duration,
) -> Result<Box<dyn Wire>, FleetError> {
    let mut socket = Socket { connection };
    let mut batch: Vec<_> = introduction(prefix).into_iter().map(|request| (Arc::new(request), true)).collect();
    // By its hash, as all calls from now on.
    batch.insert(batch.len() - 1, (Arc::new(Request::new(&RENEW)), false));
    let (answers, broken) = socket.exchange(&batch, timeout);
    if let Some(reason) = broken {
        return Err(FleetError::Unavailable { server: server.to_owned(), reason });
    }
    for answer in &answers {
        if let Value::ServerError(reply) = answer {
            return Err(refusal(server, "", reply.code(), reply.details().unwrap_or_default()).error);
        }
    }
    answers.last().map_or(Ok(()), |checked| parse_checked(server, checked))?;
    Ok(Box::new(socket))
}

struct Socket {
    connection: redis::Connection,
}

impl Wire for Socket {
    fn exchange(&mut self, batch: &[(Arc<Request>, bool)], budget: Duration) -> (Vec<Value>, Option<String>) {
        let mut bytes = Vec::with_capacity(batch.iter().map(|(request, _)| request.weight()).sum());
        for (request, with_text) in batch {
            request.pack(*with_text, &mut bytes);
        }
        if let Err(error) = self.connection.send_packed_command(&bytes) {
            return (Vec::new(), Some(error.to_string()));
        }
        let end = Instant::now() + budget;
        // As set when the connection was made.
        let mut limit = budget;
        let mut answers = Vec::with_capacity(batch.len());
        for _ in batch {
            let left = end.saturating_duration_since(Instant::now());
            // The budget is for all answers together; it costs a system call only where the server is slow.
            if left < limit - limit / 16 {
                if left < SHORTEST_LIMIT {
                    return (answers, Some(NO_ANSWER.to_owned()));
                }
                limit = left;
                if let Err(error) = self.connection.set_read_timeout(Some(limit)) {
                    return (answers, Some(error.to_string()));
                }
            }
            match self.connection.recv_response() {
                Ok(value) => answers.push(value),
                Err(error) if error.is_timeout() => {
                    return (answers, Some(NO_ANSWER.to_owned()));
                }
                Err(error) => return (answers, Some(error.to_string())),
            }
        }
        let restored = if limit < budget { self.connection.set_read_timeout(Some(budget)) } else { Ok(()) };
        (answers, restored.err().map(|error| error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is slow with every answer does not get a budget for each.
    #[test]
    fn the_budget_is_for_all_answers_together() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}/", listener.local_addr().unwrap());
        let budget = Duration::from_secs(1);
        let (done, until_done) = std::sync::mpsc::channel::<()>();
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            // The client introduces itself with two commands.
            assert!(stream.read(&mut bytes).unwrap() > 0);
            stream.write_all(b"+OK\r\n+OK\r\n").unwrap();
            assert!(stream.read(&mut bytes).unwrap() > 0);
            for _ in 0..2 {
                // Each within the budget, the second one not within what is left of it.
                std::thread::sleep(budget * 9 / 10);
                let _ = stream.write_all(b":1\r\n");
            }
            let _ = until_done.recv();
        });
        let client = redis::Client::open(url).unwrap();
        let connection = client.get_connection_with_timeout(budget).unwrap();
        connection.set_read_timeout(Some(budget)).unwrap();
        let request = || (Arc::new(Request::new(&super::super::scripts::RENEW)), false);
        let (answers, broken) = Socket { connection }.exchange(&[request(), request()], budget);
        assert!(answers.len() < 2, "{answers:?}");
        assert_eq!(broken.as_deref(), Some(NO_ANSWER));
        drop(done);
        server.join().unwrap();
    }
}
