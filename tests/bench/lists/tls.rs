//! What a viewer over TLS costs the daemon beside a plain one. Must not enter: other servers. Invariant: each client reads all it is
//! sent, in a thread of its own, and what clients cost is not counted.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use super::server::{Kind, Server, spawn_self};

const RATE: u64 = 8_000_000;
const VIEWERS: usize = 50;
const SECONDS: u64 = 5;
const ROUNDS: usize = 3;

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// Viewers of one stream, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Crowd {
    fn new() -> Self {
        Self { stop: Arc::default(), bytes: Arc::default(), threads: Vec::new() }
    }

    fn join(&mut self, server: &Server, tls: Option<&Arc<ClientConfig>>) {
        let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("the daemon");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", server.paths[0]);
        let (stop, bytes) = (Arc::clone(&self.stop), Arc::clone(&self.bytes));
        let session = tls.map(|config| {
            let name = ServerName::try_from("localhost").expect("a name");
            ClientConnection::new(Arc::clone(config), name).expect("a session")
        });
        let thread = std::thread::Builder::new().stack_size(128 << 10);
        let thread = thread.spawn(move || match session {
            Some(session) => watch(StreamOwned::new(session, socket), &request, &stop, &bytes),
            None => watch(socket, &request, &stop, &bytes),
        });
        self.threads.push(thread.expect("a thread"));
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|t| drop(t.join()));
    }
}

fn watch(mut line: impl Read + Write, request: &str, stop: &AtomicBool, bytes: &AtomicU64) {
    line.write_all(request.as_bytes()).expect("the daemon");
    let mut buffer = vec![0; 32 << 10];
    while !stop.load(Relaxed) {
        let n = line.read(&mut buffer).expect("a stream without an end");
        assert!(n > 0, "the stream ended");
        bytes.fetch_add(n as u64, Relaxed);
    }
}

/// CPU seconds per GB, KB per viewer, microseconds of CPU per login.
fn run(tls: bool) -> [f64; 3] {
    let source = spawn_self(&["source", &RATE.to_string(), "87", "1"]);
    let server = if tls {
        Server::over_tls(source.port, &file("one.pem"), &file("one.key"))
    } else {
        Server::start(Kind::Yagid(None), source.port, 1)
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("one.pem")).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = tls.then(|| Arc::new(config));
    let mut crowd = Crowd::new();
    crowd.join(&server, config.as_ref());
    // The ring fills.
    std::thread::sleep(Duration::from_secs(10));
    let (rss, cpu) = (server.rss_kb(), server.cpu_seconds());
    for _ in 1..VIEWERS {
        crowd.join(&server, config.as_ref());
    }
    std::thread::sleep(Duration::from_secs(3));
    let joined = (server.cpu_seconds() - cpu) / (VIEWERS - 1) as f64 * 1e6;
    let (began, cpu, before) = (Instant::now(), server.cpu_seconds(), crowd.bytes.load(Relaxed));
    std::thread::sleep(Duration::from_secs(SECONDS));
    let (cpu, bytes) = (server.cpu_seconds() - cpu, (crowd.bytes.load(Relaxed) - before) as f64);
    let full = RATE as f64 / 8.0 * VIEWERS as f64 * began.elapsed().as_secs_f64();
    assert!(bytes > full * 0.97, "viewers got {:.0} % of the bit rate: void", bytes / full * 100.0);
    [cpu / bytes * 1e9, (server.rss_kb() - rss) / (VIEWERS - 1) as f64, joined]
}

pub fn cost() {
    println!("{VIEWERS} viewers of 8 Mbit/s, {ROUNDS} rounds of {SECONDS} s, medians");
    println!(
        "| | CPU-s/GB | KB/viewer | µs of CPU a join, with its burst and 3 s of stream |\n| --- | --: | --: | --: |"
    );
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (tls, runs) in [false, true].into_iter().zip(&mut runs) {
            runs.push(run(tls));
        }
    }
    for (name, runs) in ["plain", "TLS"].into_iter().zip(&runs) {
        let median = |n: usize| {
            let mut all: Vec<f64> = runs.iter().map(|r| r[n]).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        println!("| {name} | {:.3} | {:.1} | {:.0} |", median(0), median(1), median(2));
    }
}
