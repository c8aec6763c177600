//! Answers each "ping" with one "pong", also across restarts of the server and of itself:
//! `cargo run -p lanechat-client --example bot -- http://localhost:8080 bot password lobby bot.json`

use chat_client::{Client, ClientOptions, Credentials, Event, Topic};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, username, password, room, file] =
        arguments.try_into().map_err(|_| "SERVER NAME PASSWORD ROOM FILE")?;
    let mut options = ClientOptions::new(Credentials::Password { username, password });
    if let Ok(seen) = std::fs::read(&file) {
        options.snapshot.seen = serde_json::from_slice(&seen)?;
    }
    let (client, mut events) = Client::connect(&server, options).await?;
    client.join(&room).await?;
    while let Some(event) = events.next().await {
        match event {
            Event::Message { topic: Topic::Room(room), entry } if entry.text == "ping" => {
                // If the bot ends behind this line, the ping comes again; a nonce is stored once.
                let nonce = format!("pong {} {}", entry.seq, entry.timestamp);
                client.send_once(nonce, Topic::Room(room), format!("pong, {}", entry.from)).await?;
            }
            Event::SignedOut { code } => return Err(format!("signed out ({code})").into()),
            _ => {}
        }
        std::fs::write(format!("{file}.new"), serde_json::to_vec(events.seen())?)?;
        std::fs::rename(format!("{file}.new"), &file)?;
    }
    Ok(())
}
