//! Users whom an OpenID provider signs in. The checks of its tokens are tested in chat-auth.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_auth::{OidcAnswer, OidcAnswering, OidcOptions, OidcProvider, OidcRequest};
use chat_core::Username;
use chat_http::{HttpOptions, OidcSignIn, PublicUrl};
use chat_store::{AdministrationRepository as _, NewBan, SessionRepository as _, UserRepository as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{Chat, Reply, Store, now};
use crate::wire::Wire;

const ISSUER: &str = "https://id.example";
const KEY: &str = include_str!("../../../chat-auth/tests/keys/ed25519.pem");
const KEYS: &str = include_str!("../../../chat-auth/tests/keys/provider.json");

/// The user who is signed in at the provider.
#[derive(Clone, Default)]
struct Fake {
    is_away: bool,
    /// It takes codes, and the answers are lost.
    loses_answers: bool,
    subject: String,
    name: String,
    /// That of the sign-in that began last. A code with a dot brings another one behind it.
    nonce: String,
    /// Codes that were exchanged.
    used: Vec<String>,
}

impl Fake {
    fn answer(&mut self, request: &OidcRequest) -> Result<OidcAnswer, &'static str> {
        if self.is_away {
            return Err("no route");
        }
        let answer = |status, body: Value| Ok(OidcAnswer { status, body: body.to_string() });
        match request.url.strip_prefix(ISSUER).unwrap() {
            "/.well-known/openid-configuration" => answer(
                200,
                json!({
                    "issuer": ISSUER,
                    "authorization_endpoint": format!("{ISSUER}/auth"),
                    "token_endpoint": format!("{ISSUER}/token"),
                    "jwks_uri": format!("{ISSUER}/jwks"),
                    "end_session_endpoint": format!("{ISSUER}/end"),
                }),
            ),
            "/jwks" => Ok(OidcAnswer { status: 200, body: KEYS.to_owned() }),
            _ => {
                let form = request.form.clone().unwrap();
                let code = form.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap().to_owned();
                if self.used.contains(&code) {
                    return answer(400, json!({ "error": "invalid_grant" }));
                }
                self.used.push(code.clone());
                if self.loses_answers {
                    return Err("connection reset");
                }
                let nonce = code.split_once('.').map_or(self.nonce.as_str(), |(_, nonce)| nonce);
                let claims = json!({
                    "iss": ISSUER, "aud": "chat", "sub": self.subject, "nonce": nonce,
                    "preferred_username": self.name, "iat": now(), "exp": now() + 60,
                });
                let key = EncodingKey::from_ed_pem(KEY.as_bytes()).unwrap();
                let header = Header { kid: Some("ed".to_owned()), ..Header::new(Algorithm::EdDSA) };
                answer(200, json!({ "id_token": jsonwebtoken::encode(&header, &claims, &key).unwrap() }))
            }
        }
    }
}

/// A chat with its provider.
struct World {
    chat: Chat,
    fake: Arc<Mutex<Fake>>,
}

/// A sign-in that has begun: the state, and the value of `Cookie`.
struct Begun {
    state: String,
    cookie: String,
}

impl World {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut HttpOptions)) -> Self {
        Self::on(&Arc::default(), Arc::default(), change).await
    }

    /// Another server of the same chat.
    async fn beside(&self) -> Self {
        Self::on(&self.chat.store, self.fake.clone(), |_| {}).await
    }

    async fn on(store: &Arc<Store>, fake: Arc<Mutex<Fake>>, change: impl FnOnce(&mut HttpOptions)) -> Self {
        let options = OidcOptions {
            issuer: ISSUER.to_owned(),
            client_id: "chat".to_owned(),
            client_secret: Some("secret".to_owned()),
            scopes: "openid".to_owned(),
            name_claim: "preferred_username".to_owned(),
        };
        let answering = Arc::clone(&fake);
        let send = move |request: OidcRequest| -> OidcAnswering {
            let answer = answering.lock().unwrap().answer(&request);
            let is_answered = request.form.is_none_or(|form| !form.contains("code=never"));
            Box::pin(async move {
                if !is_answered {
                    std::future::pending::<()>().await;
                }
                answer.map_err(Into::into)
            })
        };
        let oidc = OidcSignIn::new("Work", OidcProvider::new(options, send));
        let chat = Chat::of_provider(store, oidc, |options| {
            options.public_url = Some(PublicUrl::parse("https://chat.example").unwrap());
            change(options);
        });
        Self { chat: chat.await, fake }
    }

    fn user(&self, subject: &str, name: &str) {
        let mut fake = self.fake.lock().unwrap();
        (fake.subject, fake.name) = (subject.to_owned(), name.to_owned());
    }

    /// A browser is sent to the provider, where the user signs in.
    async fn begin(&self, to: &str) -> Begun {
        let reply = self.chat.get(&format!("/api/oidc/start?to={to}"), "").await;
        let location = target(&reply);
        assert!(
            location.starts_with("https://id.example/auth?response_type=code&client_id=chat&"),
            "{location}"
        );
        assert!(location.contains("&redirect_uri=https%3A%2F%2Fchat.example%2Fapi%2Foidc%2Fcallback&"));
        let parameter = |name: &str| {
            location
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .unwrap()
                .to_owned()
        };
        self.fake.lock().unwrap().nonce = parameter("nonce");
        let set = reply.header("set-cookie").unwrap();
        assert!(
            set.ends_with("; Path=/api/oidc/callback; Max-Age=600; HttpOnly; SameSite=Lax; Secure"),
            "{set}"
        );
        Begun { state: parameter("state"), cookie: set.split(';').next().unwrap().to_owned() }
    }

    /// The browser comes back.
    async fn come_back(&self, query: &str, cookie: &str) -> Reply {
        let headers = [("Cookie", cookie), ("User-Agent", "a browser")];
        self.chat.call("GET", &format!("/api/oidc/callback?{query}"), &headers, b"").await
    }

    /// Signs a user in by the provider. Returns the value of `Cookie`.
    async fn sign_in(&self, subject: &str, name: &str) -> String {
        self.user(subject, name);
        let begun = self.begin("%2F").await;
        let code = format!("{subject}-{}", begun.state);
        let reply = self.come_back(&format!("code={code}&state={}", begun.state), &begun.cookie).await;
        assert_eq!(target(&reply), "/");
        cookie(&reply, "auth").unwrap()
    }

    /// The number of codes that the provider has taken.
    fn codes(&self) -> usize {
        self.fake.lock().unwrap().used.len()
    }

    /// The number of accounts.
    async fn accounts(&self) -> u64 {
        self.chat.store.memory.count_users().await.unwrap()
    }

    async fn name(&self, cookie: &str) -> String {
        let me = self.chat.get("/api/me", cookie).await;
        assert_eq!(me.status, 200, "{me:?}");
        me.json()["username"].as_str().unwrap().to_owned()
    }
}

/// Where an answer sends the browser.
fn target(reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.header("location").unwrap().to_owned()
}

fn set_cookies(reply: &Reply) -> Vec<&str> {
    let headers = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    headers.map(|(_, value)| value.as_str()).collect()
}

/// The value of `Cookie` for a cookie that an answer sets.
fn cookie(reply: &Reply, name: &str) -> Option<String> {
    let start = format!("{name}=");
    let set = set_cookies(reply).into_iter().find(|set| set.starts_with(&start))?;
    set.split(';').next().filter(|pair| pair.len() > start.len()).map(str::to_owned)
}

#[tokio::test]
async fn a_user_comes_back_signed_in_to_where_they_were() {
    let world = World::start().await;
    let info = world.chat.get("/api/server", "").await.json();
    assert_eq!((&info["sign_in_with"], &info["passwords"]), (&json!("Work"), &json!(true)));
    world.user("1", "Алиса");
    let begun = world.begin("%2Fjoin%2Fabc%3Fa%3Db%23c").await;
    let query = format!("code=one&state={}&iss=https%3A%2F%2Fid.example", begun.state);
    let reply = world.come_back(&query, &begun.cookie).await;
    assert_eq!(target(&reply), "/join/abc?a=b#c");
    assert_eq!(cookie(&reply, "oidc"), None, "a sign-in is finished once");
    assert!(
        set_cookies(&reply).iter().any(|set| set.starts_with("oidc=; Path=/api/oidc/callback; Max-Age=0;"))
    );
    let auth = cookie(&reply, "auth").unwrap();
    assert_eq!(world.name(&auth).await, "Алиса");
    // It is a session as any other.
    let sessions = world.chat.sessions(&auth).await;
    assert_eq!((sessions.len(), &sessions[0]["device"]), (1, &json!("a browser")));
    let mut socket = Wire::open(&world.chat, "kitchen", &auth).await;
    let again = world.sign_in("1", "Алиса").await;
    assert_eq!(world.name(&again).await, "Алиса");
    let id = crate::sessions::sid(&auth);
    let headers = [("Cookie", again.as_str()), ("Origin", "https://chat.example")];
    let ended = world.chat.call("DELETE", &format!("/api/sessions/{id}"), &headers, b"").await;
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(socket.close_code().await, Some(4001));
    assert_eq!(world.chat.get("/api/me", &auth).await.status, 401);
}

#[tokio::test]
async fn only_the_browser_that_began_finishes_and_only_once() {
    let world = World::start().await;
    world.user("1", "alice");
    let begun = world.begin("%2Fa").await;
    let other = world.begin("%2Fb").await;
    let query = format!("code=one&state={}", begun.state);
    let sealed = begun.cookie.strip_prefix("oidc=").unwrap();
    let (start, end) = sealed.split_at(sealed.len() - 2);
    let other_character = if end.starts_with('x') { 'y' } else { 'x' };
    let changed = format!("oidc={start}{other_character}{}", &end[1..]);
    let twice = format!("{}; {}", begun.cookie, other.cookie);
    let session = world.sign_in("2", "bob").await.replace("auth=", "oidc=");
    for (what, query, cookie) in [
        ("another browser", query.as_str(), ""),
        ("a browser with a sign-in of its own", &query, &other.cookie),
        ("two cookies", &query, &twice),
        ("a forged cookie", &query, &changed),
        ("the token of a session", &query, &session),
        ("another state", "code=one&state=x", &begun.cookie),
        ("no state", "code=one", &begun.cookie),
    ] {
        let reply = world.come_back(query, cookie).await;
        assert_eq!(target(&reply), "/?sign_in=expired", "{what}");
        assert_eq!(cookie_of_session(&reply), None, "{what}");
    }
    // The cookie of a sign-in is no token.
    let as_token = begun.cookie.replace("oidc=", "auth=");
    assert_eq!(world.chat.get("/api/me", &as_token).await.status, 401);
    // The nonce is that of the last sign-in that began, which is another one.
    let reply = world.come_back(&query, &begun.cookie).await;
    assert_eq!(target(&reply), "/a?sign_in=failed", "a wrong nonce");
    assert_eq!(cookie_of_session(&reply), None);

    let begun = world.begin("%2Fa").await;
    let query = format!("code=two&state={}", begun.state);
    assert_eq!(target(&world.come_back(&query, &begun.cookie).await), "/a");
    let replayed = world.come_back(&query, &begun.cookie).await;
    assert_eq!(target(&replayed), "/a?sign_in=failed", "a code that was used");
    assert_eq!(cookie_of_session(&replayed), None);
}

fn cookie_of_session(reply: &Reply) -> Option<String> {
    cookie(reply, "auth")
}

#[tokio::test]
async fn a_name_belongs_to_the_account_that_has_it() {
    let world = World::start().await;
    let headers = [("Origin", "https://chat.example"), ("Content-Type", crate::harness::FORM)];
    let form = crate::harness::form(&[("username", None, b"alice"), ("password", None, b"password")]);
    let registered = world.chat.call("POST", "/api/register", &headers, &form).await;
    assert_eq!(registered.status, 200, "{registered:?}");
    // `alice` has a password, and the first subject of that name does not get her account.
    let first = world.sign_in("1", "alice").await;
    let second = world.sign_in("2", "alice").await;
    assert_eq!((world.name(&first).await, world.name(&second).await), ("alice-2".into(), "alice-3".into()));
    // Another name at the provider changes nothing, and neither does that of somebody else.
    let again = world.sign_in("1", "bob").await;
    assert_eq!(world.name(&again).await, "alice-2");
    let again = world.sign_in("2", "alice-2").await;
    assert_eq!(world.name(&again).await, "alice-3");
    // Reserved names are for nobody.
    let admin = world.sign_in("3", "admin").await;
    assert_ne!(world.name(&admin).await, "admin");
    let nameless = world.sign_in("4", "").await;
    assert_eq!(world.name(&nameless).await, "user-2");
    // No password is right for such an account.
    let body = json!({ "username": "alice-2", "password": "!" }).to_string();
    let headers = [("Origin", "https://chat.example")];
    assert_eq!(world.chat.call("POST", "/api/login", &headers, body.as_bytes()).await.status, 401);
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let world = World::start().await;
    world.user("1", "alice");
    for to in [
        "%2F%2Fevil.example",
        "https%3A%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2Fapi%2Foidc%2Fstart",
        "x",
        "",
    ] {
        let begun = world.begin(to).await;
        let query = format!("code={}&state={}", begun.state, begun.state);
        assert_eq!(target(&world.come_back(&query, &begun.cookie).await), "/", "{to}");
    }
    let begun = world.begin("%2Fa%23b").await;
    for (answer, expected) in [
        ("error=access_denied", "/a?sign_in=denied#b"),
        ("error=server_error&code=one", "/a?sign_in=failed#b"),
        ("code=one&iss=https%3A%2F%2Fother.example", "/a?sign_in=failed#b"),
        ("", "/a?sign_in=failed#b"),
    ] {
        let reply = world.come_back(&format!("{answer}&state={}", begun.state), &begun.cookie).await;
        assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), (expected, None), "{answer}");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_breaks_nothing_else() {
    let world = World::start().await;
    world.fake.lock().unwrap().is_away = true;
    let reply = world.chat.get("/api/oidc/start?to=%2Froom", "").await;
    assert_eq!(target(&reply), "/room?sign_in=away");
    assert_eq!(world.chat.get("/api/server", "").await.status, 200);
    let world = World::start().await;
    world.user("1", "alice");
    let begun = world.begin("%2Froom").await;
    world.fake.lock().unwrap().is_away = true;
    let reply = world.come_back(&format!("code=one&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/room?sign_in=away", None));
}

#[tokio::test]
async fn a_sign_in_that_the_browser_has_lost_is_begun_again() {
    let world = World::start().await;
    world.user("1", "alice");
    let begun = world.begin("%2Froom").await;
    let reply = world.come_back(&format!("code=one&state={}", begun.state), "").await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/?sign_in=expired", None));
    assert_eq!((world.codes(), world.accounts().await), (0, 0));
    let again = world.sign_in("1", "alice").await;
    assert_eq!((world.name(&again).await.as_str(), world.accounts().await), ("alice", 1));
}

#[tokio::test]
async fn a_sign_in_ends_at_any_server() {
    let world = World::start().await;
    let other = world.beside().await;
    world.user("1", "alice");
    let begun = world.begin("%2Froom").await;
    let reply = other.come_back(&format!("code=one&state={}", begun.state), &begun.cookie).await;
    assert_eq!(target(&reply), "/room");
    let auth = cookie(&reply, "auth").unwrap();
    assert_eq!((world.name(&auth).await.as_str(), other.name(&auth).await.as_str()), ("alice", "alice"));
}

#[tokio::test]
async fn a_lost_answer_leaves_no_half_account_and_doubles_nothing() {
    let world = World::start().await;
    world.user("1", "alice");
    // That of the provider, to which the code is not sent again.
    world.fake.lock().unwrap().loses_answers = true;
    let begun = world.begin("%2Froom").await;
    let reply = world.come_back(&format!("code=one&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/room?sign_in=away", None));
    assert!(set_cookies(&reply).iter().any(|set| set.starts_with("oidc=; ")), "it can begin again");
    assert_eq!((world.codes(), world.accounts().await), (1, 0));
    world.fake.lock().unwrap().loses_answers = false;

    // That of the store, which has made the account.
    world.chat.store.lost.store(true, Ordering::Relaxed);
    let begun = world.begin("%2Froom").await;
    let reply = world.come_back(&format!("code=two&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/room?sign_in=failed", None));
    assert!(set_cookies(&reply).iter().any(|set| set.starts_with("oidc=; ")), "it can begin again");
    assert_eq!(world.accounts().await, 1);
    world.chat.store.lost.store(false, Ordering::Relaxed);

    let again = world.sign_in("1", "alice").await;
    assert_eq!((world.name(&again).await.as_str(), world.accounts().await), ("alice", 1));
    assert_eq!(world.chat.sessions(&again).await.len(), 1);

    // Without the store, nobody is signed in, and the page says so.
    world.chat.store.out.store(true, Ordering::Relaxed);
    let begun = world.begin("%2Froom").await;
    let reply = world.come_back(&format!("code=three&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/room?sign_in=failed", None));
}

#[tokio::test]
async fn of_two_first_sign_ins_at_once_both_have_one_account() {
    let world = World::with(|options| options.registration_limits.accounts_max = Some(1)).await;
    world.user("1", "alice");
    // Neither finds the account that the other one makes.
    world.chat.store.slow.store(true, Ordering::Relaxed);
    let mut queries = Vec::new();
    for code in ["one", "two"] {
        let begun = world.begin("%2F").await;
        let nonce = world.fake.lock().unwrap().nonce.clone();
        queries.push((format!("code={code}.{nonce}&state={}", begun.state), begun.cookie));
    }
    let (one, two) = tokio::join!(
        world.come_back(&queries[0].0, &queries[0].1),
        world.come_back(&queries[1].0, &queries[1].1),
    );
    for reply in [one, two] {
        assert_eq!(target(&reply), "/");
        assert_eq!(world.name(&cookie(&reply, "auth").unwrap()).await, "alice");
    }
    assert_eq!(world.accounts().await, 1);
}

#[tokio::test]
async fn one_address_does_not_take_all_places_at_the_provider() {
    let proxy = "127.0.0.1/32".parse().unwrap();
    let world = World::with(|options| {
        options.trusted_proxies = vec![proxy];
        (options.oidc_exchanges_max, options.oidc_exchanges_per_address) = (8, 3);
    });
    let world = Arc::new(world.await);
    world.user("1", "alice");
    let come_back = |address: &'static str, code: String| {
        let world = Arc::clone(&world);
        async move {
            let begun = world.begin("%2F").await;
            let path = format!("/api/oidc/callback?code={code}&state={}", begun.state);
            let headers = [("Cookie", begun.cookie.as_str()), ("X-Forwarded-For", address)];
            target(&world.chat.call("GET", &path, &headers, b"").await)
        }
    };
    for place in 0..3 {
        let held = tokio::spawn(come_back("192.0.2.1", format!("never{place}")));
        while world.codes() == place {
            assert!(!held.is_finished());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(come_back("192.0.2.1", "one".to_owned()).await, "/?sign_in=away");
    assert_eq!(come_back("192.0.2.2", "two".to_owned()).await, "/");
    assert_eq!(world.codes(), 4);
}

#[tokio::test]
async fn an_account_that_is_removed_during_a_sign_in_stays_removed() {
    let world = World::start().await;
    world.sign_in("1", "alice").await;
    world.chat.store.removed_first.store(true, Ordering::Relaxed);
    let begun = world.begin("%2F").await;
    let reply = world.come_back(&format!("code=b&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/?sign_in=failed", None));
    let alice = Username::known("alice").unwrap();
    let sessions = world.chat.store.memory.sessions_of(&alice, now() * 1000).await.unwrap();
    assert_eq!((sessions.len(), world.accounts().await), (0, 0));
    // The name stays taken.
    let again = world.sign_in("1", "alice").await;
    assert_eq!(world.name(&again).await, "alice-2");
}

#[tokio::test]
async fn the_limits_of_accounts_hold_and_so_do_bans() {
    let world = World::with(|options| options.registration_limits.accounts_max = Some(1)).await;
    world.sign_in("1", "alice").await;
    world.user("2", "bob");
    let begun = world.begin("%2F").await;
    let reply = world.come_back(&format!("code=b&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/?sign_in=full", None));
    // Who has an account still comes in.
    world.sign_in("1", "alice").await;
    let (user, reason) = (Username::known("alice").unwrap(), String::new());
    let ban = NewBan { user, reason, delete_messages: false, without_account: false };
    world.chat.store.memory.ban(&ban, None, 1).await.unwrap().unwrap();
    world.user("1", "alice");
    let begun = world.begin("%2F").await;
    let reply = world.come_back(&format!("code=c&state={}", begun.state), &begun.cookie).await;
    assert_eq!((target(&reply).as_str(), cookie_of_session(&reply)), ("/?sign_in=banned", None));
    assert_eq!(world.chat.store.memory.count_users().await.unwrap(), 1);
}

#[tokio::test]
async fn a_user_signs_out_of_both() {
    let world = World::start().await;
    world.user("1", "alice");
    let begun = world.begin("%2F").await;
    let reply = world.come_back(&format!("code=a&state={}", begun.state), &begun.cookie).await;
    let (auth, id_token) = (cookie(&reply, "auth").unwrap(), cookie(&reply, "oidc_id").unwrap());
    assert!(set_cookies(&reply).iter().any(|set| set.contains("; Path=/api/logout; ")));
    let both = format!("{auth}; {id_token}");
    let headers = [("Cookie", both.as_str()), ("Origin", "https://chat.example")];
    let out = world.chat.call("POST", "/api/logout", &headers, b"").await;
    assert_eq!(out.status, 200, "{out:?}");
    let hint = id_token.strip_prefix("oidc_id=").unwrap();
    let expected = format!(
        "https://id.example/end?client_id=chat&post_logout_redirect_uri=https%3A%2F%2Fchat.example%2F&id_token_hint={hint}"
    );
    assert_eq!(out.json(), json!({ "status": "ok", "end_session_url": expected }));
    assert!(set_cookies(&out).iter().any(|set| set.starts_with("oidc_id=; Path=/api/logout; Max-Age=0;")));
    assert_eq!(world.chat.get("/api/me", &auth).await.status, 401);
    // A session by a password has nothing to end there.
    let headers = [("Cookie", auth.as_str()), ("Origin", "https://chat.example")];
    assert_eq!(world.chat.call("POST", "/api/logout", &headers, b"").await.json(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn without_passwords_only_the_provider_signs_in() {
    let world = World::with(|options| options.passwords = false).await;
    let info = world.chat.get("/api/server", "").await.json();
    assert_eq!((&info["passwords"], &info["registration"]), (&json!(false), &json!("closed")));
    for path in ["/api/login", "/api/register", "/api/me/password", "/api/password"] {
        let headers = [("Origin", "https://chat.example")];
        assert_eq!(world.chat.call("POST", path, &headers, b"{}").await.status, 404, "{path}");
    }
    let alice = world.sign_in("1", "alice").await;
    assert_eq!(world.chat.sessions(&alice).await.len(), 1);
    // Without a provider, there is nothing to begin.
    let chat = Chat::start().await;
    assert_eq!(chat.get("/api/oidc/start", "").await.status, 404);
    assert_eq!(chat.get("/api/oidc/callback", "").await.status, 404);
    assert_eq!(chat.get("/api/server", "").await.json().get("sign_in_with"), None);
}
