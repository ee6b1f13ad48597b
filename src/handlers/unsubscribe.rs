//! UNSUBSCRIBE.

use crate::close_reason::CloseReason;
use crate::codec::{ReasonCode, UnsubAck, Unsubscribe, UserProperties};
use crate::connection::Connection;
use crate::state::Change;

impl Connection<'_> {
    /// Ends subscriptions, and answers for each filter, also where there was none [MQTT-3.10.4-5].
    pub(super) fn on_unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
    ) -> Result<(), CloseReason> {
        let mut reason_codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in unsubscribe.filters {
            // [MQTT-3.10.4-1] byte for byte the same filter.
            let was_there = self.session.remove_filter(filter.full);
            if was_there {
                self.broker
                    .subscriptions
                    .unsubscribe(&filter, self.session.number());
                if self.session.is_kept() {
                    let number = self.session.number().0;
                    self.changes
                        .push(Change::Unsubscribe(number, filter.full.into()));
                }
            }
            reason_codes.push(match was_there {
                true => ReasonCode::Success,
                false => ReasonCode::NoSubscriptionExisted,
            });
        }
        let answer = UnsubAck {
            packet_id: unsubscribe.packet_id,
            reason_codes: &reason_codes,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        let version = self.version();
        self.answer(|out| answer.encode(version, out))
    }
}
