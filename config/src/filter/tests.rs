//! What filters say of themselves.

use super::*;
use crate::annotations;

#[test]
fn each_filter_is_a_line_and_no_value_of_a_field_is_told() {
    let labels = [
        ("tidegate.dev/allow-source-range", "10.0.0.0/8"),
        ("tidegate.dev/auth-type", "basic"),
        ("tidegate.dev/auth-secret", "who"),
        ("tidegate.dev/request-headers-set", "X-Token: hidden"),
        ("tidegate.dev/read-timeout", "5s"),
        ("tidegate.dev/balance", "random"),
    ];
    let reading = annotations::read(&"a".into(), &labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect());
    let lines = reading.filters.describe();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("hidden")), "{lines:?}");
    assert!(Filters::default().describe().is_empty() && Filters::default().is_empty());
}
