//! Shows what is unread, then each message that mentions the user, and marks it as read on
//! all devices: `cargo run -p lanechat-client --example unread -- http://localhost:8080 alice password`

use chat_client::{Client, ClientOptions, Credentials, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, username, password] = arguments.try_into().map_err(|_| "SERVER NAME PASSWORD")?;
    let credentials = Credentials::Password { username: username.clone(), password };
    let (client, mut events) = Client::connect(&server, ClientOptions::new(credentials)).await?;
    while let Some(event) = events.next().await {
        match event {
            Event::Online { rooms, conversations, .. } => {
                for room in rooms {
                    println!("{}: {:?} unread, {:?} mentions", room.title, room.unread, room.mentions);
                    client.join(&room.room).await?;
                }
                for conversation in conversations {
                    println!("{}: {:?} unread", conversation.with, conversation.unread);
                }
            }
            Event::Message { topic, entry } if entry.mentions.contains(&username) => {
                println!("{}: {}", entry.from, entry.text);
                client.read(topic, entry.seq).await;
            }
            Event::Left { room, reason: Some(reason) } => println!("{room}: {reason}"),
            Event::SignedOut { code } => return Err(format!("signed out ({code})").into()),
            _ => {}
        }
    }
    Ok(())
}
