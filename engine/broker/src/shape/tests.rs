//! That requests as the codec writes them pass is tested with every API in `request`.

use super::*;

#[test]
fn a_count_without_its_elements_is_malformed() {
    // Metadata v0 of one topic, and of 2^31 - 1.
    assert_eq!(check(ApiKey::Metadata, 0, &[0, 0, 0, 1, 0, 1, b't']), Ok(()));
    assert_eq!(check(ApiKey::Metadata, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 1, b't']), Err(Malformed));
    // The same in the flexible layout, where the count is a varint plus one.
    assert_eq!(check(ApiKey::FindCoordinator, 4, &[0, 2, 2, b'g', 0]), Ok(()));
    let lie = [0, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, b'g', 0];
    assert_eq!(check(ApiKey::FindCoordinator, 4, &lie), Err(Malformed));
    // Integers, where no element is walked: partitions of an OffsetFetch.
    let body = |count: [u8; 4]| {
        let mut body = vec![0, 1, b'g', 0, 0, 0, 1, 0, 1, b't'];
        body.extend(count);
        body.extend([0, 0, 0, 5]);
        body
    };
    assert_eq!(check(ApiKey::OffsetFetch, 1, &body([0, 0, 0, 1])), Ok(()));
    assert_eq!(check(ApiKey::OffsetFetch, 1, &body([0x40, 0, 0, 0])), Err(Malformed));
}
