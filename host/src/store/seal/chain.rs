//! What a seal covers, byte for byte. A seal that was made once must be found again for ever, so
//! nothing here changes; another form would get another beginning.

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::event::StreamId;

/// How everything begins that a seal of this form covers.
const FORM: &[u8] = b"eventfabric seal 1\0";

/// The bytes of a seal.
pub(super) type Bytes = [u8; 32];

/// A key, ready for use.
pub(super) struct Mac(Hmac<Sha256>);

/// The sealed event before: its version and its seal, zeros where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) version: i32,
    pub(super) seal: Bytes,
}

/// An event as it is stored: the payload in PostgreSQL's own spelling of its JSON.
pub(super) struct Content<'a> {
    pub(super) stream: &'a StreamId,
    pub(super) version: i32,
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) event_type: &'a str,
    pub(super) schema_version: i32,
    pub(super) payload: &'a str,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) correlation_id: Option<&'a str>,
    pub(super) causation_id: Option<&'a str>,
}

impl Mac {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// The seal of an event.
    pub(super) fn seal(&self, before: Link, event: &Content<'_>) -> Bytes {
        self.over(before, event).finalize().into_bytes().into()
    }

    /// Whether this is the event's seal, in constant time.
    pub(super) fn fits(&self, before: Link, event: &Content<'_>, seal: &[u8]) -> bool {
        self.over(before, event).verify_slice(seal).is_ok()
    }

    fn over(&self, before: Link, event: &Content<'_>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(FORM);
        mac.update(&before.version.to_be_bytes());
        mac.update(&before.seal);
        mac.update(&event.version.to_be_bytes());
        mac.update(&event.position.to_be_bytes());
        mac.update(event.event_id.as_bytes());
        mac.update(&event.schema_version.to_be_bytes());
        mac.update(&event.occurred_at.timestamp_micros().to_be_bytes());
        // Texts by their lengths, so that none can pass for a part of its neighbour.
        for text in [
            Some(event.stream.tenant.as_str()),
            Some(event.stream.aggregate.as_str()),
            Some(event.stream.id.as_str()),
            Some(event.event_type),
            Some(event.payload),
            event.correlation_id,
            event.causation_id,
        ] {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            mac.update(&length.to_be_bytes());
            mac.update(text.unwrap_or_default().as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content<'a>(stream: &'a StreamId) -> Content<'a> {
        Content {
            stream,
            version: 2,
            position: 7,
            event_id: Uuid::from_u128(1),
            event_type: "Opened",
            schema_version: 1,
            payload: "{\"n\": 1.00}",
            occurred_at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            correlation_id: None,
            causation_id: Some(""),
        }
    }

    #[test]
    fn the_form_is_the_one_that_old_seals_have() {
        let stream = StreamId::new("Account", "42");
        let seal = Mac::new(&[7; 32]).seal(Link::default(), &content(&stream));
        assert_eq!(
            hex::encode(seal),
            "5f1dd804aa2b716742ab562d97c073bb349ed3b2a309ffc1a7a888c75dde1673"
        );
    }

    #[test]
    fn every_part_counts() {
        let (mac, stream) = (Mac::new(&[7; 32]), StreamId::new("Account", "42"));
        let base = mac.seal(Link::default(), &content(&stream));
        let other = StreamId::new("Accoun", "t42");
        let time = DateTime::from_timestamp_micros(1_700_000_000_123_457).unwrap();
        let changed = [
            Content { version: 3, ..content(&stream) },
            Content { position: 8, ..content(&stream) },
            Content { event_id: Uuid::from_u128(2), ..content(&stream) },
            Content { event_type: "opened", ..content(&stream) },
            Content { schema_version: 2, ..content(&stream) },
            Content { payload: "{\"n\": 1.0}", ..content(&stream) },
            Content { occurred_at: time, ..content(&stream) },
            Content { correlation_id: Some(""), ..content(&stream) },
            Content { causation_id: None, ..content(&stream) },
            content(&other),
        ];
        for event in &changed {
            assert!(!mac.fits(Link::default(), event, &base));
        }
        assert!(mac.fits(Link::default(), &content(&stream), &base));
        assert!(!mac.fits(Link { version: 1, ..Link::default() }, &content(&stream), &base));
        assert!(!mac.fits(Link { version: 0, seal: [1; 32] }, &content(&stream), &base));
        assert!(!Mac::new(&[8; 32]).fits(Link::default(), &content(&stream), &base));
    }
}
