//! The form of a registration.

use crate::harness::{Chat, FORM, form};

#[tokio::test]
async fn a_bad_registration_gets_its_sentence() {
    let chat = Chat::start().await;
    chat.register("taken", "password").await;
    let required = "username and password are required";
    let long = "password too long (max 1024 bytes)";
    let kilobyte = "p".repeat(1024);
    let byte_more = "p".repeat(1025);
    for (fields, sentence) in [
        (vec![("username", "taken"), ("password", "p")], "username already exists"),
        (vec![("username", "  taken "), ("password", "p")], "username already exists"),
        (vec![], required),
        (vec![("username", "bob")], required),
        (vec![("password", "p")], required),
        (vec![("username", " \t"), ("password", "p")], required),
        (vec![("username", "bob"), ("password", "")], required),
        (vec![("username", &"ж".repeat(25)), ("password", "p")], "username too long (max 24)"),
        (vec![("username", &kilobyte), ("password", "p")], "username too long (max 24)"),
        (vec![("username", &kilobyte.repeat(2)), ("password", "p")], "username too long (max 24)"),
        (
            vec![("username", "b\u{200b}ob"), ("password", "p")],
            "username must not contain control or invisible characters",
        ),
        (vec![("username", "bob"), ("password", &byte_more)], long),
        (vec![("password", &kilobyte.repeat(30)), ("username", "bob")], long),
        (
            vec![("username", "bob"), ("username", "eve"), ("password", "p")],
            "the form has the field username twice",
        ),
        (
            vec![("username", "bob"), ("password", "p"), ("password", "q")],
            "the form has the field password twice",
        ),
        (vec![("x", "y"); 40], "the form has too many fields"),
    ] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, None, value.as_bytes())).collect();
        let reply = chat.register_form(&fields).await;
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{fields:?}");
    }
    let reply = chat.register_form(&[("username", None, b"b\xffb"), ("password", None, b"p")]).await;
    assert_eq!(reply.refusal(), (400, "the field username is not UTF-8 text".to_owned()));
    assert_eq!(chat.login("bob", "p").await.status, 401);
}

#[tokio::test]
async fn fields_come_in_any_order_and_unknown_fields_are_ignored() {
    let chat = Chat::start().await;
    let fields = [
        ("theme", None, &b"dark"[..]),
        ("password", None, b" p "),
        ("notes", Some("a.txt"), b"--Y\r\n\r\n"),
        ("username", None, b"\xd0\x90"),
    ];
    assert_eq!(chat.register_form(&fields).await.status, 200);
    assert_eq!(chat.login("А", "p").await.status, 401, "a password is verbatim");
    assert_eq!(chat.login("А", " p ").await.status, 200);
}

#[tokio::test]
async fn only_a_form_can_register() {
    let chat = Chat::start().await;
    let good = form(&[("username", None, b"bob"), ("password", None, b"p")]);
    let long = format!("multipart/form-data; boundary={}", "X".repeat(71));
    for content_type in [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=X",
        "",
        &long,
    ] {
        let reply = chat.call("POST", "/api/register", &[("Content-Type", content_type)], &good).await;
        let sentence = "the form must be sent as multipart/form-data";
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{content_type}");
    }
    assert_eq!(chat.call("POST", "/api/register", &[], &good).await.status, 400);
    for damaged in [&b""[..], b"--X", b"--X\r\nnonsense\r\n\r\n", &good[..good.len() - 10], b"{}"] {
        let reply = chat.call("POST", "/api/register", &[("Content-Type", FORM)], damaged).await;
        assert_eq!(reply.refusal(), (400, "the form is damaged".to_owned()), "{damaged:?}");
    }
}

#[tokio::test]
async fn the_headers_of_a_field_are_limited() {
    let chat = Chat::start().await;
    let mut body = b"--X\r\nContent-Disposition: form-data; name=\"username\"; x=\"".to_vec();
    body.resize(1 << 20, b'x');
    let reply = chat.call("POST", "/api/register", &[("Content-Type", FORM)], &body).await;
    assert_eq!(reply.status, 413, "{reply:?}");
}

#[tokio::test]
async fn an_avatar_that_is_a_text_and_no_file_is_ignored() {
    let chat = Chat::start().await;
    for (name, text) in [("alice", &b"undefined"[..]), ("bob", b""), ("carol", b"\x89PNG\r\n\x1a\n")] {
        let fields =
            [("username", None, name.as_bytes()), ("avatar", None, text), ("password", None, b"password")];
        assert_eq!(chat.register_form(&fields).await.status, 200, "{name}");
        assert_eq!(chat.avatar_address(name).await, "");
    }
    assert!(chat.files().is_empty());
}
