//! The few messages of TensorFlow's `event.proto` and `summary.proto` that curves need, in
//! protobuf's encoding, fields by their numbers as TensorBoard's own writer orders them.

use seedpipe_base::varint;

/// What TensorBoard expects in the first event of a file.
const FILE_VERSION: &str = "brain.Event:2";
const SESSION_START: u64 = 1;

/// Wire types.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// Fields of `Event`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const SESSION_LOG: u64 = 7;

/// The first event of a file.
///
/// - `wall_time`: seconds since 1970, of every event
pub fn version(wall_time: f64) -> Vec<u8> {
    let mut event = begin(wall_time, 0);
    bytes(&mut event, VERSION, FILE_VERSION.as_bytes());
    event
}

/// Whoever has read events of this step or later is to forget them.
pub fn restart(wall_time: f64, step: u64) -> Vec<u8> {
    let mut event = begin(wall_time, step);
    let mut log = Vec::new();
    number(&mut log, 1, SESSION_START);
    bytes(&mut event, SESSION_LOG, &log);
    event
}

/// - `scalars`: tag and value
pub fn scalars(wall_time: f64, step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut message = Vec::new();
        bytes(&mut message, 1, tag.as_bytes());
        key(&mut message, 2, FOUR_BYTES);
        message.extend((*value as f32).to_le_bytes());
        bytes(&mut summary, 1, &message);
    }
    let mut event = begin(wall_time, step);
    bytes(&mut event, SUMMARY, &summary);
    event
}

fn begin(wall_time: f64, step: u64) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, WALL_TIME, EIGHT_BYTES);
    event.extend(wall_time.to_le_bytes());
    if step > 0 {
        number(&mut event, STEP, step);
    }
    event
}

fn key(message: &mut Vec<u8>, field: u64, wire: u64) {
    varint::push(message, field << 3 | wire);
}

fn number(message: &mut Vec<u8>, field: u64, value: u64) {
    key(message, field, VARINT);
    varint::push(message, value);
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(message, field, LENGTH);
    varint::push(message, value.len() as u64);
    message.extend(value);
}

/// What of a stored event decides whether it stays.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredEvent {
    pub step: u64,
    /// Whether it holds anything beside the file's version.
    pub has_content: bool,
}

/// None when the bytes are no event.
pub fn read(mut event: &[u8]) -> Option<StoredEvent> {
    let mut stored = StoredEvent {
        step: 0,
        has_content: false,
    };
    while !event.is_empty() {
        let key = varint::take(&mut event)?;
        let skipped = match key & 7 {
            VARINT => {
                let value = varint::take(&mut event)?;
                if key >> 3 == STEP {
                    stored.step = value;
                }
                0
            }
            EIGHT_BYTES => 8,
            LENGTH => usize::try_from(varint::take(&mut event)?).ok()?,
            FOUR_BYTES => 4,
            _ => return None,
        };
        event = event.get(skipped..)?;
        stored.has_content |= ![WALL_TIME, STEP, VERSION].contains(&(key >> 3));
    }
    Some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::tensorboard::record;

    /// Written by TensorBoard's own `RecordWriter` and messages:
    /// tests/reference/tensorboard_events.py.
    const GOLDEN: &[u8] = include_bytes!("../../../../tests/fixtures/events.tfevents");

    #[test]
    fn a_file_is_to_the_byte_what_tensorboard_itself_writes() {
        let mut file = Vec::new();
        record::push(&mut file, &version(1_700_000_000.25));
        record::push(&mut file, &restart(1_700_000_000.5, 129));
        let values = [
            ("train/loss".to_owned(), 2.345_678_901_234),
            ("train/learning_rate".to_owned(), 0.03),
            ("step/images_per_second".to_owned(), 1234.5),
        ];
        record::push(&mut file, &scalars(1_700_000_001.0, 129, &values));
        record::push(&mut file, &scalars(1_700_000_002.0, 0, &values[..1]));
        record::push(
            &mut file,
            &scalars(1_700_000_003.0, 300_000_000_000, &values[1..2]),
        );
        assert_eq!(file, GOLDEN);
    }

    #[test]
    fn the_step_of_an_event_is_read_back() {
        for step in [0, 1, 127, 128, 300_000_000_000] {
            let event = scalars(1.5, step, &[("a".to_owned(), 1.0)]);
            let has_content = true;
            assert_eq!(read(&event), Some(StoredEvent { step, has_content }));
        }
        let has_content = false;
        assert_eq!(
            read(&version(1.5)),
            Some(StoredEvent {
                step: 0,
                has_content
            })
        );
        assert_eq!(read(&[0x0a, 0xff]), None);
    }
}
