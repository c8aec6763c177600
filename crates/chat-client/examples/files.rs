//! Sends a file to a room, and downloads the files that others send there:
//! `cargo run -p lanechat-client --example files -- http://localhost:8080 bot password lobby report.pdf`

use chat_client::{Client, ClientOptions, Credentials, Event, NewFile, NewMessage, Topic};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, username, password, room, path] =
        arguments.try_into().map_err(|_| "SERVER NAME PASSWORD ROOM FILE")?;
    let credentials = Credentials::Password { username: username.clone(), password };
    let (client, mut events) = Client::connect(&server, ClientOptions::new(credentials)).await?;
    client.join(&room).await?;

    let api = client.api().await.ok_or("not signed in")?;
    let size = tokio::fs::metadata(&path).await?.len();
    let source = tokio::fs::File::open(&path).await?;
    let file = NewFile::new(path).size(size);
    let file = api.upload(file, source, move |sent| println!("{sent} of {size} bytes")).await?;
    client.send_message(NewMessage::new(Topic::room(&room), "").file(file)).await?;

    while let Some(event) = events.next().await {
        let Event::Message { topic: Topic::Room(_), entry } = event else { continue };
        for file in entry.files.iter().filter(|_| entry.from != username) {
            let Some(api) = client.api().await else { continue };
            let mut download = api.download(file, None).await?;
            let mut bytes = 0;
            while let Some(chunk) = download.chunk().await? {
                bytes += chunk.len();
            }
            println!("{}: {} has {bytes} bytes", entry.from, file.name);
        }
    }
    Ok(())
}
