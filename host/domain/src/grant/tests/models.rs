//! Models: by name, and those that a component brings.

use super::{check, grants};
use crate::limits::NAME_BYTES;

/// The name is the guest's: where configuration cannot have it bare it is quoted, and where it cannot have it at all that
/// is said.
#[test]
fn a_model_is_used_only_where_that_is_granted() {
    let none = grants("");
    check(
        none.model("anomaly"),
        "component `alarm` may not use the model `anomaly`; these lines would permit it:\n\
         [component.alarm.grant.model]\nanomaly = \"anomaly\"",
    );
    check(
        none.model("Net \"2\""),
        "component `alarm` may not use the model `Net \\\"2\\\"`; these lines would permit it:\n\
         [component.alarm.grant.model]\n\"Net \\\"2\\\"\" = \"model\"  # an example: put your own here",
    );
    check(
        none.model(&"x".repeat(NAME_BYTES + 1)),
        &format!(
            "component `alarm` may not use the model `{}`: no configuration can name that, choose another name for it",
            "x".repeat(NAME_BYTES + 1)
        ),
    );
    check(
        none.model_load(),
        "component `alarm` may not bring a model itself; these lines would permit it:\n\
         [component.alarm.grant.model-load]\nbytes = \"4MiB\"",
    );
    assert!(grants(none.model_load().unwrap_err().cure().unwrap()).model_load().is_ok());
}
