//! The ServiceAccount of the pods. It may do nothing and its token is mounted nowhere; a cloud's
//! pod identity attaches to it.

use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, child_name, object};

pub(super) fn build(mirror: &ValidatedMirror) -> Value {
    object(
        mirror,
        Kind::ServiceAccount,
        &child_name(mirror),
        json!({ "automountServiceAccountToken": false }),
    )
}
