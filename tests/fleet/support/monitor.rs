//! What the server did, in the order it did it.

use super::{Server, until};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// Everything a server executes, from when this was made.
pub(crate) struct Monitor {
    lines: Arc<Mutex<Vec<String>>>,
    server: redis::Client,
}

impl Monitor {
    pub(crate) fn of(server: &Server) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        assert_eq!(first, "+OK\r\n");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        // Ends with the server.
        std::thread::spawn(move || {
            reader.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line))
        });
        Self { lines, server: redis::Client::open(server.url()).unwrap() }
    }

    /// The commands that scripts called, as words, up to now.
    pub(crate) fn scripted(&self) -> Vec<Vec<String>> {
        // What was executed before this is reported before this.
        let mark = format!("mark-{:p}", self);
        redis::cmd("ECHO").arg(&mark).exec(&mut self.server.get_connection().unwrap()).unwrap();
        until("the report is complete", || self.lines.lock().unwrap().iter().any(|line| line.contains(&mark)));
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| line.split_once(" lua] ")).map(|(_, command)| words(command)).collect()
    }
}

/// `"A" "b c"`, as `A` and `b c`; what is escaped stays so.
fn words(command: &str) -> Vec<String> {
    let inner = command.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(command);
    inner.split("\" \"").map(str::to_owned).collect()
}
