//! The broker is killed again and again while durable clients publish and subscribe at QoS 1 and 2. All of them go on
//! where they were, as the protocol says, and in the end nothing that was acknowledged is missing anywhere.
//!
//! What was published at QoS 2 is in InfluxDB exactly once, and came exactly once to who subscribed at QoS 2. What came
//! more often at QoS 1 came in order the first time. `MQTT_SERVER_LONG_TESTS=1` kills twenty times as often.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::packet::{DISCONNECT, PINGREQ, PINGRESP};
use crate::support::{
    Broker, BrokerCommand, Connect, DEADLINE, Influx, Publish, Unsteady, eventually, packet,
};

/// With which QoS each publisher publishes, to a topic that has its number.
const PUBLISHERS: [u8; 4] = [1, 1, 2, 2];

/// Messages of one publisher that are on their way at a time.
const WINDOW: usize = 20;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(600);

/// How long a client waits for a packet before it connects again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the clients and the one who kills share.
struct Scene {
    /// Where the broker is now.
    address: Mutex<SocketAddr>,
    acknowledged: AtomicUsize,
    /// Nothing new is to be published any more.
    is_ending: AtomicBool,
    /// How many messages each publisher has published and got acknowledged, once it has ended.
    published: Mutex<BTreeMap<usize, usize>>,
    deadline: Instant,
}

impl Scene {
    fn new(broker: &Broker) -> Self {
        Self {
            address: Mutex::new(broker.address()),
            acknowledged: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
            published: Mutex::default(),
            deadline: Instant::now() + LIMIT,
        }
    }

    /// Connects with clean session 0 again and again, and does `work` on each connection until it is done. A session
    /// that was there once must be there each time.
    fn persist(&self, client_id: &str, mut work: impl FnMut(&mut Unsteady) -> io::Result<()>) {
        let mut has_session = false;
        loop {
            let done = self
                .connect(client_id, &mut has_session)
                .and_then(|mut client| work(&mut client));
            if done.is_ok() {
                return;
            }
            assert!(
                Instant::now() < self.deadline,
                "{client_id}: not done in time"
            );
            // The broker is being started again; nobody announces its port to us.
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn connect(&self, client_id: &str, has_session: &mut bool) -> io::Result<Unsteady> {
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = Unsteady::open(address, PATIENCE)?;
        let connect = Connect {
            clean: false,
            ..Connect::new(client_id)
        };
        client.send(&connect.bytes())?;
        let connack = client.packet()?;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{client_id}");
        let is_present = connack[2] == 1;
        assert!(
            is_present || !*has_session,
            "{client_id}: its session is gone"
        );
        *has_session = true;
        Ok(client)
    }

    /// Waits until so many messages more have been acknowledged.
    fn wait_for_more(&self, count: usize) {
        let aim = self.acknowledged.load(Ordering::SeqCst) + count;
        while self.acknowledged.load(Ordering::SeqCst) < aim {
            assert!(
                Instant::now() < self.deadline,
                "the clients make no progress"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many messages each publisher published, once all have ended.
    fn published(&self) -> Option<BTreeMap<usize, usize>> {
        let published = self.published.lock().unwrap();
        (published.len() == PUBLISHERS.len()).then(|| published.clone())
    }
}

fn topic(publisher: usize) -> String {
    format!("t/{publisher}")
}

/// A message that was published and is not over.
#[derive(Clone, Copy)]
struct Outgoing {
    number: usize,
    /// PUBREC came.
    is_released: bool,
}

/// Publishes the numbers from 0 on until the scene ends, and all of them are acknowledged to the end.
fn publish(scene: &Scene, publisher: usize) {
    let qos = PUBLISHERS[publisher];
    // The packet identifier is the place in the window, from 1: each is used again as soon as it is free.
    let mut window: [Option<Outgoing>; WINDOW] = [None; WINDOW];
    let mut next = 0;
    let id = |slot: usize| u16::try_from(slot + 1).unwrap();
    let message = |slot: usize, number: usize| {
        Publish::new(&topic(publisher), number.to_string()).qos(qos, id(slot))
    };
    scene.persist(&format!("publisher {publisher}"), |connection| {
        // [MQTT-4.4.0-1] in the order in which they were published first.
        let mut unfinished: Vec<(usize, Outgoing)> = window
            .iter()
            .enumerate()
            .filter_map(|(slot, outgoing)| Some((slot, (*outgoing)?)))
            .collect();
        unfinished.sort_by_key(|(_, outgoing)| outgoing.number);
        for (slot, outgoing) in unfinished {
            connection.send(&match outgoing.is_released {
                true => packet::pubrel(id(slot)),
                false => message(slot, outgoing.number).dup().bytes(),
            })?;
        }
        loop {
            let mut run = Vec::new();
            for (slot, outgoing) in window.iter_mut().enumerate() {
                if outgoing.is_none() && !scene.is_ending.load(Ordering::SeqCst) {
                    run.extend(message(slot, next).bytes());
                    *outgoing = Some(Outgoing {
                        number: next,
                        is_released: false,
                    });
                    next += 1;
                }
            }
            if window.iter().all(Option::is_none) {
                return Ok(());
            }
            connection.send(&run)?;
            let answer = connection.packet()?;
            let id = u16::from_be_bytes([answer[2], answer[3]]);
            let outgoing = &mut window[usize::from(id) - 1];
            let is_released = outgoing.is_some_and(|outgoing| outgoing.is_released);
            match (answer[0] >> 4, qos) {
                (4, 1) => {
                    assert!(outgoing.take().is_some(), "PUBACK {id} for nothing");
                    scene.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                (5, 2) => {
                    let outgoing = outgoing.as_mut().expect("PUBREC for a message");
                    outgoing.is_released = true;
                    connection.send(&packet::pubrel(id))?;
                }
                (7, 2) => {
                    assert!(is_released, "PUBCOMP {id} before PUBREC");
                    *outgoing = None;
                    scene.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                (packet_type, _) => panic!("packet type {packet_type}"),
            }
        }
    });
    scene.published.lock().unwrap().insert(publisher, next);
}

/// What a subscriber got: for each publisher the numbers as they came.
type Got = BTreeMap<usize, Vec<usize>>;

/// A durable subscriber.
struct Subscriber<'a> {
    name: &'a str,
    qos: u8,
    /// It goes away after so many messages, and comes again.
    stays_for: usize,
    got: Got,
    /// Messages of QoS 2 that are not released: the state of a receiver, which outlives connections.
    unreleased: HashMap<u16, Publish>,
}

impl<'a> Subscriber<'a> {
    fn new(name: &'a str, qos: u8, stays_for: usize) -> Self {
        Self {
            name,
            qos,
            stays_for,
            got: Got::new(),
            unreleased: HashMap::new(),
        }
    }

    /// Subscribes, so that nothing is published before.
    fn subscribe(self, scene: &Scene) -> Self {
        scene.persist(self.name, |connection| {
            connection.send(&packet::subscribe(1, &[("t/#", self.qos)]))?;
            assert_eq!(connection.packet()?, packet::suback(1, &[self.qos]));
            Ok(())
        });
        self
    }

    /// Takes messages until it has all that were acknowledged, and no more come; gives up waiting for those that are
    /// missing.
    fn run(mut self, scene: &Scene) -> Got {
        let mut visits = 0_usize;
        let mut all_published: Option<Instant> = None;
        scene.persist(self.name, |connection| {
            visits += 1;
            let mut count = 0;
            // It looks up now and then, as nobody tells it that the last message was the last.
            connection.set_patience(Duration::from_millis(100))?;
            loop {
                if self.has_all(scene)
                    || all_published.is_some_and(|since| since.elapsed() > DEADLINE)
                {
                    connection.set_patience(PATIENCE)?;
                    return self.take_the_rest(connection);
                }
                if all_published.is_none() && scene.published().is_some() {
                    all_published = Some(Instant::now());
                }
                assert!(
                    Instant::now() < scene.deadline,
                    "{}: not done in time",
                    self.name
                );
                let packet = match connection.packet() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    packet => packet?,
                };
                self.on_packet(connection, &packet)?;
                count += 1;
                if count == self.stays_for {
                    if visits.is_multiple_of(2) {
                        connection.send(DISCONNECT)?;
                    }
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        });
        self.got
    }

    fn has_all(&self, scene: &Scene) -> bool {
        scene.published().is_some_and(|published| {
            published.iter().all(|(publisher, count)| {
                let got = self.got.get(publisher).map_or(&[][..], Vec::as_slice);
                got.len() >= *count && got.iter().collect::<HashSet<_>>().len() == *count
            })
        })
    }

    /// Takes what was on its way before the answers to two pings: there is room for all of it by the second.
    fn take_the_rest(&mut self, connection: &mut Unsteady) -> io::Result<()> {
        for _ in 0..2 {
            connection.send(PINGREQ)?;
            loop {
                let packet = connection.packet()?;
                if packet == PINGRESP {
                    break;
                }
                self.on_packet(connection, &packet)?;
            }
        }
        Ok(())
    }

    fn on_packet(&mut self, connection: &mut Unsteady, packet: &[u8]) -> io::Result<()> {
        let Some(publish) = Publish::parse(packet, false) else {
            assert_eq!(packet[0], 0x62, "{}: {packet:02x?}", self.name);
            let id = u16::from_be_bytes([packet[2], packet[3]]);
            self.unreleased.remove(&id);
            return connection.send(&packet::pubcomp(id));
        };
        let id = publish.id.expect("a packet identifier");
        if publish.qos == 1 {
            self.take(&publish);
            return connection.send(&packet::puback(id));
        }
        match self.unreleased.get(&id) {
            // The same message again: it must not be another one under the same identifier, which would be lost.
            Some(known) => assert_eq!(
                (&known.topic, &known.payload, publish.dup),
                (&publish.topic, &publish.payload, true),
                "{}: {id}",
                self.name
            ),
            None => {
                self.take(&publish);
                self.unreleased.insert(id, publish);
            }
        }
        connection.send(&packet::pubrec(id))
    }

    fn take(&mut self, publish: &Publish) {
        let publisher = publish.topic.strip_prefix("t/").unwrap().parse().unwrap();
        let number = std::str::from_utf8(&publish.payload).unwrap();
        let numbers = self.got.entry(publisher).or_default();
        numbers.push(number.parse().unwrap());
    }
}

/// Numbers that look random, and are the same in each run.
struct Dice(u64);

impl Dice {
    /// From 0 to `sides` - 1.
    fn roll(&mut self, sides: u64) -> usize {
        // Knuth's MMIX generator; its high bits are good enough.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides).unwrap()
    }
}

/// Each number once or more, and the first time in their order.
fn expect_in_order(who: &str, got: &[usize], count: usize) {
    let mut seen = HashSet::new();
    let first: Vec<usize> = got.iter().copied().filter(|it| seen.insert(*it)).collect();
    expect_all(who, &first, count);
}

/// The numbers below `count`, each once, in their order.
fn expect_all(who: &str, got: &[usize], count: usize) {
    let wrong = (0..count.max(got.len())).find(|&at| got.get(at) != Some(&at) || at >= count);
    if let Some(at) = wrong {
        let from = at.saturating_sub(5);
        let around = got.iter().skip(from).take(15).collect::<Vec<_>>();
        panic!(
            "{who}: {} of {count}; wrong from {at}, where it has {around:?}",
            got.len()
        );
    }
}

/// Kills the broker `kills` times, and InfluxDB too at each kill whose number `kills_influx` takes.
fn loses_and_doubles_nothing(seed: u64, kills: usize, kills_influx: impl Fn(usize) -> bool) {
    let mut influx = Influx::start();
    let mut broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--max-queued-messages", "1000000"])
        .args(&["--max-queued-bytes", "1G"])
        .start();
    let scene = Scene::new(&broker);
    let subscribers = [
        Subscriber::new("steady at QoS 1", 1, usize::MAX),
        Subscriber::new("steady at QoS 2", 2, usize::MAX),
        Subscriber::new("comes and goes at QoS 1", 1, 60),
        Subscriber::new("comes and goes at QoS 2", 2, 50),
    ]
    .map(|subscriber| subscriber.subscribe(&scene));

    let mut dice = Dice(seed);
    let got = thread::scope(|scope| {
        let scene = &scene;
        let subscribers = subscribers.map(|subscriber| {
            let (name, qos) = (subscriber.name, subscriber.qos);
            (name, qos, scope.spawn(move || subscriber.run(scene)))
        });
        for publisher in 0..PUBLISHERS.len() {
            scope.spawn(move || publish(scene, publisher));
        }
        for kill in 0..kills {
            scene.wait_for_more(dice.roll(150));
            thread::sleep(Duration::from_micros(
                u64::try_from(dice.roll(3_000)).unwrap(),
            ));
            let kills_influx = kills_influx(kill);
            if kills_influx {
                influx.kill();
                scene.wait_for_more(dice.roll(100));
            }
            broker.kill();
            if kills_influx && dice.roll(2) == 0 {
                influx.restart();
            }
            broker.restart();
            *scene.address.lock().unwrap() = broker.address();
            if kills_influx {
                scene.wait_for_more(dice.roll(100));
                influx.kill();
                influx.restart();
            }
        }
        scene.wait_for_more(100);
        scene.is_ending.store(true, Ordering::SeqCst);
        subscribers.map(|(name, qos, thread)| (name, qos, thread.join().unwrap()))
    });

    eventually("the journal is empty", || {
        broker.tool(&["journal"]).contains("empty").then_some(())
    });
    let published = scene.published().unwrap();
    let mut stored = Got::new();
    for point in influx.points() {
        let publisher = point.topic().strip_prefix("t/").unwrap().parse().unwrap();
        let number = String::from_utf8(point.payload()).unwrap();
        let numbers = stored.entry(publisher).or_default();
        numbers.push(number.parse().unwrap());
    }
    let total: usize = published.values().sum();
    let points: usize = stored.values().map(Vec::len).sum();
    eprintln!("seed {seed}: {kills} kills, {total} messages acknowledged, {points} points");
    for (publisher, &count) in &published {
        let at_most_once = PUBLISHERS[*publisher] == 2;
        let numbers = &stored[publisher];
        if at_most_once {
            // A message that was stored and not acknowledged keeps its timestamp, so the order holds too.
            expect_all(&format!("InfluxDB, t/{publisher}"), numbers, count);
        } else {
            expect_in_order(&format!("InfluxDB, t/{publisher}"), numbers, count);
        }
        for (name, qos, got) in &got {
            let who = format!("{name}, t/{publisher}");
            if at_most_once && *qos == 2 {
                expect_all(&who, &got[publisher], count);
            } else {
                expect_in_order(&who, &got[publisher], count);
            }
        }
    }
}

fn times(kills: usize) -> usize {
    let is_long = std::env::var_os("MQTT_SERVER_LONG_TESTS").is_some();
    kills * if is_long { 20 } else { 1 }
}

#[test]
fn nothing_is_lost_or_doubled_when_the_broker_is_killed() {
    loses_and_doubles_nothing(1, times(10), |_| false);
}

#[test]
fn nothing_is_lost_or_doubled_when_broker_and_influxdb_are_killed() {
    loses_and_doubles_nothing(2, times(2), |kill| kill.is_multiple_of(2));
}
