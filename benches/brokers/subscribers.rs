//! Subscribers, which only count, check, and acknowledge what asks for it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::arrivals::{Arrivals, Faults};
use crate::packet;
use crate::payload;
use crate::publisher::nanoseconds_since;
use crate::window::Window;

/// What a broker has waiting for a subscriber is read in pieces of this size: few system calls, and
/// still within the cache.
const READ_LEN: usize = 256 * 1024;

/// Sockets that became readable together.
const EVENTS_MAX: usize = 256;

/// One subscriber.
#[derive(Debug)]
struct Subscriber {
    socket: TcpStream,
    /// The beginning of a packet whose end has not come.
    unfinished: Vec<u8>,
    /// By publisher.
    arrivals: Vec<Arrivals>,
}

/// What subscribers and publishers of one run share.
#[derive(Debug)]
pub(crate) struct Flow {
    /// By publisher.
    pub(crate) windows: Vec<Window>,
    /// When the run began; times in payloads count from here.
    pub(crate) clock: Instant,
    /// Subscribers keep how long each message was under way that was sent from this time on.
    pub(crate) latencies_from_ns: Option<u64>,
}

/// Subscribers that one thread reads for.
///
/// A single one is read by blocking; of many those are read that have something. Both are cheap,
/// and neither needs a thread for each of a thousand.
#[derive(Debug)]
pub(crate) struct Group {
    sockets: Vec<TcpStream>,
    thread: JoinHandle<io::Result<Report>>,
}

/// What the subscribers of one group found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// By subscriber, by publisher.
    arrivals: Vec<Vec<Arrivals>>,
    /// Nanoseconds, if they were to be kept.
    pub(crate) latencies: Vec<u64>,
}

impl Report {
    /// How many subscribers it is about.
    pub(crate) fn subscribers(&self) -> usize {
        self.arrivals.len()
    }

    /// What went wrong, when publisher `p` sent `sent[p]` messages; `expects` tells whether a
    /// subscriber of this group, counted from 0, was to get those of a publisher.
    pub(crate) fn faults(&self, sent: &[u32], expects: impl Fn(usize, usize) -> bool) -> Faults {
        let mut faults = Faults::default();
        for (subscriber, arrivals) in self.arrivals.iter().enumerate() {
            for (publisher, (arrivals, &sent)) in arrivals.iter().zip(sent).enumerate() {
                let sent = if expects(subscriber, publisher) {
                    sent
                } else {
                    0
                };
                faults = faults + arrivals.faults(sent);
            }
        }
        faults
    }
}

impl Group {
    /// Starts reading for clients that have subscribed.
    ///
    /// # Errors
    /// When the thread or what it needs cannot be had.
    pub(crate) fn start(sockets: Vec<TcpStream>, flow: &Arc<Flow>) -> io::Result<Self> {
        let subscribers = sockets
            .iter()
            .map(|socket| {
                // Silence is no fault: the end of the run ends the connection.
                socket.set_read_timeout(None)?;
                Ok(Subscriber {
                    socket: socket.try_clone()?,
                    unfinished: Vec::new(),
                    arrivals: vec![Arrivals::default(); flow.windows.len()],
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        let reader = Reader {
            counts: vec![0; flow.windows.len()],
            flow: Arc::clone(flow),
            buffer: vec![0; READ_LEN],
            acknowledgements: Vec::new(),
            latencies: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("subscribers".into())
            .spawn(move || reader.run(subscribers))?;
        Ok(Self { sockets, thread })
    }

    /// Ends the connections, and tells what the subscribers found.
    ///
    /// # Errors
    /// What broke a connection before.
    pub(crate) fn finish(self) -> io::Result<Report> {
        for socket in &self.sockets {
            // A broker that has closed it first is seen in the report.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.thread
            .join()
            .map_err(|_| io::Error::other("a subscriber panicked"))?
    }
}

/// The working space of one group's thread.
struct Reader {
    flow: Arc<Flow>,
    buffer: Vec<u8>,
    /// Deliveries of the read at hand, by publisher.
    counts: Vec<u64>,
    acknowledgements: Vec<u8>,
    latencies: Vec<u64>,
}

impl Reader {
    fn run(mut self, mut subscribers: Vec<Subscriber>) -> io::Result<Report> {
        match subscribers.as_mut_slice() {
            [one] => while self.read(one)? {},
            many => self.read_those_that_are_ready(many)?,
        }
        Ok(Report {
            arrivals: subscribers.into_iter().map(|one| one.arrivals).collect(),
            latencies: self.latencies,
        })
    }

    fn read_those_that_are_ready(&mut self, subscribers: &mut [Subscriber]) -> io::Result<()> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, subscriber) in subscribers.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&poll, &subscriber.socket, data, epoll::EventFlags::IN)?;
        }
        let mut open = subscribers.len();
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        while open > 0 {
            events.clear();
            epoll::wait(&poll, spare_capacity(&mut events), None)?;
            for event in &events {
                let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                let Some(subscriber) = subscribers.get_mut(index) else {
                    continue;
                };
                if !self.read(subscriber)? {
                    epoll::delete(&poll, &subscriber.socket)?;
                    open -= 1;
                }
            }
        }
        Ok(())
    }

    /// One read and all it brought. Returns `false` at the end of the connection.
    fn read(&mut self, subscriber: &mut Subscriber) -> io::Result<bool> {
        let left = subscriber.unfinished.len();
        self.buffer[..left].copy_from_slice(&subscriber.unfinished);
        let count = match (&subscriber.socket).read(&mut self.buffer[left..]) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        };
        let latencies = self
            .flow
            .latencies_from_ns
            .map(|from_ns| (from_ns, nanoseconds_since(self.flow.clock)));
        let mut rest = &self.buffer[..left + count];
        while let Some(received) = packet::next(rest) {
            rest = &rest[received.len..];
            match received.kind() {
                packet::PUBLISH => {}
                packet::PUBREL => {
                    let packet_id = received.packet_id().unwrap_or_default();
                    packet::push_ack(&mut self.acknowledgements, packet::PUBCOMP, packet_id);
                    continue;
                }
                other => return Err(io::Error::other(format!("a subscriber got {other:02x}"))),
            }
            let foreign = || io::Error::other("a subscriber got what nobody sent");
            let (qos, packet_id, payload) = received.publish().ok_or_else(foreign)?;
            let stamp = payload::stamp(payload).ok_or_else(foreign)?;
            let publisher = stamp.publisher as usize;
            let arrivals = subscriber.arrivals.get_mut(publisher).ok_or_else(foreign)?;
            arrivals.add(stamp.number);
            self.counts[publisher] += 1;
            match qos {
                0 => {}
                1 => packet::push_ack(&mut self.acknowledgements, packet::PUBACK, packet_id),
                _ => packet::push_ack(&mut self.acknowledgements, packet::PUBREC, packet_id),
            }
            if let Some((from_ns, now_ns)) = latencies
                && let Some(sent_ns) = payload::time_ns(payload)
                && sent_ns >= from_ns
            {
                self.latencies.push(now_ns.saturating_sub(sent_ns));
            }
        }
        subscriber.unfinished.clear();
        subscriber.unfinished.extend_from_slice(rest);
        if !self.acknowledgements.is_empty() {
            let written = (&subscriber.socket).write_all(&self.acknowledgements);
            self.acknowledgements.clear();
            match written {
                // The run has ended, with acknowledgements under way.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                written => written?,
            }
        }
        for (count, window) in self.counts.iter_mut().zip(&self.flow.windows) {
            if *count > 0 {
                window.add_delivered(std::mem::take(count));
            }
        }
        Ok(true)
    }
}
