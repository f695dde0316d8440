//! An HTTP client with a connection of its own.

use crate::paths;
use std::net::SocketAddr;
use std::time::Duration;
use ureq::Agent;

pub(crate) struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    /// Connects, and checks that somebody answers.
    ///
    /// Clients connect one after the other: tiny_http 0.12 may put a connection that comes in together with
    /// another behind it, in the queue of the thread that serves the other until it is closed.
    pub(crate) fn connect(server: SocketAddr) -> Result<Self, String> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(Duration::from_secs(3_600))
            .build();
        let client = Self { agent: config.into(), base: format!("http://{server}") };
        match client.get("/health")? {
            (200, _) => Ok(client),
            (status, text) => Err(format!("the server is not well: status {status}, {text:?}")),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), String> {
        let url = format!("{}{path}", self.base);
        let mut response = self.agent.get(&url).call().map_err(|e| format!("GET {path}: {e}"))?;
        let text = response.body_mut().read_to_string().map_err(|e| format!("GET {path}: {e}"))?;
        Ok((response.status().as_u16(), text))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<u16, String> {
        let url = format!("{}{path}", self.base);
        let mut response = self.agent.delete(&url).call().map_err(|e| format!("DELETE {path}: {e}"))?;
        // The connection is good for the next request once the body has been read.
        response.body_mut().read_to_string().map_err(|e| format!("DELETE {path}: {e}"))?;
        Ok(response.status().as_u16())
    }

    /// The page of `key`; an error for any other status, and for a page of another key.
    pub(crate) fn page(&self, key: &str) -> Result<String, String> {
        let (status, text) = self.get(&format!("/page/{}", paths::encode(key)))?;
        if status != 200 {
            return Err(format!("page of {key:?}: status {status}, {:?}", text.trim_end()));
        }
        if text.lines().next() != Some(key) {
            return Err(format!("page of {key:?}: got the page of {:?}", text.lines().next().unwrap_or_default()));
        }
        Ok(text)
    }
}
