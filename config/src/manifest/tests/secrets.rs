//! Secrets: which are read, what refuses one, and that nothing of any is said.

use super::*;

const TLS_SECRET: &str = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: s}\n";

/// A pair as PEM.
fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn a_secret_of_the_tls_type_is_read_and_others_are_counted() {
    let (chain, key) = pair();
    let plain = format!("{TLS_SECRET}stringData: {{tls.crt: {}, tls.key: {}, more: x}}\n", quoted(&chain), quoted(&key));
    let manifest = parse(plain.as_bytes());
    assert!(manifest.problems.is_empty() && manifest.skipped.is_empty(), "{:?}", said(&manifest));
    let Object::Secret(secret) = &manifest.objects[0] else { panic!("{manifest:?}") };
    assert!(secret.certificate.as_ref().is_some_and(|pair| pair.names("a.example")) && secret.ca.is_none());
    assert_eq!(manifest.objects[0].key().to_string(), "Secret default/s");
    assert!(serde_json::to_string(&manifest.objects).is_err(), "it cannot be written anywhere");
    for opaque in [plain.replace("kubernetes.io/tls", "Opaque"), plain.replace("type: kubernetes.io/tls\n", "")] {
        let manifest = parse(opaque.as_bytes());
        assert_eq!((manifest.objects.len(), manifest.skipped["v1/Secret"]), (0, 1), "{:?}", said(&manifest));
    }
}

#[test]
fn the_authorities_of_any_secret_are_read_and_nothing_else_of_it() {
    let (chain, key) = pair();
    let parts = format!("{{tls.crt: {}, tls.key: {}, ca.crt: {}, password: x}}", quoted(&chain), quoted(&key), quoted(&chain));
    for (kind, with_pair) in [("kubernetes.io/tls", true), ("Opaque", false), ("example.org/any", false)] {
        let text = format!("{}stringData: {parts}\n", TLS_SECRET.replace("kubernetes.io/tls", kind));
        let manifest = parse(text.as_bytes());
        assert!(manifest.problems.is_empty() && manifest.skipped.is_empty(), "{:?}", said(&manifest));
        let Object::Secret(secret) = &manifest.objects[0] else { panic!("{manifest:?}") };
        assert_eq!((secret.certificate.is_some(), secret.ca.is_some()), (with_pair, true), "{kind}");
    }
    let empty = format!("{TLS_SECRET}stringData: {}\n", parts.replace(&format!("ca.crt: {}", quoted(&chain)), "ca.crt: ''"));
    let manifest = parse(empty.as_bytes());
    assert!(manifest.problems.is_empty(), "an issuer that has no authority leaves it empty: {:?}", said(&manifest));
    let broken = parse(format!("{}data: {{ca.crt: bm9uZQ==}}\n", TLS_SECRET.replace("kubernetes.io/tls", "Opaque")).as_bytes());
    assert_eq!(broken.problems[0].place.field.as_deref(), Some("data[\"ca.crt\"]"), "{:?}", said(&broken));
    assert_eq!(broken.refused.len(), 1);
}

#[test]
fn a_secret_that_cannot_serve_is_refused_by_its_field() {
    let (chain, key) = pair();
    let (_, another) = pair();
    let text = |chain: &str, key: &str| format!("{TLS_SECRET}stringData: {{tls.crt: {}, tls.key: {}}}\n", quoted(chain), quoted(key));
    for (text, field) in [
        (
            format!("{TLS_SECRET}data: {{}}\n").replace("data: {}", &format!("stringData: {{tls.crt: {}}}", quoted(&chain))),
            "data[\"tls.key\"]",
        ),
        (text(&chain, &another), "stringData[\"tls.key\"]"),
        (text("none", &key), "stringData[\"tls.crt\"]"),
        (format!("{TLS_SECRET}data: {{tls.crt: '***', tls.key: ''}}\n"), "data.tls.crt"),
        (format!("{TLS_SECRET}data: nonsense\n"), "data"),
    ] {
        let manifest = parse(text.as_bytes());
        assert_eq!(manifest.refused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Secret default/s"], "{field}");
        let problem = &manifest.problems[0];
        assert_eq!(problem.place.field.as_deref(), Some(field), "{problem}");
        assert!(problem.expected.is_some(), "{problem}");
    }
}

#[test]
fn nothing_of_a_secret_is_said() {
    const WORD: &str = "hunter2";
    let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n  password: {WORD}\n");
    let whole = parse(secret.as_bytes());
    assert!(whole.problems.is_empty() && whole.skipped["v1/Secret"] == 1);
    for broken in [
        format!("{secret}  {WORD}\n"),
        format!("{secret} {WORD}: a\n"),
        format!("{secret}{WORD}: *{WORD}\n"),
        format!("{secret}  ? {{a: {WORD}}}\n  : 1\n"),
        format!("{secret}  x: \"{WORD}\n"),
        format!("{secret}  x: !<{WORD}\n"),
        format!("{{\"kind\": \"Secret\", \"stringData\": {{\"a\": \"{WORD}\" {WORD}}}}}"),
        format!("{{\"kind\": \"Secret\", \"stringData\": {{\"a\": \"{WORD}\", {WORD}: 1, \"{WORD}\"}}}}"),
        format!("{secret}  {WORD}: a\n  {WORD}: b\n"),
        format!("kind: Secret\nmetadata: {WORD}\nstringData: {WORD}\n"),
        format!("apiVersion: v1\nkind: SecretList\nitems: [{WORD}, {{kind: Secret, data: {WORD}}}]\n"),
        format!("{TLS_SECRET}data: {WORD}\n"),
        format!("{TLS_SECRET}data: {{tls.key: {WORD}, {WORD}: 1, tls.crt: [{WORD}]}}\n"),
        format!("{TLS_SECRET}data: {{tls.key: aHVudGVyMg==, tls.crt: aHVudGVyMg==}}\n"),
        format!("{TLS_SECRET}stringData: {{tls.key: {WORD}, tls.crt: {WORD}}}\n"),
        format!("{TLS_SECRET}stringData: {{tls.key: 7, {WORD}: {{{WORD}: {WORD}}}}}\n"),
        format!("{}stringData: {{ca.crt: {WORD}, {WORD}: 1}}\n", TLS_SECRET.replace("kubernetes.io/tls", "Opaque")),
        format!("{TLS_SECRET}stringData:\n  {WORD}: a\n  {WORD}: b\n"),
        format!("{TLS_SECRET}{WORD}: {WORD}\n{WORD}s: {{tidegate.dev/exposure: {WORD}}}\n"),
    ] {
        let manifest = parse(broken.as_bytes());
        assert!(!format!("{manifest:?}").contains(WORD), "{broken}\n{:?}", said(&manifest));
    }
}

#[test]
fn passwords_are_read_of_any_type_and_never_shown() {
    let manifest =
        parse(b"apiVersion: v1\nkind: Secret\nmetadata: {name: who}\nstringData: {auth: 'bert:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='}\n");
    let Object::Secret(secret) = &manifest.objects[0] else { panic!("{manifest:?}") };
    assert!(secret.certificate.is_none() && secret.auth.as_ref().is_some_and(|who| who.admit(b"bert", b"password")));
    assert!(!format!("{manifest:?}").contains("W6ph"));
    let encoded = parse(b"apiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata: {name: who}\ndata: {auth: YTpi, other: eA==}\n");
    let Object::Secret(secret) = &encoded.objects[0] else { panic!("{encoded:?}") };
    assert!(encoded.problems.is_empty() && secret.auth.as_ref().is_some_and(|who| who.is_empty() && who.unusable().len() == 1));
    let wrong = parse(b"apiVersion: v1\nkind: Secret\nmetadata: {name: who}\ndata: {auth: 'not base64: secret'}\n");
    assert!(wrong.objects.is_empty() && !format!("{:?}", wrong.problems).contains("not base64"), "{:?}", wrong.problems);
}
