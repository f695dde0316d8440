//! Encrypted connections to a real server, with certificates made for the test.

use crate::support::server::free_port;
use crate::support::{Server, patient, until, until_renewed, watched};
use flight_group::fleet::{Fleet, FleetBuilder, FleetGroup};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// An authority of the test's own, and what it signed.
struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("flight-group-tls-{}", free_port()));
        std::fs::create_dir(&folder).unwrap();
        let made = Self { folder };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "2", "-subj", "/CN=an authority", "-keyout", "ca.key", "-out", "ca.pem"];
        made.openssl(&[&authority[..], &key].concat());
        for who in ["server", "client"] {
            let (asked, secret, signed) = (format!("{who}.csr"), format!("{who}.key"), format!("{who}.pem"));
            let name = format!("/CN={who}");
            made.openssl(&[&["req", "-subj", &name, "-keyout", &secret, "-out", &asked][..], &key].concat());
            std::fs::write(made.folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
            let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
            made.openssl(&[&["x509", "-req", "-in", &asked, "-out", &signed][..], &by].concat());
        }
        made
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(&self.folder).stdin(Stdio::null()).output();
        let output =
            output.unwrap_or_else(|error| panic!("no openssl ({error}): install it, e.g. `apt-get install openssl`"));
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn pem(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }

    /// A server that listens encrypted too, at the port returned.
    fn server(&self, clients: &str) -> (Server, u16) {
        let port = free_port();
        let path = |name: &str| self.folder.join(name).display().to_string();
        let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
        let server = Server::with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority,
            "--tls-auth-clients",
            clients,
        ]);
        until("it listens encrypted", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        (server, port)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn encrypted(port: u16) -> FleetBuilder {
    patient(&format!("rediss://127.0.0.1:{port}/"))
}

#[test]
fn a_flight_crosses_an_encrypted_connection() {
    watched("tls", || {
        let certificates = Certificates::new();
        let (server, port) = certificates.server("no");
        let fleet = encrypted(port)
            // Silence is read through the encryption as well.
            .ping_interval(Duration::from_millis(100))
            .tls_root_certificate(certificates.pem("ca.pem"))
            .connect()
            .unwrap();
        let plain = patient(&server.url()).connect().unwrap();
        let (leads, follows): (FleetGroup<u32, String, String>, FleetGroup<u32, String, String>) =
            (plain.group("g"), fleet.group("g"));
        for size in [10, 100_000] {
            std::thread::scope(|s| {
                let (started, start) = mpsc::channel();
                let (leads, server) = (&leads, &server);
                s.spawn(move || {
                    leads.try_work(&1, || {
                        started.send(()).unwrap();
                        let mut raw = server.raw();
                        until("the other follows", || {
                            let fields: Vec<String> = redis::Commands::hkeys(&mut raw, "{flight:g:g:1}:f").unwrap();
                            fields.iter().any(|field| field.starts_with("n:"))
                        });
                        Ok("x".repeat(size))
                    })
                });
                start.recv_timeout(Duration::from_secs(60)).unwrap();
                assert_eq!(follows.try_work(&1, || Ok("not run".into())).map(|value| value.len()), Ok(size));
            });
        }
        let lease = fleet.lease("l").ttl(Duration::from_secs(3)).acquire().unwrap();
        until_renewed(&lease);
        lease.release().unwrap();
        assert_eq!((fleet.stats().led, fleet.stats().unavailable), (0, 0));
    });
}

#[test]
fn a_certificate_nobody_vouches_for_is_refused_and_a_clients_own_is_shown() {
    watched("certificates", || {
        let certificates = Certificates::new();
        let (_server, port) = certificates.server("yes");
        // The system's authorities do not know this one. What the libraries call it differs.
        let error = encrypted(port).connect().unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().to_lowercase().contains("cert"), "{error}");
        // The server is known, and wants to know the client.
        let root = || encrypted(port).tls_root_certificate(certificates.pem("ca.pem"));
        assert!(root().connect().unwrap_err().is_unavailable());
        let (shown, key) = (certificates.pem("client.pem"), certificates.pem("client.key"));
        let fleet = root().tls_client_certificate(shown, key).connect().unwrap();
        fleet.lease("l").acquire().unwrap().release().unwrap();
        let error = encrypted(port).tls_root_certificate("no certificate").connect();
        assert!(error.is_err(), "what is no certificate vouches for nobody");
    });
}

#[test]
fn an_encrypted_address_of_a_server_that_is_not_is_a_clear_error() {
    watched("no tls there", || {
        let server = Server::start();
        let url = format!("rediss://127.0.0.1:{}/", server.port());
        let error = Fleet::builder(&url).command_timeout(Duration::from_secs(5)).connect().unwrap_err();
        assert!(error.is_unavailable(), "{error}");
    });
}
