//! What a real server answered, and that the lab's answers the same.
//!
//! Each line of a file in `recorded/` is a request and its answer, in the order in which they were made of the API
//! extension server of Kubernetes 1.36.4, which serves custom resources in every API server. What differs from run to
//! run (uids, versions, times) was left out.

use http::{Request, header};
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::server::Server;

#[tokio::test]
async fn the_fields_of_an_eip_are_refused_in_the_same_words() {
    replay(include_str!("recorded/eip-fields.jsonl")).await;
}

#[tokio::test]
async fn an_eip_lives_through_writes_of_every_kind_in_the_same_way() {
    replay(include_str!("recorded/eip-life.jsonl")).await;
}

async fn replay(recording: &str) {
    let server = Server::with_eips().await;
    let mut version = "0".to_owned();
    let mut differences = Vec::new();
    for (number, line) in recording.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        let (code, mut body) = answer(&server, &line["request"], &version).await;
        if let Some(newer) = body["metadata"]["resourceVersion"].as_str() {
            newer.clone_into(&mut version);
        }
        clean(&mut body);
        let mut found = json!({ "code": code, "body": body });
        let mut expected = line["answer"].clone();
        for answer in [&mut found, &mut expected] {
            sort_managers(&mut answer["body"]);
            tell_once(&mut answer["body"]);
        }
        let mut here = Vec::new();
        if expected["code"] == found["code"] {
            compare(&expected["body"], &found["body"], "", &mut here);
        } else {
            // Two answers of different kinds differ everywhere.
            compare(&expected["code"], &found["code"], "code", &mut here);
            compare(&expected["body"]["message"], &found["body"]["message"], "message", &mut here);
        }
        if !here.is_empty() {
            differences.push(format!("{}. {}\n{}", number + 1, line["request"], here.join("\n")));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

async fn answer(server: &Server, request: &Value, version: &str) -> (u16, Value) {
    let text = |field: &str| request[field].as_str();
    let kind = text("type").unwrap_or("application/json");
    let accept = text("accept").unwrap_or("application/json");
    let mut asked = Request::builder()
        .method(text("method").expect("a method"))
        .uri(text("path").expect("a path"))
        .header(header::ACCEPT, accept)
        .header(header::USER_AGENT, "recorded/1");
    let body = request
        .get("body")
        .map(|body| body.to_string().replace("{{resourceVersion}}", version).into_bytes());
    if body.is_some() {
        asked = asked.header(header::CONTENT_TYPE, kind);
    }
    let asked = asked.body(Body::from(body.unwrap_or_default())).expect("a request");
    let answer = server.client().send(asked).await.expect("the server answers");
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.expect("it ends");
    (code, serde_json::from_slice(&body).expect("it answers with JSON"))
}

/// Takes out what differs from run to run.
fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["uid", "resourceVersion", "creationTimestamp", "time"] {
                fields.remove(name);
            }
            for (name, value) in fields {
                match name.as_str() {
                    "deletionTimestamp" => *value = json!("once"),
                    _ => clean(value),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_uids(text: &str) -> String {
    let is_uid = |part: &&str| part.len() == 36 && uuid::Uuid::parse_str(part).is_ok();
    let split = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '-');
    text.split(split).filter(|part| !is_uid(part)).collect::<Vec<_>>().join(" ")
}

/// A real server tells some causes twice.
fn tell_once(body: &mut Value) {
    if let Some(causes) = body["details"].get_mut("causes").and_then(Value::as_array_mut) {
        causes.dedup();
    }
}

/// Managers stand in the order of their times, in seconds: whether two writes fell into one is left to chance.
fn sort_managers(body: &mut Value) {
    if let Some(managers) = body["metadata"].get_mut("managedFields").and_then(Value::as_array_mut)
    {
        managers.sort_by_key(Value::to_string);
    }
    if let Some(items) = body.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(sort_managers);
    }
}

fn compare(expected: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    let none = Map::new();
    match (expected, found) {
        (Value::Object(wanted), Value::Object(got)) => {
            for name in wanted.keys().chain(got.keys().filter(|name| !wanted.contains_key(*name))) {
                let [wanted, got] = [wanted, got].map(|of| of.get(name).unwrap_or(&Value::Null));
                compare(wanted, got, &format!("{path}.{name}"), differences);
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                compare(wanted, got, &format!("{path}[{index}]"), differences);
            }
        }
        // What is empty and what is not there is the same to every client.
        (Value::Object(empty), Value::Null) | (Value::Null, Value::Object(empty))
            if *empty == none => {}
        (Value::String(empty), Value::Null) if empty.is_empty() => {}
        (Value::String(wanted), Value::String(got))
            if without_uids(wanted) == without_uids(got) => {}
        (wanted, got) if wanted == got => {}
        (wanted, got) => {
            differences.push(format!("    {path}\n      real: {wanted}\n      lab:  {got}"))
        }
    }
}
