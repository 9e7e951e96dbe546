//! ConfigMaps: what of them is kept, what refuses one, and that nothing large is kept of any.

use super::*;
use crate::object::ConfigMap;

fn map(parts: &str) -> Manifest {
    parse(format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: a, labels: {{app: x}}}}\n{parts}").as_bytes())
}

fn good(parts: &str) -> ConfigMap {
    let manifest = map(parts);
    assert!(manifest.problems.is_empty() && manifest.skipped.is_empty(), "{parts}: {:?}", said(&manifest));
    let Some(Object::ConfigMap(read)) = manifest.objects.into_iter().next() else { panic!("{parts}: none") };
    read
}

/// `NAME: VALUE` of each field, or why there is none.
fn fields(parts: &str) -> Result<Vec<String>, String> {
    let lines = |lines: Box<[crate::filter::Line]>| lines.iter().map(|line| format!("{}: {}", line.name, line.value)).collect();
    good(parts).fields.map(lines).map_err(|wrong| wrong.join("; "))
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()
}

#[test]
fn its_data_are_fields_when_all_of_it_can_be_that() {
    let two = fields("data: {X-Frame-Options: DENY, X-Csp: \"default-src 'self'\\n\"}").unwrap();
    assert_eq!(two, ["X-Csp: default-src 'self'", "X-Frame-Options: DENY"], "in the order of the API, the end of a block cut off");
    assert_eq!(fields("data: {X-Gone: ''}").unwrap(), ["X-Gone: "]);
    assert_eq!(fields("immutable: true").unwrap(), [""; 0]);
    assert_eq!(fields("binaryData: {X-A: AA==}").unwrap(), [""; 0], "bytes are no field");
    for (parts, why) in [
        ("data: {nginx.conf: \"a\\nb\"}", "its key `nginx.conf`: it holds a line break"),
        ("data: {X-A: \"a\\rSet-Cookie: b\"}", "line break"),
        ("data: {Content-Length: '5'}", "`Content-Length` frames a message"),
        ("data: {connection: close}", "`connection` frames a message or belongs to a connection"),
        ("data: {'X A': b}", "no name of a field"),
        ("data: {X-A: b, x-a: c}", "it is there twice"),
        (&*format!("data: {{'{} ': a}}", "k".repeat(1_000)), "it is longer than 253 bytes"),
        ("data: {ok: a, Host: a, Te: b}", "its key `Host`: `Host` frames a message or belongs to a connection; its key `Te`"),
    ] {
        let wrong = fields(parts).unwrap_err();
        assert!(wrong.contains(why), "{parts}: {wrong}");
    }
}

#[test]
fn what_is_kept_of_it_is_bounded_and_its_other_labels_are_not() {
    let wide =
        |keys: usize, text: &str| format!("data: {{{}}}", (0..keys).map(|n| format!("k{n}: '{text}'")).collect::<Vec<_>>().join(", "));
    assert_eq!(good(&wide(100, &"x".repeat(150))).fields.unwrap().len(), 100);
    let large = good(&wide(100, &"x".repeat(9_000)));
    assert!(large.meta.labels.is_empty());
    let kept = serde_json::to_string(&large).unwrap();
    assert!(kept.len() < 2_000 && kept.contains("more than 16384 bytes"), "{kept}");
    let named = good(&format!("data: {{'{} ': a}}", "k".repeat(1_000)));
    assert!(serde_json::to_string(&named).unwrap().len() < 1_000);
    let beyond = map(&wide(20, &"x".repeat(60_000)));
    assert_eq!((beyond.refused.len(), beyond.objects.len()), (1, 0), "more than the API takes");
}

#[test]
fn its_authorities_are_read_from_either_place_and_can_be_saved() {
    let pem = authority();
    let plain = format!("data: {{ca.crt: {}}}", serde_json::Value::from(pem.as_str()));
    let encoded = serde_json::to_value(k8s_openapi::ByteString(pem.clone().into_bytes())).unwrap();
    for parts in [plain.clone(), format!("binaryData: {{ca.crt: {encoded}}}")] {
        let read = good(&parts);
        assert_eq!(read.ca.as_ref().map(|ca| ca.roots().len()), Some(1));
        let object = Object::ConfigMap(read);
        assert!(object.kind().may_be_saved());
        let saved = serde_json::to_string(&object).unwrap();
        assert_eq!(serde_json::from_str::<Object>(&saved).unwrap(), object);
    }
    assert!(good("data: {ca.crt: ' '}").ca.is_none());
    let both = map(&format!("{plain}\nbinaryData: {{ca.crt: {encoded}}}"));
    for (manifest, field) in [
        (map("data: {ca.crt: none}"), "data[\"ca.crt\"]"),
        (map("binaryData: {ca.crt: bm9uZQ==}"), "binaryData[\"ca.crt\"]"),
        (map("binaryData: {ca.crt: '***'}"), "binaryData.ca.crt"),
        (map("data: {n: 5}"), "data.n"),
        (both, "binaryData[\"ca.crt\"]"),
    ] {
        assert_eq!(manifest.refused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ConfigMap a/m"], "{field}");
        assert_eq!(manifest.problems[0].place.field.as_deref(), Some(field), "{:?}", said(&manifest));
    }
}

#[test]
fn a_label_that_is_meant_to_seal_it_stays_and_a_misspelt_kind_is_told() {
    let sealed =
        parse(b"{apiVersion: v1, kind: ConfigMap, metadata: {name: m, labels: {tidegate.dev/exposure: internal}}, data: {X-A: b}}");
    assert_eq!(sealed.objects[0].meta().labels.len(), 1);
    for kind in ["configmap", "ConfigMaps"] {
        let wrong = parse(format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: m}}}}").as_bytes());
        assert_eq!((wrong.refused.len(), wrong.skipped.len()), (1, 0), "{kind}");
        assert!(wrong.problems[0].to_string().contains("write `kind: ConfigMap`"), "{:?}", said(&wrong));
    }
    let odd = parse(b"{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, labels: {tidegate.dev/exposure: internal}}");
    assert!(odd.objects[0].meta().unclear, "{:?}", said(&odd));
}
