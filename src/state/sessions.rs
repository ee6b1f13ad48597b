//! Sessions that outlive the process, what is on its way in them, and retained messages.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::{State, StateError};
use crate::codec::{PacketId, QoS};
use crate::message::Message;
use crate::session::Delivery;

pub(super) const TABLES: &str = "
    CREATE TABLE sessions (
        number INTEGER PRIMARY KEY, -- never used twice
        client_id TEXT NOT NULL UNIQUE,
        expiry_s INTEGER NOT NULL, -- after the end of the connection; 4294967295 is never
        detached_ms INTEGER, -- when that was, since 1970; NULL while connected
        will BLOB, -- a PUBLISH packet of MQTT 5.0
        will_delay_s INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE subscriptions (
        session INTEGER NOT NULL,
        filter TEXT NOT NULL, -- as the client wrote it
        qos INTEGER NOT NULL,
        no_local INTEGER NOT NULL,
        retain_as_published INTEGER NOT NULL,
        identifier INTEGER,
        PRIMARY KEY (session, filter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE deliveries ( -- messages of QoS 1 and 2 on their way to a client
        session INTEGER NOT NULL,
        sequence INTEGER NOT NULL, -- the packet id is this modulo 65535, plus 1
        released INTEGER NOT NULL, -- PUBREC came
        qos INTEGER NOT NULL,
        retain INTEGER NOT NULL,
        identifiers BLOB NOT NULL, -- of subscriptions, four bytes each, the highest first
        topic TEXT NOT NULL,
        payload BLOB NOT NULL,
        properties BLOB NOT NULL,
        message_qos INTEGER NOT NULL,
        message_retain INTEGER NOT NULL,
        expires_ms INTEGER, -- since 1970
        PRIMARY KEY (session, sequence)
    ) STRICT;
    CREATE TABLE received ( -- messages of QoS 2 from a client that it has not released
        session INTEGER NOT NULL,
        packet_id INTEGER NOT NULL,
        timestamp_ns INTEGER NOT NULL, -- of its point
        is_complete INTEGER NOT NULL, -- stored and delivered, not only begun
        PRIMARY KEY (session, packet_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE retained (
        topic TEXT PRIMARY KEY,
        payload BLOB NOT NULL,
        properties BLOB NOT NULL,
        qos INTEGER NOT NULL,
        expires_ms INTEGER
    ) STRICT;
";

/// Which messages have been sent, perhaps: those are sent again with DUP.
pub(super) const SENT_BELOW: &str = "
    -- below this sequence number, all may have been sent; NULL: any may, as while connected
    ALTER TABLE sessions ADD COLUMN sent_below INTEGER;
";

/// A change of a session, or of the retained messages.
#[derive(Clone, Debug)]
pub enum Change {
    /// The session is there, and its client is connected.
    Attach(KeptSession),
    /// The connection has ended.
    Detach {
        /// Which session.
        session: u64,
        /// How long it is kept from now on, in seconds.
        expiry_s: u32,
        /// When.
        at: SystemTime,
        /// Whether its will is over: published, or not to be.
        will_is_over: bool,
        /// Messages with lower sequence numbers may have been sent.
        sent_below: u64,
    },
    /// The session is over, and everything in it.
    End(u64),
    /// Its will was published later.
    WillIsOver(u64),
    /// It subscribed.
    Subscribe(u64, KeptSubscription),
    /// It subscribes no more to this filter.
    Unsubscribe(u64, Box<str>),
    /// A message is on its way to it, with this sequence number.
    Enqueue(u64, u64, Delivery),
    /// PUBREC came for the message with this sequence number.
    Release(u64, u64),
    /// The message with this sequence number is over.
    Done(u64, u64),
    /// A message of QoS 2 came in; its point has this timestamp.
    Receive(u64, PacketId, i64),
    /// That message is stored and delivered.
    Complete(u64, PacketId),
    /// The client has released it.
    Forget(u64, PacketId),
    /// The retained message of its topic. One with an empty payload removes the one there was.
    Retain(Arc<Message>),
}

/// A session as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// What tells it from all others, ever.
    pub number: u64,
    /// Whose it is.
    pub client_id: Arc<str>,
    /// How long it is kept after the connection, in seconds.
    pub expiry_s: u32,
    /// When the connection ended; `None` while it has not.
    pub detached_at: Option<SystemTime>,
    /// Its will: a PUBLISH packet of MQTT 5.0.
    pub will: Option<Box<[u8]>>,
    /// How long the will is put off, in seconds.
    pub will_delay_s: u32,
}

/// A subscription as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSubscription {
    /// As the client wrote it.
    pub filter: Box<str>,
    /// The highest quality of service it wants.
    pub qos: QoS,
    /// Not its own messages.
    pub no_local: bool,
    /// RETAIN as the publisher set it.
    pub retain_as_published: bool,
    /// To be sent with each message.
    pub identifier: Option<u32>,
}

/// What is left of a message on its way.
#[derive(Debug)]
pub enum KeptDelivery {
    /// To be sent, perhaps again.
    Publish(Delivery),
    /// PUBREC came: PUBREL is to be sent.
    Released,
}

/// Everything that is kept of one session.
#[derive(Debug)]
pub struct Restored {
    /// The session.
    pub session: KeptSession,
    /// Its subscriptions.
    pub subscriptions: Vec<KeptSubscription>,
    /// Messages on their way, by rising sequence number.
    pub deliveries: Vec<(u64, KeptDelivery)>,
    /// Messages of QoS 2 that came in: packet id, timestamp, and whether it is complete.
    pub received: Vec<(PacketId, i64, bool)>,
}

impl State {
    /// Makes all these changes, in their order, or none. When it returns, they survive a power
    /// failure.
    ///
    /// # Errors
    /// SQLite's, as on a full disk.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), StateError> {
        let transaction = self.database.transaction()?;
        for change in changes {
            apply(&transaction, change)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Deletes what a crash has left of sessions that are over.
    ///
    /// # Errors
    /// SQLite's.
    pub fn drop_orphans(&mut self) -> Result<(), StateError> {
        for table in ["subscriptions", "deliveries", "received"] {
            let sql =
                format!("DELETE FROM {table} WHERE session NOT IN (SELECT number FROM sessions)");
            self.database.execute(&sql, ())?;
        }
        Ok(())
    }

    /// All sessions.
    ///
    /// # Errors
    /// SQLite's, also when a row has what this program does not write.
    pub fn sessions(&self) -> Result<Vec<Restored>, StateError> {
        let mut statement = self.database.prepare(
            "SELECT number, client_id, expiry_s, detached_ms, will, will_delay_s FROM sessions",
        )?;
        let sessions = statement.query_map((), kept_session)?;
        sessions
            .map(|session| {
                let session = session?;
                Ok(Restored {
                    subscriptions: self.subscriptions(session.number)?,
                    deliveries: self.deliveries(session.number)?,
                    received: self.received(session.number)?,
                    session,
                })
            })
            .collect()
    }

    /// All retained messages; some may have expired.
    ///
    /// # Errors
    /// SQLite's.
    pub fn retained(&self) -> Result<Vec<Message>, StateError> {
        let mut statement = self
            .database
            .prepare("SELECT topic, payload, properties, qos, expires_ms FROM retained")?;
        let messages = statement.query_map((), |row| {
            let expires_at = time(row.get(4)?);
            let (payload, properties): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
            let topic: Arc<str> = row.get(0)?;
            Ok(Message::from_parts(
                topic,
                payload.into(),
                qos(row, 3)?,
                true,
                expires_at,
                properties.into(),
            ))
        })?;
        Ok(messages.collect::<Result<_, _>>()?)
    }

    fn subscriptions(&self, session: u64) -> Result<Vec<KeptSubscription>, StateError> {
        let mut statement = self.database.prepare_cached(
            "SELECT filter, qos, no_local, retain_as_published, identifier FROM subscriptions \
             WHERE session = ?1",
        )?;
        let subscriptions = statement.query_map([number(session)], |row| {
            let filter: String = row.get(0)?;
            Ok(KeptSubscription {
                filter: filter.into(),
                qos: qos(row, 1)?,
                no_local: row.get(2)?,
                retain_as_published: row.get(3)?,
                identifier: row.get(4)?,
            })
        })?;
        Ok(subscriptions.collect::<Result<_, _>>()?)
    }

    fn deliveries(&self, session: u64) -> Result<Vec<(u64, KeptDelivery)>, StateError> {
        let mut statement = self.database.prepare_cached(
            "SELECT sequence, released, qos, retain, identifiers, topic, payload, properties, \
             message_qos, message_retain, expires_ms, \
             (SELECT sent_below IS NULL OR sequence < sent_below FROM sessions WHERE number = ?1) \
             FROM deliveries WHERE session = ?1 ORDER BY sequence",
        )?;
        let deliveries = statement.query_map([number(session)], kept_delivery)?;
        Ok(deliveries.collect::<Result<_, _>>()?)
    }

    fn received(&self, session: u64) -> Result<Vec<(PacketId, i64, bool)>, StateError> {
        let mut statement = self.database.prepare_cached(
            "SELECT packet_id, timestamp_ns, is_complete FROM received WHERE session = ?1",
        )?;
        let received = statement.query_map([number(session)], |row| {
            let packet_id = PacketId::new(row.get(0)?).ok_or_else(|| unreadable(0))?;
            Ok((packet_id, row.get(1)?, row.get(2)?))
        })?;
        Ok(received.collect::<Result<_, _>>()?)
    }
}

fn apply(database: &Connection, change: &Change) -> Result<(), rusqlite::Error> {
    let run = |sql, params: &[&dyn rusqlite::ToSql]| {
        database.prepare_cached(sql)?.execute(params).map(|_| ())
    };
    match change {
        Change::Attach(session) => run(
            "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, NULL, ?4, ?5, NULL)",
            params![
                number(session.number),
                &*session.client_id,
                session.expiry_s,
                session.will,
                session.will_delay_s
            ],
        ),
        Change::Detach {
            session,
            expiry_s,
            at,
            will_is_over,
            sent_below,
        } => run(
            "UPDATE sessions SET expiry_s = ?2, detached_ms = ?3, \
             will = CASE WHEN ?4 THEN NULL ELSE will END, sent_below = ?5 WHERE number = ?1",
            params![
                number(*session),
                expiry_s,
                millis(*at),
                will_is_over,
                number(*sent_below)
            ],
        ),
        Change::End(session) => [
            "DELETE FROM sessions WHERE number = ?1",
            "DELETE FROM subscriptions WHERE session = ?1",
            "DELETE FROM deliveries WHERE session = ?1",
            "DELETE FROM received WHERE session = ?1",
        ]
        .into_iter()
        .try_for_each(|sql| run(sql, params![number(*session)])),
        Change::WillIsOver(session) => run(
            "UPDATE sessions SET will = NULL WHERE number = ?1",
            params![number(*session)],
        ),
        Change::Subscribe(session, subscription) => run(
            "INSERT OR REPLACE INTO subscriptions VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                number(*session),
                subscription.filter,
                subscription.qos as u8,
                subscription.no_local,
                subscription.retain_as_published,
                subscription.identifier
            ],
        ),
        Change::Unsubscribe(session, filter) => run(
            "DELETE FROM subscriptions WHERE session = ?1 AND filter = ?2",
            params![number(*session), filter],
        ),
        Change::Enqueue(session, sequence, delivery) => {
            let identifiers: Vec<u8> = delivery
                .subscription_identifiers
                .iter()
                .flat_map(|id| id.to_be_bytes())
                .collect();
            let message = &delivery.message;
            run(
                "INSERT OR REPLACE INTO deliveries \
                 VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    number(*session),
                    number(*sequence),
                    delivery.qos as u8,
                    delivery.retain,
                    identifiers,
                    &*message.topic,
                    message.payload,
                    message.properties_bytes(),
                    message.qos as u8,
                    message.retain,
                    message.expires_at.map(millis)
                ],
            )
        }
        Change::Release(session, sequence) => run(
            "UPDATE deliveries SET released = 1, payload = x'', properties = x'' \
             WHERE session = ?1 AND sequence = ?2",
            params![number(*session), number(*sequence)],
        ),
        Change::Done(session, sequence) => run(
            "DELETE FROM deliveries WHERE session = ?1 AND sequence = ?2",
            params![number(*session), number(*sequence)],
        ),
        Change::Receive(session, packet_id, timestamp_ns) => run(
            "INSERT OR REPLACE INTO received VALUES (?1, ?2, ?3, 0)",
            params![number(*session), packet_id.get(), timestamp_ns],
        ),
        Change::Complete(session, packet_id) => run(
            "UPDATE received SET is_complete = 1 WHERE session = ?1 AND packet_id = ?2",
            params![number(*session), packet_id.get()],
        ),
        Change::Forget(session, packet_id) => run(
            "DELETE FROM received WHERE session = ?1 AND packet_id = ?2",
            params![number(*session), packet_id.get()],
        ),
        Change::Retain(message) if message.payload.is_empty() => run(
            "DELETE FROM retained WHERE topic = ?1",
            params![&*message.topic],
        ),
        Change::Retain(message) => run(
            "INSERT OR REPLACE INTO retained VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                &*message.topic,
                message.payload,
                message.properties_bytes(),
                message.qos as u8,
                message.expires_at.map(millis)
            ],
        ),
    }
}

fn kept_session(row: &Row<'_>) -> rusqlite::Result<KeptSession> {
    let will: Option<Vec<u8>> = row.get(4)?;
    let client_id: Arc<str> = row.get(1)?;
    Ok(KeptSession {
        number: u64::try_from(row.get::<_, i64>(0)?).map_err(|_| unreadable(0))?,
        client_id,
        expiry_s: row.get(2)?,
        detached_at: time(row.get(3)?),
        will: will.map(Vec::into_boxed_slice),
        will_delay_s: row.get(5)?,
    })
}

fn kept_delivery(row: &Row<'_>) -> rusqlite::Result<(u64, KeptDelivery)> {
    let sequence = u64::try_from(row.get::<_, i64>(0)?).map_err(|_| unreadable(0))?;
    if row.get(1)? {
        return Ok((sequence, KeptDelivery::Released));
    }
    let identifiers: Vec<u8> = row.get(4)?;
    let identifiers = identifiers
        .chunks_exact(4)
        .filter_map(|id| Some(u32::from_be_bytes(id.try_into().ok()?)));
    let topic: Arc<str> = row.get(5)?;
    let (payload, properties): (Vec<u8>, Vec<u8>) = (row.get(6)?, row.get(7)?);
    let message = Message::from_parts(
        topic,
        payload.into(),
        qos(row, 8)?,
        row.get(9)?,
        time(row.get(10)?),
        properties.into(),
    );
    let delivery = Delivery {
        message: Arc::new(message),
        qos: qos(row, 2)?,
        retain: row.get(3)?,
        dup: row.get::<_, Option<bool>>(11)?.unwrap_or(true),
        subscription_identifiers: identifiers.collect(),
    };
    Ok((sequence, KeptDelivery::Publish(delivery)))
}

fn qos(row: &Row<'_>, index: usize) -> rusqlite::Result<QoS> {
    QoS::try_from(row.get::<_, u8>(index)?).map_err(|_| unreadable(index))
}

/// SQLite's integers are signed; ours stay far below that.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(time: SystemTime) -> i64 {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

fn time(millis: Option<i64>) -> Option<SystemTime> {
    let millis = u64::try_from(millis?).unwrap_or_default();
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

fn unreadable(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, "out of range".into())
}

#[cfg(test)]
impl State {
    /// Makes every later change of sessions fail.
    pub(crate) fn break_sessions(&mut self) {
        self.database
            .execute_batch("ALTER TABLE sessions RENAME TO broken")
            .expect("it is there");
    }

    /// Ends what [`State::break_sessions`] began.
    pub(crate) fn mend_sessions(&mut self) {
        self.database
            .execute_batch("ALTER TABLE broken RENAME TO sessions")
            .expect("it is there");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::codec::PublishProperties;

    fn delivery(payload: &str) -> Delivery {
        let properties = PublishProperties {
            message_expiry_interval: Some(60),
            content_type: Some("text/plain"),
            ..PublishProperties::default()
        };
        let mut message = Message::new(
            "a/b".into(),
            payload.as_bytes(),
            QoS::ExactlyOnce,
            true,
            &properties,
        );
        // The same in each call.
        message.expires_at = time(Some(1_800_000_000_123));
        Delivery {
            message: Arc::new(message),
            qos: QoS::AtLeastOnce,
            retain: true,
            dup: false,
            subscription_identifiers: Box::new([1, 268_435_455]),
        }
    }

    fn session(number: u64) -> KeptSession {
        KeptSession {
            number,
            client_id: format!("client {number}").into(),
            expiry_s: u32::MAX,
            detached_at: None,
            will: Some(Box::new([1, 2])),
            will_delay_s: 5,
        }
    }

    fn subscription(filter: &str) -> KeptSubscription {
        KeptSubscription {
            filter: filter.into(),
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: false,
            identifier: Some(7),
        }
    }

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    #[test]
    fn gives_back_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        let changes = [
            Change::Attach(session(1)),
            Change::Attach(session(2)),
            Change::Subscribe(1, subscription("#")),
            Change::Subscribe(1, subscription("$share/g/a")),
            Change::Unsubscribe(1, "#".into()),
            Change::Enqueue(1, 10, delivery("ten")),
            Change::Enqueue(1, 11, delivery("eleven")),
            Change::Enqueue(1, 12, delivery("twelve")),
            Change::Release(1, 11),
            Change::Done(1, 12),
            Change::Receive(1, id(3), 33),
            Change::Receive(1, id(4), 44),
            Change::Receive(1, id(5), 55),
            Change::Complete(1, id(4)),
            Change::Forget(1, id(5)),
            Change::End(2),
            Change::Retain(Arc::clone(&delivery("kept").message)),
        ];
        state.apply(&changes).unwrap();
        drop(state);

        let mut state = State::open(dir.path()).unwrap();
        let [restored] = &state.sessions().unwrap()[..] else {
            panic!("one session")
        };
        assert_eq!(restored.session, session(1));
        assert_eq!(restored.subscriptions, [subscription("$share/g/a")]);
        let [
            (10, KeptDelivery::Publish(ten)),
            (11, KeptDelivery::Released),
        ] = &restored.deliveries[..]
        else {
            panic!("{:?}", restored.deliveries)
        };
        assert_eq!(*ten.message, *delivery("ten").message);
        assert_eq!(*ten.subscription_identifiers, [1, 268_435_455]);
        assert_eq!(restored.received, [(id(3), 33, false), (id(4), 44, true)]);
        assert_eq!(
            state.retained().unwrap(),
            [Message::clone(&delivery("kept").message)]
        );

        let at = SystemTime::now();
        state
            .apply(&[
                Change::Detach {
                    session: 1,
                    expiry_s: 9,
                    at,
                    will_is_over: true,
                    sent_below: 0,
                },
                Change::Retain(Arc::clone(&delivery("").message)),
            ])
            .unwrap();
        let restored = state.sessions().unwrap().remove(0).session;
        assert_eq!((restored.expiry_s, restored.will), (9, None));
        assert_eq!(restored.detached_at, time(Some(millis(at))));
        assert_eq!(state.retained().unwrap(), []);
    }

    #[test]
    fn makes_all_changes_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        state.database.execute("DROP TABLE received", ()).unwrap();
        let changes = [Change::Attach(session(1)), Change::Receive(1, id(3), 33)];
        assert!(state.apply(&changes).is_err());
        let count: u64 = state
            .database
            .query_row("SELECT count(*) FROM sessions", (), |row| row.get(0))
            .unwrap();
        assert_eq!(count, 0);
    }
}
