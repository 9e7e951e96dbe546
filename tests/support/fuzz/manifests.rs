//! Any bytes as a file of manifests: always an answer, always the same, and nothing of a Secret in any of its words.

use config::manifest::parse;

use super::Target;

/// See the module.
pub const TARGET: Target = Target { name: "manifests", run, seeds, words: WORDS };

/// What a Secret holds here. Not to be found in what is said about it.
const WORD: &str = "hunter2";
/// A Secret that is wrong in every part; what stands before the first gap names it, and may be said.
const SECRET: [&str; 12] = [
    "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: s}\n",
    "immutable: hunter2\n",
    "data:\n",
    "  tls.crt: hunter2\n",
    "  tls.key: [hunter2]\n",
    "  hunter2: {a: hunter2}\n",
    "stringData:\n",
    "  tls.crt: |\n    -----BEGIN CERTIFICATE-----\n    hunter2\n",
    "  tls.key: \"hunter2\"\n",
    "  hunter2: &hunter2 2\n",
    "hunter2: hunter2\n",
    "hunter2",
];
/// What is put into the gaps. No letters: they would name something.
const NOISE: &[&str] = &[
    "", " ", "  ", "\n", "\n  ", "\t", ":", ": ", "-", "- ", "?", "? ", "{", "}", "[", "]", ",", "&", "*", "!", "!!", "|", ">", "'", "\"",
    "%", "@", "`", "#", " #", "~", "<<: ", "=", "\\", "0", "1e9", "0x1", ".", "\u{e9}", "\u{feff}", "\n...\n", "\n---\n",
];

fn run(bytes: &[u8]) {
    let manifest = parse(bytes);
    assert_eq!(manifest, parse(bytes), "one file, two answers");
    for problem in &manifest.problems {
        assert!(!problem.found.is_empty(), "a problem that says nothing: {problem:?}");
    }
    let text = noisy_secret(bytes);
    for problem in parse(text.as_bytes()).problems {
        assert!(!format!("{problem:?} {problem}").contains(WORD), "{problem}\nis said about\n{text}");
    }
}

/// The Secret with noise where the bytes say: each but the first is a gap and what is put there; the first says where it ends.
fn noisy_secret(bytes: &[u8]) -> String {
    let (&last, gaps) = bytes.split_first().unwrap_or((&0, &[]));
    let mut parts: Vec<String> = SECRET.iter().map(|&part| part.to_owned()).collect();
    for pair in gaps.chunks_exact(2).take(24) {
        let part = &mut parts[usize::from(pair[0]) % (SECRET.len() - 1) + 1];
        let at = usize::from(pair[0] >> 4) * part.len() / 16;
        // Between words, since half a word is no secret.
        let at = (at..=part.len()).find(|&at| part.is_char_boundary(at) && !within_word(part, at)).unwrap_or(part.len());
        part.insert_str(at, NOISE[usize::from(pair[1]) % NOISE.len()]);
    }
    let length = parts.len() - usize::from(last) % 4;
    parts[..length].concat()
}

fn within_word(text: &str, at: usize) -> bool {
    text.match_indices(WORD).any(|(start, word)| start < at && at < start + word.len())
}

fn seeds() -> Vec<Vec<u8>> {
    [
        include_str!("../../../examples/shop/00-classes.yaml"),
        include_str!("../../../examples/shop/data.yaml"),
        include_str!("../../../examples/shop/pods.yaml"),
        include_str!("../../../examples/shop/shop.yaml"),
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\
         {\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\"}}]}",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a-1, labels: {kubernetes.io/service-name: a}}\n\
         addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]\nports: [{port: 80}]\n",
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: a}\ndata: {tls.crt: eA==, tls.key: eA==}\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {tidegate.dev/exposure: internal}}\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

const WORDS: &[&[u8]] = &[
    b"\n---\n",
    b"apiVersion: v1\n",
    b"kind: ",
    b"kind: Secret\n",
    b"kind: List\n",
    b"items:\n- ",
    b"metadata: {name: a}\n",
    b"namespace: ",
    b"labels: {",
    b"tidegate.dev/exposure: ",
    b"spec:\n",
    b"  ports:\n",
    b"- ",
    b": ",
    b"\n  ",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!binary ",
    b"null",
    b"{}",
    b"[]",
    b"\"",
    b"65536",
    b"-1",
    b"1e999",
];
