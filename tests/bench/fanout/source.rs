//! A paced MPEG-TS source over HTTP that numbers and stamps its bursts.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

pub const MARK: &[u8; 4] = b"FNOT";
const VIDEO: u16 = 0x100;
const STAMPS: u16 = 0x1f0;

/// `source RATE BURST STREAMS`: prints its port, serves until killed. Streams are evenly out of step.
pub fn main(args: &[String]) {
    let number = |i: usize| args[i].parse::<u64>().expect("a number");
    let (rate, burst, streams) = (number(0), number(1) as usize, number(2).max(1));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("bound").port());
    for (socket, step) in listener.incoming().flatten().zip((0..streams).cycle()) {
        std::thread::spawn(move || serve(socket, rate, burst, step as f64 / streams as f64));
    }
}

fn serve(mut socket: TcpStream, rate: u64, burst: usize, step: f64) {
    let mut head = [0; 4096];
    let _ = socket.read(&mut head);
    let _ = socket.set_nodelay(true);
    if socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n").is_err() {
        return;
    }
    let pause = Duration::from_nanos(burst as u64 * 188 * 8 * 1_000_000_000 / rate);
    let mut ts = Writer::default();
    let begin = Instant::now() + pause.mul_f64(step);
    for n in 0u32.. {
        let due = begin + pause * n;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let bytes = ts.burst(burst, (pause * n).as_micros() as u64);
        if socket.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Microseconds on the machine's monotonic clock: comparable between processes.
pub fn clock_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[derive(Default)]
struct Writer {
    counters: [u8; 4],
    number: u64,
    tables_us: Option<u64>,
    access_us: Option<u64>,
}

impl Writer {
    fn packet(&mut self, slot: usize, pid: u16, unit: bool, out: &mut Vec<u8>) -> usize {
        let at = out.len();
        let counter = self.counters[slot];
        self.counters[slot] = (counter + 1) & 15;
        out.extend_from_slice(&[0x47, (pid >> 8) as u8 | if unit { 0x40 } else { 0 }, pid as u8, 0x10 | counter]);
        at
    }

    fn burst(&mut self, packets: usize, at_us: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(packets * 188);
        let due = |last: Option<u64>, every| last.is_none_or(|l| at_us - l >= every);
        if packets >= 7 && due(self.tables_us, 100_000) || self.tables_us.is_none() {
            self.tables_us = Some(at_us);
            self.table(0, 0, &section(0, &[0, 1, 0xc1, 0, 0, 0, 1, 0xe0, 0x42]), &mut out);
            let pmt = [0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x06, 0xe1, 0xf0, 0xf0, 0];
            self.table(1, 0x42, &section(2, &pmt), &mut out);
        }
        let access = due(self.access_us, 1_000_000);
        if access {
            self.access_us = Some(at_us);
        }
        self.packet(2, VIDEO, access, &mut out);
        let start = out.len() - 4;
        out[start + 3] |= 0x20;
        let base = at_us * 9 / 100;
        out.extend_from_slice(&[7, if access { 0x50 } else { 0x10 }]);
        out.extend_from_slice(&[
            (base >> 25) as u8,
            (base >> 17) as u8,
            (base >> 9) as u8,
            (base >> 1) as u8,
            (base << 7) as u8 | 0x7e,
            0,
        ]);
        out.extend_from_slice(&[0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0]);
        out.resize(start + 188, 0xaa);
        while out.len() < (packets - 1) * 188 {
            let start = self.packet(2, VIDEO, false, &mut out);
            out.resize(start + 188, 0xaa);
        }
        let start = self.packet(3, STAMPS, false, &mut out);
        out.extend_from_slice(MARK);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&clock_us().to_be_bytes());
        out.resize(start + 188, 0xff);
        self.number += 1;
        out
    }

    fn table(&mut self, slot: usize, pid: u16, section: &[u8], out: &mut Vec<u8>) {
        let start = self.packet(slot, pid, true, out);
        out.push(0);
        out.extend_from_slice(section);
        out.resize(start + 188, 0xff);
    }
}

fn section(table: u8, body: &[u8]) -> Vec<u8> {
    let mut s = vec![table, 0xb0, body.len() as u8 + 4];
    s.extend_from_slice(body);
    let crc = s.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    s.extend_from_slice(&crc.to_be_bytes());
    s
}
